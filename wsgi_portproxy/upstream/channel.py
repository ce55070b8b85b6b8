"""Both directions of one exchange with a service, on one thread, without a deadlock.

A service may answer before it has read the request (413), and may echo while it reads: a proxy
that sends everything before it reads waits for ever, or loses the response. So every wait looks
both ways. This is the non-blocking socket work of an exchange; what the bytes mean is `framing`'s.
"""

from __future__ import annotations

import _socket
import os
import select
import socket
import time
from typing import NamedTuple

from ..errors import VisitorGone
from ..servers import VisitorSocket
from . import recv
from .request_body import FIRST_BLOCK, Upload

READ_SIZE = 65536  # bytes; Linux's loopback delivers about this much at once
# Seconds of silence after which the visitor's socket is looked at too. Long enough that a quick
# response still reaches a visitor that closed its sending side at once (nc, some scripts); short
# enough that a service learns within a second that nobody listens any more.
_LOOK_AT_VISITOR_AFTER = 0.25
# The visitor has closed its sending side, or both: after the request either means that it left, as
# in nginx. Where the system has no POLLRDHUP only a reset is noticed.
_LEFT = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
_GEVENT = "gevent.select"  # its poll reports nothing but POLLIN and POLLOUT


class Limits(NamedTuple):
    """How long a service is waited for.

    deadline: for its head, monotonic. Each part of an upload that it takes moves this to
        `head_timeout` seconds from then.
    idle_timeout: seconds for more of the body; None: for ever.
    """

    deadline: float
    head_timeout: float
    idle_timeout: float | None


