"""gunicorn: the socket is in the environ, and bodies can be read as they arrive, chunked too."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .base import Adapter, Block, BodyReader, RawBody, is_tls

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class LengthReader(BodyReader):
    """Reads a body of known length as it arrives.

    gunicorn's own `read(n)` waits for `n` bytes, at least 1024, and copies a block three times.
    This takes the bytes that gunicorn has read ahead from its reader, and the rest straight from
    the socket, into memory that is reused for the next block.
    """

    follows = True

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
        if not limit:  # recv_into would take 0 for the whole memory
            return b""
        if limit > len(self._memory):
            self._memory = bytearray(limit)
        size = self._recv_into(self._memory, limit)
        self._reader.length -= size  # gunicorn expects the next request after the body
        return memoryview(self._memory)[:size]


class ChunkedReader(BodyReader):
    """Reads a chunked body: waits for one byte, then takes the decoded bytes that follow it."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def read(self, limit: int) -> Block:
        data: bytes = self._reader.read(1)
        decoded = self._reader.buf.tell()
        if data and decoded:
            data += self._reader.read(min(limit - 1, decoded))
        return data


class RawChunks:
    """The connection under a chunked body that gunicorn has not begun to read."""

    def __init__(self, body: Any, unreader: Any, sock: Any) -> None:
        self._body = body
        self._unreader = unreader
        self.socket = sock

    def buffered(self) -> bool:
        return bool(self._unreader.buf.tell())

    def read(self, limit: int) -> bytes:
        data: bytes = _take(self._unreader) or self.socket.recv(limit)
        return data

    def give_back(self, data: bytes) -> None:
        self._unreader.unread(data)

    def stand_in(self, read: Callable[[int], bytes]) -> None:
        self._body.reader = StandIn(read, self._unreader)


class StandIn:
    """Takes the place of gunicorn's reader of a body."""

    def __init__(self, read: Callable[[int], bytes], unreader: Any) -> None:
        self.read = read
        self.unreader = unreader


class Gunicorn(Adapter):
    """All of gunicorn's workers. gthread's threads are counted like those of any pool."""

    name = "gunicorn"
    module = "gunicorn.http.wsgi"
    key_prefixes = ("gunicorn.",)

    def socket(self, environ: WSGIEnvironment) -> Any:
        return environ.get("gunicorn.socket")

    def owns(self, start_response: object) -> bool:
        # With `--protocol uwsgi`, the other end does not read HTTP.
        config = getattr(getattr(start_response, "__self__", None), "cfg", None)
        return super().owns(start_response) and getattr(config, "protocol", "http") == "http"

    def read_ahead(self, environ: WSGIEnvironment) -> bytes:
        reader = getattr(environ["wsgi.input"], "reader", None)
        if reader is None:  # behind another middleware's input; a body cannot leave with it
            return b""
        return _take(reader.unreader if hasattr(reader, "unreader") else reader.req.unreader)

    def body_reader(self, environ: WSGIEnvironment) -> BodyReader | None:
        reader = getattr(environ["wsgi.input"], "reader", None)
        sock = self.socket(environ)
        if reader is None or sock is None:
            return None
        kind = type(reader).__name__
        if kind == "ChunkedReader" and hasattr(reader, "buf"):
            return ChunkedReader(reader)
        # With TLS, the kernel cannot tell whether there is something to read.
        unreader = getattr(reader, "unreader", None)
        is_known = getattr(unreader, "sock", None) is sock and hasattr(unreader, "buf")
        if kind == "LengthReader" and is_known and hasattr(reader, "length") and not is_tls(sock):
            return LengthReader(reader, sock)
        return None

    def raw_body(self, environ: WSGIEnvironment) -> RawBody | None:
        body = environ["wsgi.input"]
        sock = self.socket(environ)
        reader = getattr(body, "reader", None)
        parser = getattr(reader, "parser", None)
        unreader = getattr(getattr(reader, "req", None), "unreader", None)
        if sock is None or is_tls(sock) or getattr(unreader, "sock", None) is not sock:
            return None
        if not inspect.isgenerator(parser) or not hasattr(unreader, "unread"):
            return None
        is_untouched = inspect.getgeneratorstate(parser) == inspect.GEN_CREATED
        return RawChunks(body, unreader, sock) if is_untouched else None


def _take(unreader: Any) -> bytes:
    """Take the bytes that gunicorn has read ahead."""
    take = getattr(unreader, "take_buffered", None)  # since gunicorn 27
    if take is not None:
        data: bytes = take()
    else:
        data = unreader.buf.getvalue()
        unreader.buf = io.BytesIO()
    return data
