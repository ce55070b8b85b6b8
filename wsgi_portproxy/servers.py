"""What single WSGI servers add to PEP 3333: the visitor's socket, and a body read as it comes.

PEP 3333 has no way to notice that a visitor left, and lets `wsgi.input.read(n)` wait for `n` bytes
though fewer have come. Where a server shows more, we use it. Nothing here imports a server; one
that is not known, or that changed, is served by the plain words of the PEP.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


_COUNTED_ANEW = 60.0  # seconds after which workers are counted again

#: Bytes of a body.
Block = bytes | memoryview


class VisitorSocket(Protocol):
    """What we use of a server's socket; gevent's is no subclass of the standard one."""

    def fileno(self) -> int: ...
    def getsockname(self) -> Any: ...


class BodyReader:
    """`wsgi.input` by the words of PEP 3333: a read may wait until `limit` bytes have come.

    `read1`, which io.BufferedIOBase has and some servers' inputs inherit, returns what is there.
    """

    #: Becomes readable when `read` has something new; None where only a read can tell.
    socket: VisitorSocket | None = None

    def __init__(self, environ: WSGIEnvironment) -> None:
        source = environ["wsgi.input"]
        self._read = getattr(source, "read1", source.read)

    def buffered(self) -> bool:
        """Whether a read returns without waiting for the socket; True where that is unknown."""
        return True

    def read(self, limit: int) -> Block:
        """At least one byte and at most `limit`; empty at the end of the body.

        It is the caller's until the next call, which may use the same memory again.
        """
        data: bytes = self._read(limit)
        return data


class GunicornLengthReader(BodyReader):
    """gunicorn's body of known length, in the pieces in which it arrives.

    Its own `read(n)` waits for `n` bytes, at least 1024, and copies a block three times. Here what
    it has read ahead comes from its reader, and the rest from the socket, into memory that is kept.
    """

    def __init__(self, reader: Any, sock: Any) -> None:
        self._reader = reader
        self.socket = sock
        self._recv_into: Callable[[bytearray, int], int] = sock.recv_into
        self._memory = bytearray()

    def buffered(self) -> bool:
        return not self._reader.length or bool(self._reader.unreader.buf.tell())

    def read(self, limit: int) -> Block:
        buffered = self._reader.unreader.buf.tell()
        if buffered:
            data: bytes = self._reader.read(min(limit, buffered))
            return data
        limit = min(limit, self._reader.length)
        if not limit:  # which recv_into would take for all of the memory
            return b""
        if limit > len(self._memory):
            self._memory = bytearray(limit)
        size = self._recv_into(self._memory, limit)
        self._reader.length -= size  # the next request begins behind the body
        return memoryview(self._memory)[:size]


class GunicornChunkedReader(BodyReader):
    """gunicorn's chunked body: waits for one byte, and takes the rest of what came with it."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def read(self, limit: int) -> Block:
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
    unreader = getattr(reader, "unreader", None)
    is_known = getattr(unreader, "sock", None) is sock and hasattr(unreader, "buf")
    if kind == "LengthReader" and is_known and hasattr(reader, "length") and not is_tls(sock):
        return GunicornLengthReader(reader, sock)
    return BodyReader(environ)


def _gunicorn_socket(environ: WSGIEnvironment) -> Any:
    return environ.get("gunicorn.socket")


def _gunicorn_read_ahead(environ: WSGIEnvironment) -> bytes:
    unreader = environ["wsgi.input"].reader.unreader
    take = getattr(unreader, "take_buffered", None)  # since gunicorn 27
    if take is not None:
        data: bytes = take()
    else:
        data = unreader.buf.getvalue()
        unreader.buf = io.BytesIO()
    return data


def _werkzeug_socket(environ: WSGIEnvironment) -> Any:
    return environ.get("werkzeug.socket")


def _waitress_channel(environ: WSGIEnvironment) -> Any:
    return getattr(environ.get("waitress.client_disconnected"), "__self__", None)


def _waitress_socket(environ: WSGIEnvironment) -> Any:
    return getattr(_waitress_channel(environ), "socket", None)


def _waitress_read_ahead(environ: WSGIEnvironment) -> bytes:
    # What came behind the request was taken for the beginning of the next one.
    request = getattr(_waitress_channel(environ), "request", None)
    return bytes(getattr(request, "header_plus", b""))


def _waitress_hands_over(environ: WSGIEnvironment) -> bool:
    # With it, waitress' own thread reads from a connection whose request is being served.
    return not getattr(_waitress_channel(environ).adj, "channel_request_lookahead", 0)


def _buffered_reader(environ: WSGIEnvironment) -> Any:
    """The io.BufferedReader over the visitor's socket, bare or within a server's limited one."""
    source = environ.get("wsgi.input")
    for reader in (source, getattr(source, "rfile", None)):
        if hasattr(reader, "read1") and hasattr(getattr(reader, "raw", None), "_sock"):
            return reader
    return None


def _buffered_socket(environ: WSGIEnvironment) -> Any:
    return getattr(getattr(_buffered_reader(environ), "raw", None), "_sock", None)


def _buffered_read_ahead(environ: WSGIEnvironment) -> bytes:
    """What a BufferedReader holds, without waiting for the socket behind it."""
    reader = _buffered_reader(environ)
    sock = _werkzeug_socket(environ) or _buffered_socket(environ)
    timeout = sock.gettimeout()
    sock.settimeout(0)
    try:
        return reader.read1(65536) or b"" if reader is not None else b""
    except BlockingIOError:
        return b""
    finally:
        sock.settimeout(timeout)


