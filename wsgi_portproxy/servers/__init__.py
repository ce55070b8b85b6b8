"""Which WSGI server a request came through, and what that server offers beyond PEP 3333.

The rest of the package asks the functions here and names no server. Nothing imports a server; a
request through an unknown server, or a release that changed, is served by PEP 3333 alone.

To add a server, write a module with its `Adapter` and give that a line in `ADAPTERS`.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import TYPE_CHECKING, Any

from .base import Adapter, Block, BodyReader, Headers, ServerResponse, VisitorSocket, is_tls
from .file_object import FileObject, Werkzeug
from .gunicorn import Gunicorn
from .processes import server_processes
from .uwsgi import UWSGI
from .waitress import Waitress

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = [
    "ADAPTERS",
    "KEY_PREFIXES",
    "Adapter",
    "Block",
    "BodyReader",
    "ServerResponse",
    "VisitorSocket",
    "bodiless_headers",
    "body_reader",
    "connection_of",
    "is_tls",
    "server_processes",
    "server_threads",
]

#: Asked in this order, the servers that name their socket in the environ before those that do not.
ADAPTERS: tuple[Adapter, ...] = (Gunicorn(), Werkzeug(), Waitress(), FileObject(), UWSGI())

#: What the servers' own keys of an environ begin with.
KEY_PREFIXES = tuple(prefix for adapter in ADAPTERS for prefix in adapter.key_prefixes)


def connection_of(environ: WSGIEnvironment) -> tuple[Adapter, VisitorSocket] | None:
    """The adapter of the server that this request came through, and its socket of the visitor's
    connection; None if no adapter knows the server, or the connection is closed."""
    for adapter in ADAPTERS:
        sock: VisitorSocket | None = adapter.socket(environ)
        if sock is not None and _is_open(sock):
            return adapter, sock
    return None


def _is_open(sock: Any) -> bool:
    try:
        return bool(sock.fileno() >= 0)
    except (AttributeError, OSError, ValueError):
        return False


def body_reader(environ: WSGIEnvironment) -> BodyReader:
    """The best way to read this request's body."""
    for adapter in ADAPTERS:
        reader = adapter.body_reader(environ)
        if reader is not None:
            return reader
    return BodyReader(environ)


def bodiless_headers(environ: WSGIEnvironment, status: int, headers: Headers) -> Headers:
    """The headers of a 304, or of a response to HEAD, as the server can send them."""
    for adapter in ADAPTERS:
        headers = adapter.bodiless_headers(environ, status, headers)
    return headers


def server_threads(environ: WSGIEnvironment) -> int | None:
    """How many threads the server has for requests, in this process; None where that is not known,
    or where it makes one for each connection.

    No server tells an application, so this looks at the thread that runs this very request, and at
    what the adapters know of their servers. Where neither helps there is no thread to count:
    greenlets, processes of one thread, a thread for each connection.
    """
    for threads in (_pool_threads, *(adapter.threads for adapter in ADAPTERS)):
        with contextlib.suppress(AttributeError, IndexError, KeyError, TypeError, ValueError):
            count = threads(environ)
            if count is not None:
                return count
    return None


def _pool_threads(environ: WSGIEnvironment) -> int | None:
    """The threads of a `concurrent.futures` pool (gunicorn's gthread, a2wsgi), to which each of its
    threads holds a weak reference."""
    reference = next(iter(getattr(threading.current_thread(), "_args", ())), None)
    executor = reference() if isinstance(reference, weakref.ref) else None
    count = getattr(executor, "_max_workers", None)
    return count if isinstance(count, int) else None
