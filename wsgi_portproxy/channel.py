"""Both directions of one exchange with a service, on one thread, without a deadlock.

A service may answer before it has read the request (413), and may echo while it reads: whoever
first sends everything and then reads waits for ever, or loses the answer. So every wait looks both
ways. Owns the non-blocking socket work of an exchange; what the bytes mean is `framing`'s.
"""

from __future__ import annotations

import select
import socket
import time

from .errors import ClientGone
from .servers import VisitorSocket
from .upload import FIRST_BLOCK, Upload

# Seconds of silence after which the visitor's socket is looked at too. Long enough that a quick
# answer still reaches a client that closed its sending side at once (nc, some scripts); short
# enough that a service hears within a second that nobody listens any more.
_LOOK_AT_VISITOR_AFTER = 0.25
# The visitor's end of sending, or of all: after the request, both mean that it left, as in nginx.
# Where the system has no POLLRDHUP only a reset is noticed.
_LEFT = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


class Channel:
    """The connection to a service during one request.

    `timeout`: seconds without progress after which `receive` raises TimeoutError, counted from the
    last byte that the service took, until `deadline` is set to None. `visitor`: the visitor's
    socket, or None where it cannot be seen.
    """

    def __init__(
        self,
        sock: socket.socket,
        upload: Upload | None,
        *,
        visitor: VisitorSocket | None,
        timeout: float,
        deadline: float,
    ) -> None:
        self.sock = sock
        self.deadline: float | None = deadline
        self._timeout = timeout
        self._upload = upload
        self._visitor = visitor
        self._pending = memoryview(b"")  # what the socket has not taken yet
        self._refused = False  # the service closed its receiving side before the end

    @property
    def sent_whole(self) -> bool:
        """Whether the service has taken the whole request."""
        return not self._refused and not self._sending

    @property
    def _sending(self) -> bool:
        return bool(self._pending) or (self._upload is not None and not self._upload.complete)

    def send_head(self, head: bytes) -> None:
        """Begin to send: the head, in one piece with what is there already of a small body.

        Raises ConnectionError if the service has closed; it has not seen the request then.
        """
        upload = self._upload
        if upload is not None and upload.length and upload.length <= FIRST_BLOCK:
            source = upload.reader.socket
            if source is None or upload.reader.buffered() or _poll(source, select.POLLIN, None, 0):
                head += upload.next_block()
        try:
            sent = self.sock.send(head)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise _as_broken(error) from error
        self._pending = memoryview(head)[sent:]

    def receive(self, size: int, *, expect_wait: bool = False) -> bytes:
        """The next bytes from the service, at most `size`; b"" once it has closed its side.

        Meanwhile the upload goes on. `expect_wait` saves the look at a socket that cannot have
        anything yet. Raises TimeoutError at the deadline, `ClientGone` if the visitor left,
        ConnectionError if the connection broke, and what the server's input raises.
        """
        data = None if expect_wait else self._receive_now(size)
        while data is None:
            if self._sending:
                self._send_more()
            else:
                self._wait(select.POLLIN)
            data = self._receive_now(size)
        return data

    def wait(self, seconds: float) -> bool:
        """Wait for bytes of the service, or its end; False if none came within `seconds`.

        What is left of the request is sent first, as long as that takes. Raises `ClientGone`, and
        what the server's input raises.
        """
        while self._sending:
            self._send_more()
            if self.readable():
                return True
        self.deadline = time.monotonic() + seconds
        try:
            self._wait(select.POLLIN)
        except TimeoutError:
            return False
        finally:
            self.deadline = None
        return True

    def readable(self) -> bool:
        """Whether bytes of the service, or its end, are there now."""
        return bool(_poll(self.sock, select.POLLIN, None, 0))

    def _receive_now(self, size: int) -> bytes | None:
        try:
            return self.sock.recv(size)
        except BlockingIOError:
            return None
        except OSError as error:
            raise _as_broken(error) from error

    def _send_more(self) -> None:
        """Bring the upload one step forward, or wait until that or the answer is possible."""
        if not self._pending:
            assert self._upload is not None
            reader = self._upload.reader
            if reader.socket is not None and not reader.buffered():
                # Either side may be next: an answer now must not wait for more of the upload.
                _poll(self.sock, select.POLLIN, reader.socket, None, other_events=select.POLLIN)
                if self.readable():
                    return
            self._pending = memoryview(self._upload.next_block())
        try:
            sent = self.sock.send(self._pending)
        except BlockingIOError:
            self._wait(select.POLLIN | select.POLLOUT)
            return
        except ConnectionError:
            # It reads no further, but may have answered: what came before stays readable.
            self._refused = True
            self._upload, self._pending = None, memoryview(b"")
            return
        except OSError as error:  # of this machine: the service still waits for the rest
            raise _as_broken(error) from error
        self._pending = self._pending[sent:]
        if self.deadline is not None:
            self.deadline = time.monotonic() + self._timeout

    def _wait(self, events: int) -> None:
        """Wait until the socket has one of `events`; notice a visitor who leaves meanwhile."""
        remaining = None
        if self.deadline is not None:
            remaining = max(0.0, self.deadline - time.monotonic())
        first = _LOOK_AT_VISITOR_AFTER
        if self._visitor is None or (remaining is not None and remaining < first):
            ready = _poll(self.sock, events, None, remaining)
        else:
            ready = _poll(self.sock, events, None, first)
            if not ready:
                left = None if remaining is None else remaining - first
                ready = _poll(self.sock, events, self._visitor, left, other_events=_LEFT)
        if not ready:
            raise TimeoutError("no progress in time")
        if self.sock.fileno() not in ready:
            raise ClientGone("the visitor closed the connection")


def _as_broken(error: OSError) -> ConnectionError:
    """Whatever a socket reports, the exchange is over; TimeoutError stays ours alone."""
    return error if isinstance(error, ConnectionError) else ConnectionError(*error.args)


def _poll(
    sock: VisitorSocket,
    events: int,
    other: VisitorSocket | None,
    timeout: float | None,
    *,
    other_events: int = 0,
) -> dict[int, int]:
    """The descriptors that are ready, with their events; empty after `timeout` seconds."""
    poller = select.poll()
    poller.register(sock, events)
    if other is not None:
        poller.register(other, other_events)
    return dict(poller.poll(None if timeout is None else timeout * 1000))
