"""Servers that read requests through the standard library's file object over the socket.

cheroot, gevent.pywsgi and wsgiref expose the socket in no other way; werkzeug puts it in the
environ, but reads through the same kind of object.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from .base import Adapter, Block, BodyReader, Headers, is_tls, made_in

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


# What makes their start_response.
_MODULES = ("cheroot.wsgi", "gevent.pywsgi", "wsgiref.handlers", "wsgiref.simple_server")


class LengthReader(BodyReader):
    """Reads a body of known length as it arrives. `source`: what the server gave the application,
    which may count what is left."""

    follows = True

    def __init__(self, reader: Any, sock: Any, source: Any) -> None:
        self._reader = reader
        self.socket = sock
        self._source = source

    def buffered(self) -> bool:
        return self._is_over() or bool(_held(self._reader, self.socket))

    def read(self, limit: int) -> Block:
        if not hasattr(self._source, "remaining"):
            data: bytes = self._reader.read1(limit)
            return data
        if self._is_over():
            return b""
        data = self._reader.read1(min(limit, self._source.remaining))
        self._source.remaining -= len(data)  # cheroot expects the next request after the body
        return data

    def _is_over(self) -> bool:
        """Whether nothing is left: cheroot drops the rest of a body when it sends a response, and
        what follows is the next request."""
        return getattr(self._source, "remaining", None) == 0


class _Buffered(Adapter):
    """Reads through the BufferedReader; the subclasses find the socket."""

    def read_ahead(self, environ: WSGIEnvironment) -> bytes:
        reader = _reader(environ)
        if reader is None:
            return b""
        held: bytes = reader.read(len(_held(reader, self.socket(environ))))
        return held

    def body_reader(self, environ: WSGIEnvironment) -> BodyReader | None:
        reader, sock = _reader(environ), self.socket(environ)
        if reader is None or sock is None or is_tls(sock):
            return None
        source = environ["wsgi.input"]
        is_counted = source is reader or hasattr(source, "remaining")
        return LengthReader(reader, sock, source) if is_counted else None


class Werkzeug(_Buffered):
    name = "werkzeug"
    module = "werkzeug.serving"
    key_prefixes = ("werkzeug.",)

    def socket(self, environ: WSGIEnvironment) -> Any:
        return environ.get("werkzeug.socket")


class FileObject(_Buffered):
    name = "file object"

    def owns(self, start_response: object) -> bool:
        return made_in(start_response) in _MODULES

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
        if _is_reader(reader):
            return reader
    return None


def _is_reader(reader: Any) -> bool:
    return hasattr(reader, "read1") and hasattr(getattr(reader, "raw", None), "_sock")


def _held(reader: Any, sock: Any) -> bytes:
    """What a BufferedReader holds; reads what has come if that is nothing. Takes nothing."""
    timeout = sock.gettimeout()
    sock.settimeout(0)  # without waiting
    try:
        held: bytes = reader.peek(1)
        return held
    except BlockingIOError:
        return b""
    finally:
        sock.settimeout(timeout)
