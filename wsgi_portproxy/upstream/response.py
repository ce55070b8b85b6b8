"""Step 4, the response of a service: its head, and the body that is still coming.

The body is read as it arrives, its Content-Encoding is kept, and it never ends early without an
error. `framing` parses the bytes; the `Lease` decides where the connection goes after the response.
"""

from __future__ import annotations

import _socket
import contextlib
import time
from typing import TYPE_CHECKING, Protocol

from urllib3 import HTTPHeaderDict
from urllib3.exceptions import ProtocolError

from ..errors import PortProxyError
from .channel import READ_SIZE
from .framing import Malformed, Truncated, is_ended_by_reset
from .reuse import may_be_shared
from .steps import Steps, Turn

if TYPE_CHECKING:
    from .connection import Exchange
    from .request import UpstreamRequest
    from .request_body import Upload

_DRAINED = 4  # reads; a redirect with a longer body costs a connection


class Lease(Protocol):
    """A connection to a service, lent to one response. Either call ends the loan."""

    def release(self, *, reusable: bool) -> None:
        """Give the connection back. `reusable`: nothing of this exchange is left on it."""

    def detach(self) -> _socket.socket:
        """Return the socket, which the caller must close."""


class UpstreamResponse:
    """The response of a service, whose body is read as it arrives.

    Reading raises `urllib3.exceptions.ProtocolError` if the body is malformed or ends too early,
    and `VisitorGone` if the visitor left. The connection is given back once it has delivered the
    whole body, or at `close`.
    """

    # Class attributes, so that `__del__` finds them even if `__init__` failed.
    _lease: Lease | None = None
    _headers: HTTPHeaderDict | None = None  # by name, made on first use
    _broke: ProtocolError | None = None  # raised once `_ready` is read

    def __init__(
        self, request: UpstreamRequest, exchange: Exchange, lease: Lease, *, has_body: bool
    ) -> None:
        """`has_body`: whether the request had a body."""
        self._head, self.framing, self._ready, self._channel = exchange
        self.status, self.reason = self._head.status, self._head.reason
        self._request = request
        self._request_has_body = has_body
        self._lease = lease
        if self.framing.complete:  # the usual case: frees the connection for others
            self._release()

    def __del__(self) -> None:
        # Dropped unread. The connection is closed and not given back: the garbage collector may run
        # while this very thread holds the pool's lock.
        if self._lease is not None:
            self._lease.release(reusable=False)

    @property
    def headers(self) -> HTTPHeaderDict:
        """The headers by name, duplicates kept in their order. May be changed."""
        if self._headers is None:
            self._headers = HTTPHeaderDict(self._head.headers)
        return self._headers

    @property
    def header_list(self) -> list[tuple[str, str]]:
        """The headers in their order. Cheaper than `headers`, unless that was used already."""
        return self._head.headers if self._headers is None else list(self._headers.iteritems())

    def take(self) -> bytes:
        """Take the body bytes that have come and were not read yet."""
        ready, self._ready = self._ready, b""
        return ready

    def body_is_due(self) -> bool:
        """Whether body bytes are due but none has come: the head is worth sending alone."""
        if self.is_ready or self.framing.is_behind or self._lease is None:
            return False
        return not self._channel.readable()

    @property
    def is_ready(self) -> bool:
        """Whether a read returns at once, with bytes or at the end."""
        return bool(self._ready) or self.framing.complete

    @property
    def is_whole(self) -> bool:
        """Whether all of the body has come: reading it never waits or fails."""
        return self.framing.complete

    @property
    def is_broken(self) -> bool:
        """Whether the rest of the body will not come. Reading what has come does not fail yet."""
        return self._broke is not None

    @property
    def may_go_on(self) -> bool:
        """Whether more of the body may come."""
        return not (self.framing.complete or self.is_broken)

    @property
    def is_read(self) -> bool:
        """Whether all of the body has been read."""
        return self.framing.complete and not self._ready

    @property
    def request_is_sent(self) -> bool:
        """Whether the service has taken the whole request."""
        return self._channel.sent_whole

    @property
    def holds_connection(self) -> bool:
        """Whether the connection has not been given back yet."""
        return self._lease is not None

    def wait(self, seconds: float, size: int) -> Steps[bool]:
        """Wait for more of the body; False if none came within `seconds`. Raises like `read1`.

        Bytes may be framing alone, such as a chunk's size, and only reading can tell. So this reads
        at most `size` bytes, which the next `read1` returns.
        """
        deadline = time.monotonic() + seconds
        while not self.is_ready and self._lease is not None:
            try:
                remaining = max(0.0, deadline - time.monotonic())
                # Undecoded bytes may be framing alone, however many come; so check the time too.
                is_behind = self.framing.is_behind
                if not (remaining if is_behind else (yield from self._channel.wait(remaining))):
                    return False
            except TimeoutError as error:
                raise self._fell_silent(error) from error
            except BaseException:  # `VisitorGone`; its traceback may keep this response for long
                self.close()
                raise
            self._ready = yield from self._receive(size)
        return True

    def gather(self, until: float, most: int) -> Steps[None]:
        """Read more of the body until all of it has come, it is `until` (monotonic), or `most`
        bytes are there. If the body breaks, the next read raises.

        Not while the request is still being sent: its visitor may wait for the head to go on.
        """
        began, broke = bytearray(self.take()), None
        try:
            while not self.framing.complete and len(began) < most and not self.framing.is_behind:
                if self._channel.is_sending:
                    break
                seconds = until - time.monotonic()
                if seconds <= 0 or not (yield from self._channel.wait(seconds)):
                    break
                began += yield from self._receive(READ_SIZE)
        except TimeoutError as error:
            broke = self._fell_silent(error)
        except ProtocolError as error:
            broke = error
        except BaseException:
            self.close()
            raise
        self.unread(bytes(began), broke)
        if self.framing.complete:
            self._release()

    def detach(self) -> tuple[_socket.socket, bytes]:
        """Return the connection, which the caller must close, and body bytes not read yet."""
        lease, self._lease = self._lease, None
        assert lease is not None, "the connection was given back"
        return lease.detach(), self.take()

    def unsent(self) -> tuple[bytes, Upload | None]:
        """What the caller must still send of the request: see `Channel.unsent`."""
        return self._channel.unsent()

    def unread(self, data: bytes, broke: ProtocolError | None = None) -> None:
        """Put `data` back before the unread body. `broke`: the error that reading on raised."""
        self._ready = data + self._ready
        self._broke = broke

    def read1(self, size: int = READ_SIZE) -> Steps[bytes]:
        """Wait for body bytes and return at most `size` of them; b"" at the end."""
        if self._ready:
            data, self._ready = self._ready[:size], self._ready[size:]
        elif self._broke is not None:
            raise self._broke
        else:
            data = yield from self._next_bytes(size)
            if len(data) > size:  # decoded from an earlier, larger read
                data, self._ready = data[:size], data[size:]
        if self._lease is not None and self.framing.complete:
            self._release()
        return data

    def _next_bytes(self, size: int) -> Steps[bytes]:
        data = b""
        while not (data or self.framing.complete) and self._lease is not None:
            data = yield from self._receive(size)
        return data

    def _receive(self, size: int) -> Steps[bytes]:
        """The body bytes of one read; b"" if it brought only framing or the end."""
        try:
            if self.framing.is_behind:
                yield Turn()
                return self.framing.feed(b"")
            received = yield from self._channel.receive(size)
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
        is_reset = isinstance(error, ConnectionResetError)
        return is_reset and is_ended_by_reset(self.framing, is_sent=self._channel.sent_whole)

    def _release(self) -> None:
        lease, self._lease = self._lease, None
        if lease is None:
            return
        lease.release(
            reusable=may_be_shared(
                self._request,
                self._head,
                self.framing,
                has_body=self._request_has_body,
                is_sent=self._channel.sent_whole,
            )
        )

    def interrupt(self, request: object, error: PortProxyError) -> None:
        """Break a body off that another thread reads."""
        if self._lease is not None:
            with contextlib.suppress(OSError):  # it has ended
                self._channel.sock.shutdown(_socket.SHUT_RDWR)

    def drain(self) -> Steps[None]:
        """Read and drop the rest of a short body that has come, to reuse the connection; otherwise
        close it."""
        with contextlib.suppress(ProtocolError):  # the connection is then closed
            for _ in range(_DRAINED):
                if self.body_is_due() or not (yield from self.read1()):
                    break
        self._release()

    def close(self) -> None:
        """Give the connection back; cut off a body that was not read whole. May be repeated."""
        self._ready = b""
        self._release()
