"""Step 4, one exchange: a request and the head of its answer, then the body, on one connection.

The connection and response classes that urllib3's pools are given: they do the writing and the
strict reading of `framing`. The rest of http.client stays unused: it takes a 103 for the answer,
drops fields after a malformed one, and delivers a cut head as an empty 200. What leaves here is a
`urllib3.BaseHTTPResponse`. Which connection is used, and when again, is `upstream`'s.
"""

from __future__ import annotations

import _socket
import contextlib
import io
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProtocolError

from .channel import Channel
from .errors import (
    BadRequest,
    BadResponse,
    ClientGone,
    IPv6Only,
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

# Literals, never names: what `localhost` resolves to may be held by another user of the machine.
IPV4, IPV6 = "127.0.0.1", "::1"
_LOOPBACK_ANSWERS = 0.5  # seconds; a full queue of connections would keep us waiting
_READ_SIZE = 65536  # bytes; Linux's loopback delivers about this much at once
_DRAINED = 4  # reads; a redirect with more of a body than that costs a connection

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
        self._broke: ProtocolError | None = None  # to be raised once `_ready` is read
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
        """Wait for more of the body; False if none came within `seconds`. Raises as reading does.

        Bytes that are framing alone, a chunk's size for instance, are no more of the body.
        """
        deadline = time.monotonic() + seconds
        while not self.is_ready and self._connection is not None:
            if not self._channel.wait(max(0.0, deadline - time.monotonic())):
                return False
            self._ready = self._receive(_READ_SIZE)
        return True

    def detach(self) -> tuple[_socket.socket, bytes]:
        """The service's connection, ours to close, and the decoded bytes not read from it yet."""
        connection, self._connection = self._connection, None
        assert connection is not None, "the connection was given back"
        sock = _socket.socket(fileno=connection.sock.detach())
        connection.close()
        ready, self._ready = self._ready, b""
        return sock, ready

    def unread(self, data: bytes, broke: ProtocolError | None = None) -> None:
        """Put `data` in front of what is still to be read. `broke`: what reading on had raised."""
        self._ready = data + self._ready
        self._broke = broke

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """The bytes that are there, at most `amt`, after waiting for the first; b"" at the end."""
        size = _READ_SIZE if amt is None or amt < 0 else amt
        if self._ready:
            data, self._ready = self._ready[:size], self._ready[size:]
        elif self._broke is not None:
            raise self._broke
        else:
            data = self._next_bytes(size)
        if self.framing.complete and not self._ready:
            self.release_conn()
        return data

    def _next_bytes(self, size: int) -> bytes:
        data = b""
        while not (data or self.framing.complete) and self._connection is not None:
            data = self._receive(size)
        return data

    def _receive(self, size: int) -> bytes:
        """What one read of the connection holds of the body; b"" if only framing, or its end."""
        try:
            received = self._channel.receive(size)
            if received:
                return self.framing.feed(received)
            self.framing.eof()
        except (Malformed, Truncated, ConnectionError) as error:
            if not self._ended_by_reset(error):
                self.close()
                raise ProtocolError(f"Response broken: {error}", error) from error
            self.framing.eof()
        except BaseException:
            self.close()
            raise
        return b""

    def _ended_by_reset(self, error: Exception) -> bool:
        """Whether a reset is only how the kernel reports that the service closed (RFC 9112 section
        9.6): it answered before it had read the whole request, and its answer ends with closing."""
        unread = not self._channel.sent_whole and isinstance(error, ConnectionResetError)
        return unread and isinstance(self.framing, CloseDecoder)

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
        """Read and drop the rest of a short body that is there already, so as to reuse the
        connection; else close it."""
        with contextlib.suppress(ProtocolError):  # it is closed then
            for _ in range(_DRAINED):
                if self.body_is_due() or not self.read1():
                    break
        self.release_conn()

    def shutdown(self) -> None:
        if self._connection is not None and self._connection.sock is not None:
            self._connection.sock.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Let go of the connection; a body that was not read whole is cut off. May be repeated."""
        self._ready = b""
        self.release_conn()
        io.IOBase.close(self)  # urllib3's base class leaves close to its subclasses


def listens_on_ipv6(port: int) -> bool:
    """Whether somebody accepts connections on [::1]; nothing is sent there."""
    try:
        with socket.create_connection((IPV6, port), timeout=_LOOPBACK_ANSWERS):
            return True
    except OSError:
        return False


class UpstreamConnection(HTTPConnection):
    """A connection to one service; one exchange at a time."""

    # urllib3 and http.client name it so; typeshed knows http.client's own class only.
    response_class = UpstreamResponse  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Whether [::1] is tried where nothing listens on 127.0.0.1.
        self.ipv6 = False
        #: Takes it after a clean exchange: its pool.
        self.keep: Callable[[UpstreamConnection], None] | None = None
        self.exchanges = 0  # ended cleanly on the present socket
        self.idle_since = 0.0

    def connect(self) -> None:
        """Open a socket to the service. Raises `UpstreamError` in one of its kinds."""
        port = self.port or 0
        self.host = IPV4
        try:
            super().connect()
        except (NewConnectionError, ConnectTimeoutError) as error:
            # Its errno, which the log tells in one line, is all that there is to know.
            cause = error.__cause__ or error
            if not (isinstance(cause, ConnectionRefusedError) and listens_on_ipv6(port)):
                raise from_connect_error(cause, port) from None
            if not self.ipv6:
                raise IPv6Only(port) from None
            self._connect_by_ipv6(port)
        if self._is_connected_to_itself():
            self.close()
            raise ServiceUnreachable(port, detail="connected to itself")
        self.exchanges = 0
        self.sock.setblocking(False)

    def _connect_by_ipv6(self, port: int) -> None:
        self.host = IPV6
        try:
            super().connect()
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise from_connect_error(error.__cause__ or error, port) from None

    def _is_connected_to_itself(self) -> bool:
        """TCP may connect a free ephemeral port to itself; we would be our own service."""
        try:
            return bool(self.sock.getsockname() == self.sock.getpeername())
        except OSError:  # reset since; reading will tell
            return False

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
                try:
                    early_hints(head.headers)
                except OSError as error:  # of the visitor's connection, not of the service's
                    raise ClientGone("sending early hints failed") from error
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
        if reusable and self.keep is not None:
            self.exchanges += 1
            self.idle_since = time.monotonic()
            self.keep(self)
        else:
            self.close()
