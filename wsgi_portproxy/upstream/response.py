"""Step 4, the answer of a service: its head and the body that is still coming.

Owns how a body is read: as it comes, never decoded, and never quietly short. The bytes' meaning is
`framing`'s, the connection they come on `exchange`'s.
"""

from __future__ import annotations

import _socket
import contextlib
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import urllib3
from urllib3.exceptions import ProtocolError

from .channel import Channel
from .framing import CloseDecoder, Decoder, Head, Malformed, Truncated
from .reuse import may_be_shared

if TYPE_CHECKING:
    from .connection import UpstreamConnection, UpstreamRequest

READ_SIZE = 65536  # bytes; Linux's loopback delivers about this much at once
_DRAINED = 4  # reads; a redirect with more of a body than that costs a connection


class UpstreamResponse(urllib3.BaseHTTPResponse):
    """The answer of a service, its body read as it comes and never decoded.

    Reading raises `urllib3.exceptions.ProtocolError` if the body is malformed or ends before it
    should, and `ClientGone` if the visitor left.
    """

    # The same for all: bodies are passed as they are.
    decode_content = False
    chunked = False
    retries = None
    length_remaining = None
    # What most answers never need.
    _headers: urllib3.HTTPHeaderDict | None = None  # the fields, once somebody has asked
    _broke: ProtocolError | None = None  # to be raised once `_ready` is read

    def __init__(
        self,
        head: Head,
        decoder: Decoder,
        ready: bytes,
        channel: Channel,
        connection: UpstreamConnection,
        request: UpstreamRequest,
        *,
        has_body: bool,
    ) -> None:
        # Not urllib3's own __init__: it makes a dictionary of the fields first thing.
        self.status = head.status
        self.reason = head.reason
        self._request_url: str | None = request.target
        self._request = request
        self._request_has_body = has_body
        self._head = head
        self._channel = channel
        self.framing = decoder
        self._connection: UpstreamConnection | None = connection
        self._ready = ready  # decoded bytes that came together with the head
        if decoder.complete:  # as most are: another request may have the connection meanwhile
            self.release_conn()

    @property
    def version(self) -> int:  # type: ignore[override]
        """10 or 11, as in http.client."""
        return 11 if self._head.minor else 10

    @property
    def version_string(self) -> str:  # type: ignore[override]
        return f"HTTP/{self.version / 10}"

    @property
    def headers(self) -> urllib3.HTTPHeaderDict:  # type: ignore[override]
        """The fields by name, duplicates kept in their order; to be changed, if need be."""
        if self._headers is None:
            self._headers = urllib3.HTTPHeaderDict(self._head.headers)
        return self._headers

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The fields in their order. Cheaper than `headers`, where nobody has asked for those."""
        return self._head.headers if self._headers is None else list(self._headers.iteritems())

    def take(self) -> bytes:
        """What has come of the body and was not read yet."""
        ready, self._ready = self._ready, b""
        return ready

    def body_is_due(self) -> bool:
        """Whether body bytes will come, but none has come yet: the head is news by itself."""
        if self.is_ready or self.framing.is_behind or self._connection is None:
            return False
        return not self._channel.readable()

    @property
    def is_ready(self) -> bool:
        """Whether reading would return at once: with bytes that have come, or at the end."""
        return bool(self._ready) or self.framing.complete

    @property
    def is_whole(self) -> bool:
        """Whether all of the body has come: reading it never waits, and never fails."""
        return self.framing.complete

    @property
    def is_read(self) -> bool:
        """Whether all of the body has been read."""
        return self.framing.complete and not self._ready

    @property
    def request_is_sent(self) -> bool:
        """Whether the service has taken the whole request."""
        return self._channel.sent_whole

    def wait(self, seconds: float, size: int) -> bool:
        """Wait for more of the body; False if none came within `seconds`. Raises as reading does.

        Bytes that are framing alone, a chunk's size for instance, are no more of the body, which
        only reading can tell: at most `size` bytes are read, and given out by the next `read1`.
        """
        deadline = time.monotonic() + seconds
        while not self.is_ready and self._connection is not None:
            try:
                remaining = max(0.0, deadline - time.monotonic())
                # What waits to be decoded may be framing alone, for as long as it comes.
                is_behind = self.framing.is_behind
                if not (remaining if is_behind else self._channel.wait(remaining)):
                    return False
            except TimeoutError as error:
                raise self._fell_silent(error) from error
            self._ready = self._receive(size)
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
        size = READ_SIZE if amt is None or amt < 0 else amt
        if self._ready:
            data, self._ready = self._ready[:size], self._ready[size:]
        elif self._broke is not None:
            raise self._broke
        else:
            data = self._next_bytes(size)
            if len(data) > size:  # of what was read with an earlier block
                data, self._ready = data[:size], data[size:]
        if self._connection is not None and self.framing.complete:
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
            if self.framing.is_behind:
                return self.framing.feed(b"")
            received = self._channel.receive(size)
            if received:
                return self.framing.feed(received)
            self.framing.eof()
        except TimeoutError as error:
            raise self._fell_silent(error) from error
        except (Malformed, Truncated, ConnectionError) as error:
            if not self._ended_by_reset(error):
                self.close()
                raise ProtocolError(f"Response broken: {error}", error) from error
            self.framing.eof()
        except BaseException:
            self.close()
            raise
        return b""

    def _fell_silent(self, error: TimeoutError) -> ProtocolError:
        self.close()
        return ProtocolError("Response broken: nothing came for too long", error)

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
        self, amt: int | None = READ_SIZE, decode_content: bool | None = None
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
        connection.end_exchange(
            reusable=may_be_shared(
                self._request,
                self._head,
                self.framing,
                has_body=self._request_has_body,
                is_sent=self._channel.sent_whole,
            )
        )

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

    @property
    def closed(self) -> bool:
        # Asked when it is collected, which closes what is not.
        return self._connection is None and not self._ready
