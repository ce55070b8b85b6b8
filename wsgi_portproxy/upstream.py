"""Step 4: the exchange with a service on 127.0.0.1, over urllib3's pools, one per port.

urllib3 owns connecting, pooling and the response interface; the connection and response classes,
which it lets us name, do the writing and the strict reading of `framing`. The rest of http.client
stays unused: it takes a 103 for the answer, drops fields after a malformed one, and delivers a cut
head as an empty 200. What leaves here is a `urllib3.BaseHTTPResponse`.
"""

from __future__ import annotations

import _socket
import io
import os
import socket
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProtocolError

from .channel import Channel
from .errors import (
    BadRequest,
    BadResponse,
    NoResponse,
    ServiceTimeout,
    ServiceUnreachable,
    from_connect_error,
)
from .framing import (
    MAX_INTERIM,
    CloseDecoder,
    Decoder,
    Head,
    Malformed,
    Truncated,
    body_decoder,
    find_head_end,
    keeps_alive,
    parse_head,
)
from .servers import VisitorSocket
from .upload import Upload

_ADDRESS = "127.0.0.1"  # never a name: another user of the machine may hold [::1]:port
_READ_SIZE = 65536  # bytes; Linux's loopback delivers about this much at once
_IDLE_CONNECTIONS = 64  # kept per port: as many as a gunicorn worker is likely to have threads
_POOLS = 256  # ports with idle connections; beyond, the oldest pool is closed
# Seconds for which an idle connection is trusted with a request that may not be repeated: common
# keep-alive limits of development servers begin at 2 s (Node 5, gunicorn 2, uvicorn 5).
_TRUSTED_IDLE = 2.0
# RFC 9110 section 9.2.2: a method whose repetition has the same effect.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

#: Called with the fields of each 103 (RFC 8297) that comes before the answer.
EarlyHints = Callable[[list[tuple[str, str]]], None]


class UpstreamRequest(NamedTuple):
    """A request as it goes onto the wire: `target` in origin-form, `headers` with Host.

    `websocket`: it asks for an upgrade, so that a 101 is an answer to it.
    """

    port: int
    method: str
    target: str
    headers: list[tuple[str, str]]
    websocket: bool = False

    def head(self) -> bytes:
        """The bytes up to the empty line. Raises `BadRequest` rather than write two requests."""
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        text = "\r\n".join(lines)
        breaks = len(self.headers)
        if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
            raise BadRequest("The request holds a character that no header may hold.")
        return f"{text}\r\n\r\n".encode("latin-1")


class UpstreamResponse(urllib3.BaseHTTPResponse):
    """The answer of a service, its body read as it comes and never decoded.

    `headers` is urllib3's HTTPHeaderDict, duplicates kept in their order. Reading raises
    `urllib3.exceptions.ProtocolError` if the body is malformed or ends before it should,
    and `ClientGone` if the visitor left.
    """

    def __init__(
        self,
        head: Head,
        decoder: Decoder,
        ready: bytes,
        channel: Channel,
        connection: UpstreamConnection,
        *,
        request_url: str,
    ) -> None:
        self._channel = channel
        self.framing = decoder
        self._connection: UpstreamConnection | None = connection
        self._keeps_alive = keeps_alive(head) and not isinstance(decoder, CloseDecoder)
        self._ready = ready  # decoded bytes that came together with the head
        super().__init__(
            headers=urllib3.HTTPHeaderDict(head.headers),
            status=head.status,
            version=10 + min(head.minor, 1),
            version_string=f"HTTP/1.{head.minor}",
            reason=head.reason,
            decode_content=False,
            request_url=request_url,
        )

    def body_is_due(self) -> bool:
        """Whether body bytes will come, but none has come yet: the head is news by itself."""
        return not (self._ready or self.framing.complete or self._channel.readable())

    @property
    def is_ready(self) -> bool:
        """Whether reading would return at once: with bytes that have come, or at the end."""
        return bool(self._ready) or self.framing.complete

    @property
    def request_is_sent(self) -> bool:
        """Whether the service has taken the whole request."""
        return self._channel.sent_whole

    def wait(self, seconds: float) -> bool:
        """Wait for more of the body; False if none came within `seconds`. Raises `ClientGone`."""
        return self._channel.wait(seconds)

    def detach(self) -> tuple[_socket.socket, bytes]:
        """The service's connection, ours to close, and the decoded bytes not read from it yet."""
        connection, self._connection = self._connection, None
        assert connection is not None, "the connection was given back"
        sock = _socket.socket(fileno=connection.sock.detach())
        connection.close()
        ready, self._ready = self._ready, b""
        return sock, ready

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """The bytes that are there, at most `amt`, after waiting for the first; b"" at the end."""
        size = _READ_SIZE if amt is None or amt < 0 else amt
        if self._ready:
            data, self._ready = self._ready[:size], self._ready[size:]
        else:
            data = self._next_bytes(size)
        if self.framing.complete and not self._ready:
            self.release_conn()
        return data

    def _next_bytes(self, size: int) -> bytes:
        while not self.framing.complete and self._connection is not None:
            try:
                received = self._channel.receive(size)
                if received:
                    data = self.framing.feed(received)
                else:
                    data = b""
                    self.framing.eof()
            except (Malformed, Truncated, ConnectionError) as error:
                self.close()
                raise ProtocolError(f"Response broken: {error}", error) from error
            except BaseException:
                self.close()
                raise
            if data:
                return data
        return b""

    def read(
        self,
        amt: int | None = None,
        decode_content: bool | None = None,
        cache_content: bool = False,
    ) -> bytes:
        """`amt` bytes, or the whole body, after waiting for all of them."""
        parts: list[bytes] = []
        due = amt
        while due is None or due > 0:
            data = self.read1(due)
            if not data:
                break
            parts.append(data)
            due = None if due is None else due - len(data)
        return b"".join(parts)

    def stream(
        self, amt: int | None = _READ_SIZE, decode_content: bool | None = None
    ) -> Iterator[bytes]:
        """The body in the blocks in which it comes, each at most `amt` bytes."""
        while data := self.read1(amt):
            yield data

    read_chunked = stream

    @property
    def data(self) -> bytes:
        return self.read()

    @property
    def connection(self) -> UpstreamConnection | None:
        return self._connection

    @property
    def url(self) -> str | None:
        return self._request_url

    @url.setter
    def url(self, url: str | None) -> None:
        self._request_url = url

    def release_conn(self) -> None:
        """Give the connection back if nothing of this exchange is left on it, else close it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        clean = self.framing.complete and not self.framing.surplus and not self._ready
        connection.end_exchange(reusable=clean and self._keeps_alive and self._channel.sent_whole)

    def drain_conn(self) -> None:
        """Read and drop the rest of a short body that is there already, so as to reuse the rest."""
        while self._connection is not None and not self.body_is_due() and self.read1():
            pass
        self.release_conn()

    def shutdown(self) -> None:
        if self._connection is not None and self._connection.sock is not None:
            self._connection.sock.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Let go of the connection; a body that was not read whole is cut off. May be repeated."""
        self._ready = b""
        self.release_conn()
        io.IOBase.close(self)  # urllib3's base class leaves close to its subclasses