class Channel:
    """The connection to a service during one request.

    deadline: when `receive` raises TimeoutError; None once the head has come, see `begin_body`.
    incoming: polls the socket for what the service sends; the connection keeps it from one exchange
        to the next.
    visitor: the visitor's socket, or None where the server does not show it.
    """

    # When the body is given up, unless more of it comes; whatever the service does moves this.
    _idle_end: float | None = None
    _pending = memoryview(b"")  # what the socket has not taken yet
    _refused = False  # the service closed its receiving side before the end
    _is_sending = True  # the request, or its body, is not all with the service

    def __init__(
        self,
        sock: socket.socket,
        incoming: select.poll,
        upload: Upload | None,
        *,
        visitor: VisitorSocket | None,
        limits: Limits,
    ) -> None:
        self.sock = sock
        self._incoming = incoming
        self.deadline: float | None = limits.deadline
        self._limits = limits
        self._upload = upload
        self._visitor = visitor

    @property
    def sent_whole(self) -> bool:
        """Whether the service has taken the whole request."""
        return not (self._is_sending or self._refused)

    def _sent(self) -> None:
        """Note whether that was all of the request."""
        upload = self._upload
        self._is_sending = bool(self._pending) or (upload is not None and not upload.complete)

    def check_deadline(self) -> None:
        """Raises TimeoutError past the deadline, which `receive` does not while bytes are there."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise TimeoutError("no answer in time")

    def begin_body(self) -> None:
        """The head is there: what comes next has no deadline, but its pauses may be limited."""
        self.deadline = None
        if self._limits.idle_timeout is not None:
            self._moved()

    def _moved(self) -> None:
        """Note that the service took or sent something."""
        if self.deadline is not None:
            return
        if self._limits.idle_timeout is not None:
            self._idle_end = time.monotonic() + self._limits.idle_timeout

    def _remaining(self) -> float | None:
        """Seconds to wait for the service now; None: as long as it takes."""
        end = self.deadline
        if self._idle_end is not None and (end is None or self._idle_end < end):
            end = self._idle_end
        return None if end is None else max(0.0, end - time.monotonic())

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
        if sent < len(head):
            self._pending = memoryview(head)[sent:]
        self._sent()

    def receive(self, size: int, *, expect_wait: bool = False) -> bytes:
        """The next bytes from the service, at most `size`; b"" once it has closed its side.

        Meanwhile the upload goes on. `expect_wait` saves a look at a socket on which nothing can
        have come yet. Raises TimeoutError at the deadline, `VisitorGone` if the visitor left,
        ConnectionError if the connection broke, and what the server's input raises.
        """
        data = None if expect_wait else self._receive_now(size)
        while data is None:
            if self._is_sending:
                self._send_more()
            else:
                self._wait(select.POLLIN)
            data = self._receive_now(size)
        return data

    def wait(self, seconds: float) -> bool:
        """Wait for bytes of the service, or its end; False if none came within `seconds`.

        What is left of the request is sent first, as long as that takes. Raises TimeoutError if
        the body has paused for too long, `VisitorGone`, and what the server's input raises.
        """
        while self._is_sending:
            self._send_more()
            if self.readable():
                return True
        self.deadline = time.monotonic() + seconds
        try:
            self._wait(select.POLLIN)
        except TimeoutError:
            if self._idle_end is not None and self._idle_end <= time.monotonic():
                raise
            return False
        finally:
            self.deadline = None
        return True

    def readable(self) -> bool:
        """Whether bytes of the service, or its end, are there now."""
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

    def _send_more(self) -> None:
        """Bring the upload one step forward, or wait until that or the response is possible."""
        if not self._pending:
            assert self._upload is not None
            reader = self._upload.reader
            if reader.socket is not None and not reader.buffered():
                # Either side may be next: a response now must not wait for more of the upload.
                self._wait_for_upload(reader.socket)
                if self.readable():
                    return
            self._pending = memoryview(self._upload.next_block())
        try:
            sent = self.sock.send(self._pending)
        except BlockingIOError:
            self._wait(select.POLLIN | select.POLLOUT)
            return
        except ConnectionError:
            # It reads no further, but may have responded: what it sent before stays readable.
            self._refused = True
            self._upload, self._pending = None, memoryview(b"")
            self._is_sending = False
            return
        except OSError as error:  # of this machine: the service still waits for the rest
            raise _as_broken(error) from error
        self._pending = self._pending[sent:]
        self._sent()
        if self.deadline is not None:
            self.deadline = time.monotonic() + self._limits.head_timeout
        else:
            self._moved()

    def _wait_for_upload(self, source: VisitorSocket) -> None:
        """Wait for more of the visitor's body, which has no deadline, or of the service."""
        remaining = None if self.deadline is not None else self._remaining()
        if not _poll(self.sock, select.POLLIN, source, remaining, other_events=select.POLLIN):
            raise TimeoutError("no progress in time")

    def _wait(self, events: int) -> None:
        """Wait until the socket has one of `events`; notice a visitor who leaves meanwhile."""
        remaining = self._remaining()
        first = _LOOK_AT_VISITOR_AFTER
        if remaining is not None and remaining < first:
            first = remaining
        if events == select.POLLIN:  # nearly always
            if self._incoming.poll(first * 1000):
                return
            ready = {}
        else:
            ready = _poll(self.sock, events, None, first)
        if not ready and remaining != first:
            if self._visitor is not None and self._visitor.fileno() < 0:
                raise VisitorGone("the server closed the visitor's connection")
            left = None if remaining is None else remaining - first
            seen = _LEFT if select.poll.__module__ != _GEVENT else select.POLLIN
            ready = _poll(self.sock, events, self._visitor, left, other_events=seen)
        if not ready:
            raise TimeoutError("no progress in time")
        if self.sock.fileno() in ready:
            return
        if select.poll.__module__ != _GEVENT or _has_ended(self._visitor):
            raise VisitorGone("the visitor closed the connection")
        # Its next request is there, behind which an end cannot be seen.
        self._visitor = None
        self._wait(events)


def _has_ended(visitor: VisitorSocket | None) -> bool:
    """Whether a socket that became readable did so because it ended."""
    if visitor is None:
        return False
    try:
        sock = _socket.socket(fileno=os.dup(visitor.fileno()))
    except OSError:  # no descriptor is left to look with
        return False
    try:
        return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        sock.close()


def _as_broken(error: OSError) -> ConnectionError:
    """Any error of a socket ends the exchange. A TimeoutError is to be one of ours only."""
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
