"""Carries a tunnel in the worker's own thread, if its connection cannot leave the server.

That is so if Python ends TLS: the descriptor is useless without the TLS session, which stays with
the server's socket object. The thread is held as long as the WebSocket is open.
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

from ..servers import is_tls
from .carrier import LINGER, MAX_PENDING

_READ_SIZE = 65536


@dataclass
class Transferred:
    """What was carried: bytes in each direction, and whether both sides ended properly."""

    to_service: int = 0
    to_visitor: int = 0
    complete: bool = False


class _Side:
    """One socket, and what waits to be written to it. `ended`: nothing more will come from it."""

    def __init__(self, sock: Any, pending: bytes) -> None:
        self.sock = sock
        self.pending = bytearray(pending)
        self.sent = 0
        self.ended = False
        self.shut = False  # its peer knows that nothing more will be written

    def pull(self, other: _Side) -> bool:
        """Move what has come to `other`; returns whether anything happened. Raises OSError."""
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
        """Write what waits, and pass on the end of `other` once everything is written."""
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
    """Carry bytes both ways until both sides have ended, one breaks, or both are silent for too
    long.

    Shuts `visitor` down, which stays the server's; closes `service`; fills in `transferred`.
    """
    near, far = _Side(visitor, to_visitor), _Side(service, to_service)
    timeout = visitor.gettimeout()
    visitor.settimeout(0)
    service.setblocking(False)
    try:
        while not (near.ended and far.ended and not near.pending and not far.pending):
            moved = [near.pull(far), far.pull(near), far.push(near), near.push(far)]
            if not any(moved) and not _wait(near, far, idle_timeout):
                return
        transferred.complete = True
    except OSError:
        return  # one side broke, and with it the tunnel
    finally:
        transferred.to_visitor, transferred.to_service = near.sent, far.sent
        service.close()
        _shut_down(visitor)
        visitor.settimeout(timeout)


def _wait(near: _Side, far: _Side, idle_timeout: float) -> bool:
    """Wait until something can be done; False after too long a silence."""
    poller = select.poll()
    for side, other in ((near, far), (far, near)):
        mask = side.mask(other)
        if mask:
            poller.register(side.sock, mask)
    limit = LINGER if near.ended or far.ended else idle_timeout
    deadline = time.monotonic() + limit
    return bool(poller.poll(max(0.0, deadline - time.monotonic()) * 1000))


def _shut_down(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the visitor may have closed it first
        sock.shutdown(_socket.SHUT_RDWR)
