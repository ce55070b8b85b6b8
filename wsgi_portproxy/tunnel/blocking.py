"""Carries a tunnel in the worker's thread if its connection cannot leave the server.

This happens when Python terminates TLS: the descriptor is useless without the TLS session, which
stays with the server's socket object. The WebSocket holds the thread as long as it is open.
"""

from __future__ import annotations

import _socket
import contextlib
import select
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any

from ..errors import PortProxyError
from ..servers import is_tls
from .carrier import LINGER, MAX_PENDING
from .frames import CLOSE_POLICY_VIOLATION

_READ_SIZE = 65536


@dataclass
class Transferred:
    """The bytes carried in each direction, and whether both sides ended properly."""

    to_service: int = 0
    to_visitor: int = 0
    complete: bool = False
    _service: _socket.socket | None = None
    _is_stopped: bool = False

    def stop(self, request: object, error: PortProxyError) -> None:
        """End it: the visitor may no longer use the port. May be called in any thread."""
        self._is_stopped = True
        if self._service is not None:
            _shut_down(self._service)

    def begin(self, service: _socket.socket) -> None:
        """The connection that `stop` ends."""
        self._service = service
        if self._is_stopped:
            _shut_down(service)

    @property
    def is_stopped(self) -> bool:
        return self._is_stopped


class _Side:
    """One socket, and the bytes waiting to be written to it. `ended`: it will send nothing more."""

    def __init__(self, sock: Any, pending: bytes) -> None:
        self.sock = sock
        self.pending = bytearray(pending)
        self.sent = 0
        self.ended = False
        self.shut = False  # its peer knows that we will write nothing more

    def pull(self, other: _Side) -> bool:
        """Read once for `other`. Returns whether bytes or the end came. Raises OSError."""
        if self.ended or len(other.pending) >= MAX_PENDING:
            return False
        try:
            data = self.sock.recv(_READ_SIZE)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except ssl.SSLEOFError:
            data = b""
        self.ended = not data
        other.pending += data
        return True

    def push(self, other: _Side) -> bool:
        """Write pending bytes; once all are written, pass on that `other` has ended."""
        if self.pending:
            try:
                sent = self.sock.send(self.pending)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            del self.pending[:sent]
            self.sent += sent
            return True
        if other.ended and not self.shut:
            self.shut = True
            self.sock.shutdown(_socket.SHUT_WR if not is_tls(self.sock) else _socket.SHUT_RDWR)
            self.ended = self.ended or is_tls(self.sock)  # TLS cannot be half-closed in practice
            return True
        return False

    def mask(self, other: _Side) -> int:
        reads = not self.ended and len(other.pending) < MAX_PENDING
        return (select.POLLIN if reads else 0) | (select.POLLOUT if self.pending else 0)


def relay_in_thread(
    visitor: socket.socket,
    service: _socket.socket,
    *,
    to_visitor: bytes,
    to_service: bytes,
    idle_timeout: float,
    transferred: Transferred,
) -> None:
    """Carry bytes both ways until both sides end, one breaks, or both are silent for too long.

    Shuts `visitor` down but leaves it to the server, closes `service`, and fills in `transferred`.
    """
    near, far = _Side(visitor, to_visitor), _Side(service, to_service)
    timeout = visitor.gettimeout()
    visitor.settimeout(0)
    service.setblocking(False)
    transferred.begin(service)
    try:
        while not (near.ended and far.ended and not near.pending and not far.pending):
            if transferred.is_stopped and not near.ended:
                near.ended = far.ended = far.shut = True
                near.pending += CLOSE_POLICY_VIOLATION
                far.pending.clear()
            moved = [near.pull(far), far.pull(near), far.push(near), near.push(far)]
            if not any(moved) and not _wait(near, far, idle_timeout):
                return
        transferred.complete = not transferred.is_stopped
    except OSError:
        return  # one side broke, so the tunnel is over
    finally:
        transferred.to_visitor, transferred.to_service = near.sent, far.sent
        service.close()
        _shut_down(visitor)
        visitor.settimeout(timeout)


def _wait(near: _Side, far: _Side, idle_timeout: float) -> bool:
    """Wait until a socket is ready; False if that takes too long."""
    poller = select.poll()
    for side, other in ((near, far), (far, near)):
        mask = side.mask(other)
        if mask:
            poller.register(side.sock, mask)
    limit = LINGER if near.ended or far.ended else idle_timeout
    deadline = time.monotonic() + limit
    return bool(poller.poll(max(0.0, deadline - time.monotonic()) * 1000))


def _shut_down(sock: _socket.socket) -> None:
    with contextlib.suppress(OSError):  # the visitor may have closed it first
        sock.shutdown(_socket.SHUT_RDWR)
