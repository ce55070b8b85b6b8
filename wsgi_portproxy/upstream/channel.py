"""Both directions of one exchange with a service, on one thread, without a deadlock.

A service may respond before it has read the request (413), or echo while it reads. A proxy that
sends everything before it reads waits for ever, or loses the response. So every wait watches both
directions. This module does the non-blocking socket work; `framing` parses the bytes.
"""

from __future__ import annotations

import select
import socket
import time
from typing import NamedTuple

from ..errors import VisitorGone
from ..servers import VisitorSocket
from . import recv
from .request_body import FIRST_BLOCK, Upload
from .steps import Steps, Turn, Wait

READ_SIZE = 65536  # bytes; Linux's loopback delivers about this much at once


class Route(NamedTuple):
    """How a request goes out, and the requests that follow it on a redirect.

    visitor: the visitor's socket, whose end is the request's; None if the server does not expose
        it.
    ipv6: whether [::1] is tried if nothing listens on 127.0.0.1.
    deadline: for the head of the response, monotonic. Each part of an upload that the service
        accepts moves it to `head_timeout` seconds from that moment.
    idle_timeout: seconds without progress after the head; None: no limit.
    """

    visitor: VisitorSocket | None
    ipv6: bool
    deadline: float
    head_timeout: float
    idle_timeout: float | None