class UpstreamConnection(HTTPConnection):
    """A connection to one service; one exchange at a time."""

    # urllib3 and http.client name it so; typeshed knows http.client's own class only.
    response_class = UpstreamResponse  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pool: UpstreamPool | None = None  # where it goes after a clean exchange
        self.exchanges = 0  # ended cleanly on the present socket
        self.idle_since = 0.0

    def connect(self) -> None:
        """Open a socket to the service. Raises `UpstreamError` in one of its kinds."""
        port = self.port or 0
        try:
            super().connect()
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise from_connect_error(error.__cause__ or error, port) from error
        if self.sock.getsockname() == self.sock.getpeername():
            # TCP may connect a free ephemeral port to itself; we would talk to ourselves.
            self.close()
            raise ServiceUnreachable(port, detail="connected to itself")
        self.exchanges = 0
        self.sock.setblocking(False)

    def exchange(
        self,
        request: UpstreamRequest,
        upload: Upload | None,
        visitor: VisitorSocket | None,
        *,
        head_timeout: float,
        early_hints: EarlyHints | None,
    ) -> UpstreamResponse:
        """Send a request and read the head of its answer, both at once while there is a body.

        Raises `UpstreamError`, `ClientGone`, and what the server's input raises; the connection is
        closed then.
        """
        deadline = time.monotonic() + head_timeout
        try:
            if self.sock is None:
                self.connect()
            channel = Channel(
                self.sock, upload, visitor=visitor, timeout=head_timeout, deadline=deadline
            )
            channel.send_head(request.head())
            head, rest = self._read_head(channel, early_hints, switches=request.websocket)
            decoder = body_decoder(head, request.method)
            channel.deadline = None
            ready = decoder.feed(rest) if rest else b""
        except Malformed as error:
            self.close()
            raise BadResponse(request.port, detail=str(error)) from error
        except TimeoutError as error:
            self.close()
            raise ServiceTimeout(request.port, detail="no head in time") from error
        except ConnectionError as error:
            self.close()
            raise NoResponse(request.port, detail=type(error).__name__) from error
        except BaseException:
            self.close()
            raise
        return UpstreamResponse(head, decoder, ready, channel, self, request_url=request.target)

    def _read_head(
        self, channel: Channel, early_hints: EarlyHints | None, *, switches: bool
    ) -> tuple[Head, bytes]:
        """The final response head, and what came behind it. Interim heads are skipped; a 101 is
        final where `switches`, and refused elsewhere."""
        buffer = bytearray()
        searched = interim = 0
        while True:
            end = find_head_end(buffer, searched) if buffer else -1
            if end < 0:
                searched = len(buffer)
                buffer += self._receive_head_bytes(channel, started=bool(searched or interim))
                continue
            head = parse_head(buffer[:end])
            if 200 <= head.status <= 599 or (switches and head.status == 101):
                return head, bytes(buffer[end:])
            interim += 1
            if not 100 <= head.status < 200 or head.status == 101 or interim > MAX_INTERIM:
                raise Malformed("status outside 200 to 599")
            if head.status == 103 and early_hints is not None:
                early_hints(head.headers)
            del buffer[:end]
            searched = 0

    def _receive_head_bytes(self, channel: Channel, *, started: bool) -> bytes:
        """The next bytes of a head. The request may be repeated if it fails before the first."""
        try:
            data = channel.receive(_READ_SIZE, expect_wait=not started)
        except ConnectionError as error:
            if started:
                raise Malformed("connection reset within the head") from error
            raise
        if not data and started:
            raise Malformed("connection closed within the head")
        if not data:
            raise ConnectionResetError("connection closed before the head")
        return data

    def end_exchange(self, *, reusable: bool) -> None:
        """Return to the pool, or close."""
        if reusable and self.pool is not None:
            self.exchanges += 1
            self.idle_since = time.monotonic()
            self.pool.put(self)
        else:
            self.close()

    @property
    def is_trusted(self) -> bool:
        """Whether a request that may not be repeated may go out on it.

        It has been kept alive once, so the service does not close after each answer without saying
        so, and it has not been idle for long.
        """
        return self.exchanges > 1 and time.monotonic() - self.idle_since < _TRUSTED_IDLE


