"""uWSGI: its own module, importable only within the server, gives access to the connection."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .base import Adapter

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class _Connection:
    """The visitor's connection, of which uWSGI gives only the descriptor."""

    def fileno(self) -> int:
        fd: int = sys.modules["uwsgi"].connection_fd()
        return fd

    def getsockname(self) -> Any:
        raise OSError("uWSGI does not give the address")


class UWSGI(Adapter):
    name = "uwsgi"
    key_prefixes = ("uwsgi.",)

    def owns(self, start_response: object) -> bool:
        return getattr(start_response, "__name__", "") == "uwsgi_spit"

    def socket(self, environ: WSGIEnvironment) -> Any:
        return _Connection() if _is_uwsgi(environ) else None

    def read_ahead(self, environ: WSGIEnvironment) -> bytes:
        # Bytes read ahead are out of reach. WebSocket clients wait for the response before they
        # send (RFC 6455 section 4.1).
        return b""

    def takes_chunks(self, environ: WSGIEnvironment) -> bool:
        # Through `--socket`, nginx takes the chunks for the body, and frames them once more.
        return not _is_uwsgi(environ)

    def hands_over(self, environ: WSGIEnvironment) -> bool:
        options = getattr(sys.modules["uwsgi"], "opt", {})
        if "https-socket" in options:
            return False  # it does the TLS of that socket itself
        # Without threads, no Python runs between two requests, and hence no relay.
        return "enable-threads" in options or "threads" in options

    def threads(self, environ: WSGIEnvironment) -> int | None:
        return int(sys.modules["uwsgi"].opt["threads"]) if _is_uwsgi(environ) else None


def _is_uwsgi(environ: WSGIEnvironment) -> bool:
    return "uwsgi.version" in environ and "uwsgi" in sys.modules