class Channel:
    """The connection to a service during one request.

    deadline: when `receive` raises TimeoutError; None once the head has come, see `begin_body`.
    incoming: polls the socket for bytes from the service; the connection keeps it for its next
        exchange.
    """

    # When to give up on the body; any progress moves this.
    _idle_end: float | None = None
    _pending = memoryview(b"")  # bytes that the socket has not accepted yet
    _refused = False  # the service closed its receiving side before the end of the request
    _is_sending = True  # some of the request is still to be sent

    def __init__(
        self,
        sock: socket.socket,
        incoming: select.poll,
        upload: Upload | None,
        route: Route,
    ) -> None:
        self.sock = sock
        self._incoming = incoming
        self.deadline: float | None = route.deadline
        self._route = route
        self._upload = upload
        self._visitor = route.visitor

    @property
    def sent_whole(self) -> bool:
        """Whether the service has taken the whole request."""
        return not (self._is_sending or self._refused)

    @property
    def is_sending(self) -> bool:
        """Whether some of the request is still to be sent."""
        return self._is_sending

    def _sent(self) -> None:
        """Note whether the request is now complete."""
        upload = self._upload
        self._is_sending = bool(self._pending) or (upload is not None and not upload.complete)

    def unsent(self) -> tuple[bytes, Upload | None]:
        """What is still to be sent of the request: bytes, and the upload that goes on after them.
        Whoever asks sends it."""
        if not self._is_sending:
            return b"", None
        self._is_sending = False
        upload = self._upload
        return bytes(self._pending), None if upload is None or upload.complete else upload

    def check_deadline(self) -> None:
        """Raises TimeoutError past the deadline, which `receive` ignores while bytes are there."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise TimeoutError("no response in time")

    def begin_body(self) -> None:
        """End the deadline for the head; the body has none, but its pauses may be limited."""
        self.deadline = None
        if self._route.idle_timeout is not None:
            self._moved()

    def _moved(self) -> None:
        """Restart the idle timeout after progress, once the head has come."""
        if self.deadline is not None:
            return
        if self._route.idle_timeout is not None:
            self._idle_end = time.monotonic() + self._route.idle_timeout

    def _until(self) -> float | None:
        """When to stop waiting for the service, monotonic; None: no limit."""
        end = self.deadline
        if self._idle_end is not None and (end is None or self._idle_end < end):
            end = self._idle_end
        return end

    def send_head(self, head: bytes) -> None:
        """Start to send the head, together with the first block of a small body if it has come.

        Raises ConnectionError if the service closed the connection, and so never saw the request.
        """
        upload = self._upload
        if upload is not None and upload.length and upload.length <= FIRST_BLOCK:
            source = upload.reader.socket
            if source is None or upload.reader.buffered() or _has_bytes(source):
                head += upload.next_block()
        try:
            sent = self.sock.send(head)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise _as_broken(error) from error
        if sent < len(head):
            self._pending = memoryview(head)[sent:]
        self._sent()

    def receive(self, size: int, *, expect_wait: bool = False) -> Steps[bytes]:
        """The next bytes from the service, at most `size`; b"" once it has closed its side.

        Continues the upload meanwhile. `expect_wait` skips the first read, if no bytes can have
        come yet. Raises TimeoutError at the deadline, `VisitorGone` if the visitor left,
        ConnectionError if the connection broke, and any error of the server's input.
        """
        data = None if expect_wait else self._receive_now(size)
        while data is None:
            if self._is_sending:
                yield from self._send_more()
            else:
                yield from self._wait(select.POLLIN)
            data = self._receive_now(size)
        return data

    def wait(self, seconds: float) -> Steps[bool]:
        """Wait until the service sends bytes or closes; False if it does neither in `seconds`.

        Sends the rest of the request first, however long that takes. Raises TimeoutError if the
        body has paused for too long, `VisitorGone`, and any error of the server's input.
        """
        while self._is_sending:
            yield from self._send_more()
            if self.readable():
                return True
        self.deadline = time.monotonic() + seconds
        try:
            yield from self._wait(select.POLLIN)
        except TimeoutError:
            if self._idle_end is not None and self._idle_end <= time.monotonic():
                raise
            return False
        finally:
            self.deadline = None
        return True

    def readable(self) -> bool:
        """Whether the service has sent bytes or closed, so that a read returns at once."""
        return bool(self._incoming.poll(0))

    def _receive_now(self, size: int) -> bytes | None:
        try:
            data = recv.receive(self.sock, size)
        except BlockingIOError:
            return None
        except OSError as error:
            raise _as_broken(error) from error
        if self._idle_end is not None:
            self._moved()
        return data

    def _send_more(self) -> Steps[None]:
        """Send another piece of the request, or wait until it can be sent or a response comes."""
        if not self._pending:
            assert self._upload is not None
            reader = self._upload.reader
            if reader.is_behind:
                yield Turn()
            elif reader.socket is not None and not reader.buffered():
                # A response must not wait for more of the upload.
                yield from self._wait_for_upload(reader.socket)
                if self.readable():
                    return
            self._pending = memoryview(self._upload.next_block())
        try:
            sent = self.sock.send(self._pending)
        except BlockingIOError:
            yield from self._wait(select.POLLIN | select.POLLOUT)
            return
        except ConnectionError:
            # The service reads no further, but may have responded: its bytes stay readable.
            self._refused = True
            self._upload, self._pending = None, memoryview(b"")
            self._is_sending = False
            return
        except OSError as error:  # a local error: the service still waits for the rest
            raise _as_broken(error) from error
        self._pending = self._pending[sent:]
        self._sent()
        if self.deadline is not None:
            self.deadline = time.monotonic() + self._route.head_timeout
        else:
            self._moved()

    def _wait_for_upload(self, source: VisitorSocket) -> Steps[None]:
        """Wait for bytes from the service, or more of the upload, which has no deadline."""
        until = None if self.deadline is not None else self._until()
        ready = yield Wait(self.sock, select.POLLIN, until, source, self._incoming, for_more=True)
        if not any(ready):
            raise TimeoutError("no progress in time")

    def _wait(self, events: int) -> Steps[None]:
        """Wait until the socket has one of `events`. Raises `VisitorGone` if the visitor leaves."""
        ready = yield Wait(self.sock, events, self._until(), self._visitor, self._incoming)
        if not any(ready):
            raise TimeoutError("no progress in time")
        if not ready.service:
            raise VisitorGone("the visitor closed the connection")


def _as_broken(error: OSError) -> ConnectionError:
    """Turn a socket error into a ConnectionError, so that every TimeoutError is our own."""
    return error if isinstance(error, ConnectionError) else ConnectionError(*error.args)


def _has_bytes(source: VisitorSocket) -> bool:
    """Whether the visitor has sent bytes or closed."""
    poller = select.poll()
    poller.register(source, select.POLLIN)
    return bool(poller.poll(0))