class UpstreamPool(urllib3.HTTPConnectionPool):
    """Idle connections to one port."""

    ConnectionCls = UpstreamConnection

    def get(self, *, only_trusted: bool, fresh: bool) -> UpstreamConnection:
        """An idle connection with nothing unread on it, or one that is not connected yet."""
        # urllib3 closes one whose socket is readable.
        connection = self._new_conn() if fresh else self._get_conn()
        assert isinstance(connection, UpstreamConnection)
        connection.pool = self
        if only_trusted and not connection.is_trusted:
            connection.close()
        return connection

    def put(self, connection: UpstreamConnection) -> None:
        if self.pool is None or self.pool.full():
            connection.close()  # urllib3 would log a warning for what is only a busy moment
        else:
            self._put_conn(connection)


class Upstream:
    """The way to all services: pools made when first needed, per process, never shared by a fork.

    connect_timeout, head_timeout: seconds, for a connection to open and for the head of an answer
    to come (counted from the last byte of the request that the service took).
    """

    def __init__(self, *, connect_timeout: float, head_timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._head_timeout = head_timeout
        self._pools: dict[int, UpstreamPool] = {}
        _instances.add(self)

    def send(
        self,
        request: UpstreamRequest,
        upload: Upload | None = None,
        *,
        visitor: VisitorSocket | None = None,
        early_hints: EarlyHints | None = None,
    ) -> UpstreamResponse:
        """Send a request and return its answer as soon as the head is there.

        Repeated once, on a fresh connection, if a reused connection turned out to be closed before
        any byte of an answer, and the request is idempotent and has no body. Raises as
        `UpstreamConnection.exchange` does.
        """
        repeatable = upload is None and request.method in _IDEMPOTENT
        pool = self._pool(request.port)
        connection = pool.get(only_trusted=not repeatable, fresh=request.websocket)
        reused = connection.sock is not None
        try:
            return self._exchange(connection, request, upload, visitor, early_hints)
        except NoResponse:
            if not (reused and repeatable):
                raise
        return self._exchange(connection, request, upload, visitor, early_hints)

    def _exchange(
        self,
        connection: UpstreamConnection,
        request: UpstreamRequest,
        upload: Upload | None,
        visitor: VisitorSocket | None,
        early_hints: EarlyHints | None,
    ) -> UpstreamResponse:
        return connection.exchange(
            request, upload, visitor, head_timeout=self._head_timeout, early_hints=early_hints
        )

    def _pool(self, port: int) -> UpstreamPool:
        pool = self._pools.get(port)
        if pool is None:
            timeout = urllib3.Timeout(connect=self._connect_timeout)
            pool = UpstreamPool(
                _ADDRESS, port, timeout=timeout, maxsize=_IDLE_CONNECTIONS, retries=False
            )
            pool = self._pools.setdefault(port, pool)
            if len(self._pools) > _POOLS:
                self._drop_oldest(keep=port)
        return pool

    def _drop_oldest(self, keep: int) -> None:
        oldest = next(iter(self._pools))
        if oldest != keep and (pool := self._pools.pop(oldest, None)) is not None:
            pool.close()

    def close(self) -> None:
        """Close all idle connections. Those in use close at the end of their exchange."""
        while self._pools:
            _, pool = self._pools.popitem()
            pool.close()


_instances: weakref.WeakSet[Upstream] = weakref.WeakSet()


def _forget_parents_connections() -> None:
    """In a forked child: two processes on one connection would read each other's answers."""
    for upstream in list(_instances):
        upstream.close()


os.register_at_fork(after_in_child=_forget_parents_connections)