class _UwsgiConnection:
    """uWSGI tells the descriptor of the visitor's connection and no more."""

    def fileno(self) -> int:
        fd: int = sys.modules["uwsgi"].connection_fd()
        return fd

    def getsockname(self) -> Any:
        raise OSError("uWSGI tells no address")


def _uwsgi_socket(environ: WSGIEnvironment) -> Any:
    return _UwsgiConnection() if "uwsgi.version" in environ and "uwsgi" in sys.modules else None


def _uwsgi_runs_threads(environ: WSGIEnvironment) -> bool:
    # Without them nothing of Python runs between two requests, a relay neither.
    options = getattr(sys.modules["uwsgi"], "opt", {})
    return "enable-threads" in options or "threads" in options


@dataclass(frozen=True, slots=True)
class Adapter:
    """How to get at the visitor's connection on one server.

    socket: the server's socket object, or None if the request came through another server.
    read_ahead: takes what the server has read of the connection past the request's head.
    hands_over: whether the connection is this request's alone, and threads of ours run while the
        server waits for others.
    """

    name: str
    socket: Callable[[WSGIEnvironment], Any]
    read_ahead: Callable[[WSGIEnvironment], bytes]
    hands_over: Callable[[WSGIEnvironment], bool] = lambda environ: True


#: The table: a server is added by one entry. That of the file object serves all servers that read
#: through the standard library's: cheroot, gevent.pywsgi, wsgiref. What uWSGI has read past the
#: head cannot be had; clients of WebSockets wait for the answer before they send (RFC 6455 4.1).
ADAPTERS = (
    Adapter("gunicorn", _gunicorn_socket, _gunicorn_read_ahead),
    Adapter("werkzeug", _werkzeug_socket, _buffered_read_ahead),
    Adapter("waitress", _waitress_socket, _waitress_read_ahead, _waitress_hands_over),
    Adapter("file object", _buffered_socket, _buffered_read_ahead),
    Adapter("uwsgi", _uwsgi_socket, lambda environ: b"", _uwsgi_runs_threads),
)


def adapter_of(environ: WSGIEnvironment) -> Adapter | None:
    """The adapter of the server that this request came through, or None."""
    found = _connection(environ)
    return None if found is None else found[0]


def client_socket(environ: WSGIEnvironment) -> VisitorSocket | None:
    """The socket of the visitor's connection, if the server shows it and it is open."""
    found = _connection(environ)
    return None if found is None else found[1]


def _connection(environ: WSGIEnvironment) -> tuple[Adapter, VisitorSocket] | None:
    for adapter in ADAPTERS:
        sock: VisitorSocket | None = adapter.socket(environ)
        if sock is not None and _is_open(sock):
            return adapter, sock
    return None


def server_threads(environ: WSGIEnvironment) -> int | None:
    """How many threads the server has for requests, in this process; None where that is not known,
    or where it makes one for each connection.

    No server tells an application. The pool is that of the thread which runs this very request:
    one of `concurrent.futures` (gunicorn's gthread, a2wsgi), to which its threads hold a weak
    reference; cheroot's threads have their server as an attribute. waitress shows its channel, and
    with it its settings; uWSGI its options. Where none of it is found there is no thread to count:
    greenlets, processes of one thread, a thread for each connection.
    """
    try:
        for threads in (_executor_threads, _cheroot_threads):
            count = threads(threading.current_thread())
            if count is not None:
                return count
        channel = _waitress_channel(environ)
        if channel is not None:
            return int(channel.adj.threads)
        if "uwsgi.version" in environ and "uwsgi" in sys.modules:
            return int(sys.modules["uwsgi"].opt["threads"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        pass  # a release that keeps it elsewhere
    return None


def _executor_threads(thread: Any) -> int | None:
    reference = next(iter(getattr(thread, "_args", ())), None)
    executor = reference() if isinstance(reference, weakref.ref) else None
    count = getattr(executor, "_max_workers", None)
    return count if isinstance(count, int) else None


def _cheroot_threads(thread: Any) -> int | None:
    # Its pool grows by nobody's order but the application's.
    count = getattr(getattr(getattr(thread, "server", None), "requests", None), "min", None)
    return count if isinstance(count, int) else None


def server_processes(environ: WSGIEnvironment) -> int:
    """How many processes serve the application beside each other, this one included.

    PEP 3333 tells whether there are several. Those of gunicorn and uWSGI are the children of one
    parent; 1 where that is not to be seen.
    """
    if not environ.get("wsgi.multiprocess"):
        return 1
    return _siblings(int(time.monotonic() / _COUNTED_ANEW))


@lru_cache(maxsize=1)
def _siblings(moment: int) -> int:
    parent = os.getppid()
    try:
        with open(f"/proc/{parent}/task/{parent}/children") as children:
            return max(1, len(children.read().split()))
    except OSError:
        return 1


def is_tls(sock: object) -> bool:
    """Whether Python itself encrypts on this socket, so that its descriptor is of no use alone."""
    return hasattr(sock, "getpeercert")


def _is_open(sock: Any) -> bool:
    try:
        return bool(sock.fileno() >= 0)
    except (AttributeError, OSError, ValueError):
        return False


def is_gevent(environ: WSGIEnvironment) -> bool:
    """Whether the server is gevent.pywsgi, which answers 500 to a 304 that has a Content-Length,
    and sends a last chunk after the head of an answer to HEAD that has none."""
    return str(environ.get("SERVER_SOFTWARE", "")).startswith("gevent")
