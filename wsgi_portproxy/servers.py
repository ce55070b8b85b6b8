"""What single WSGI servers add to PEP 3333: the visitor's socket, and a body read as it comes.

PEP 3333 has no way to notice that a visitor left, and lets `wsgi.input.read(n)` wait for `n` bytes
though fewer have come. Where a server shows more, we use it. Nothing here imports a server; one
that is not known, or that changed, is served by the plain words of the PEP.
"""

from __future__ import annotations

import array
import fcntl
import socket
import ssl
import termios
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# Where servers put the visitor's socket in the environ (gunicorn's workers; werkzeug's server).
_SOCKET_KEYS = ("gunicorn.socket", "werkzeug.socket")


def client_socket(environ: WSGIEnvironment) -> socket.socket | None:
    """The socket of the visitor's connection, if the server shows it and it is open."""
    for key in _SOCKET_KEYS:
        sock = environ.get(key)
        if isinstance(sock, socket.socket) and sock.fileno() >= 0:
            return sock
    return None


def fails_on_304_with_length(environ: WSGIEnvironment) -> bool:
    """Whether the server answers 500 to a 304 that has a Content-Length (gevent.pywsgi does)."""
    return str(environ.get("SERVER_SOFTWARE", "")).startswith("gevent")


class BodyReader:
    """`wsgi.input` by the words of PEP 3333: a read may wait until `limit` bytes have come.

    `read1`, which io.BufferedIOBase has and some servers' inputs inherit, returns what is there.
    """

    #: Becomes readable when `read` has something new; None where only a read can tell.
    socket: socket.socket | None = None

    def __init__(self, environ: WSGIEnvironment) -> None:
        source = environ["wsgi.input"]
        self._read = getattr(source, "read1", source.read)

    def buffered(self) -> bool:
        """Whether a read returns without waiting for the socket; True where that is unknown."""
        return True

    def read(self, limit: int) -> bytes:
        """At least one byte and at most `limit`; b"" at the end of the body."""
        data: bytes = self._read(limit)
        return data


class GunicornLengthReader(BodyReader):
    """gunicorn's body of known length, in the pieces in which it arrives.

    Its own `read(n)` waits for `n` bytes, at least 1024. Its reader does not wait for what it has
    read ahead already, nor for what the kernel holds.
    """

    def __init__(self, reader: Any, sock: socket.socket) -> None:
        self._reader = reader
        self.socket = sock

    def buffered(self) -> bool:
        return bool(self._reader.unreader.buf.tell())

    def read(self, limit: int) -> bytes:
        available = self._reader.unreader.buf.tell()
        if available < limit:
            available += _readable_bytes(self.socket)
        data: bytes = self._reader.read(max(1, min(limit, available)))
        return data


class GunicornChunkedReader(BodyReader):
    """gunicorn's chunked body: waits for one byte, and takes the rest of what came with it."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def read(self, limit: int) -> bytes:
        data: bytes = self._reader.read(1)
        decoded = self._reader.buf.tell()
        if data and decoded:
            data += self._reader.read(min(limit - 1, decoded))
        return data


def body_reader(environ: WSGIEnvironment) -> BodyReader:
    """The best way to read this request's body."""
    reader = getattr(environ["wsgi.input"], "reader", None)
    sock = environ.get("gunicorn.socket")
    if reader is None or sock is None:
        return BodyReader(environ)
    kind = type(reader).__name__
    if kind == "ChunkedReader" and hasattr(reader, "buf"):
        return GunicornChunkedReader(reader)
    # What the kernel holds of a TLS connection says nothing of what can be read from it.
    readable = isinstance(sock, socket.socket) and not isinstance(sock, ssl.SSLSocket)
    if kind == "LengthReader" and readable and hasattr(reader.unreader, "buf"):
        return GunicornLengthReader(reader, sock)
    return BodyReader(environ)


def _readable_bytes(sock: socket.socket | None) -> int:
    """How many bytes a recv would return at once."""
    count = array.array("i", [0])
    fcntl.ioctl(sock.fileno() if sock else -1, termios.FIONREAD, count)
    return count[0]
