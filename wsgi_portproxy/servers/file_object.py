"""Servers that read requests through the standard library's file object over the socket.

cheroot, gevent.pywsgi and wsgiref expose the socket in no other way; werkzeug puts it in the
environ, but reads through the same kind of object.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from .base import Adapter, Headers, made_in

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_MOST_READ_AHEAD = 65536  # bytes; the file objects hold less


class _Buffered(Adapter):
    """Takes bytes read ahead from the BufferedReader; the subclasses find the socket."""

    def read_ahead(self, environ: WSGIEnvironment) -> bytes:
        reader = _reader(environ)
        sock = self.socket(environ)
        timeout = sock.gettimeout()
        sock.settimeout(0)  # read what the reader holds, without waiting for the socket
        try:
            return reader.read1(_MOST_READ_AHEAD) or b"" if reader is not None else b""
        except BlockingIOError:
            return b""
        finally:
            sock.settimeout(timeout)


class Werkzeug(_Buffered):
    name = "werkzeug"
    module = "werkzeug.serving"
    key_prefixes = ("werkzeug.",)

    def socket(self, environ: WSGIEnvironment) -> Any:
        return environ.get("werkzeug.socket")


class FileObject(_Buffered):
    name = "file object"

    def owns(self, start_response: object) -> bool:
        return made_in(start_response) in ("cheroot.wsgi", "gevent.pywsgi", "wsgiref.handlers")

    def socket(self, environ: WSGIEnvironment) -> Any:
        return getattr(getattr(_reader(environ), "raw", None), "_sock", None)

    def threads(self, environ: WSGIEnvironment) -> int | None:
        """cheroot's threads have their server as an attribute. Its pool starts with `min` threads,
        and grows only if the application asks for it."""
        server = getattr(threading.current_thread(), "server", None)
        count = getattr(getattr(server, "requests", None), "min", None)
        return count if isinstance(count, int) else None

    def bodiless_headers(self, environ: WSGIEnvironment, status: int, headers: Headers) -> Headers:
        """gevent.pywsgi turns a 304 with a Content-Length into a 500. It sends a last chunk after a
        response to HEAD without a Content-Length."""
        if not str(environ.get("SERVER_SOFTWARE", "")).startswith("gevent"):
            return headers
        if status == 304:
            headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
        has_length = any(name.lower() == "content-length" for name, _ in headers)
        if environ["REQUEST_METHOD"] == "HEAD" and not has_length:
            # Otherwise the visitor would take the chunk for the start of the next response.
            headers = [*headers, ("Connection", "close")]
        return headers


def _reader(environ: WSGIEnvironment) -> Any:
    """The io.BufferedReader over the visitor's socket, bare or inside a server's reader."""
    source = environ.get("wsgi.input")
    for reader in (source, getattr(source, "rfile", None)):
        if hasattr(reader, "read1") and hasattr(getattr(reader, "raw", None), "_sock"):
            return reader
    return None
