"""A tunnel in the worker's own thread, for connections that cannot leave the server.

TLS that Python ends is one: what its descriptor carries is of no use without the session, and that
stays with the server's socket object. The thread is held as long as the WebSocket is open.
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
from .relay import LINGER, MAX_PENDING

_READ_SIZE = 65536


@dataclass
class Pumped:
    """What went through: bytes in each direction, and whether both sides came to their end."""

    to_service: int = 0
    to_client: int = 0
    complete: bool = False


class _Side:
    """One socket with what waits to be written to it. `ended`: nothing more comes from it."""

    def __init__(self, sock: Any, pending: bytes) -> None:
        self.sock = sock
        self.pending = bytearray(pending)
        self.sent = 0
        self.ended = False
        self.shut = False  # told that nothing more will be written

    def pull(self, other: _Side) -> bool:
        """Move what has come to `other`; whether anything happened. Raises OSError if it broke."""
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
        """Write what waits, and tell the end of `other` once all of it is written."""
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
            self.ended = self.ended or is_tls(self.sock)  # TLS has no half-close to speak of
            return True
        return False

    def mask(self, other: _Side) -> int:
        reads = not self.ended and len(other.pending) < MAX_PENDING
        return (select.POLLIN if reads else 0) | (select.POLLOUT if self.pending else 0)


def pump(
    client: socket.socket,
    service: _socket.socket,
    *,
    to_client: bytes,
    to_service: bytes,
    idle_timeout: float,
    pumped: Pumped,
) -> None:
    """Carry bytes both ways until both sides have ended, one is lost, or all is silent for long.

    `client` stays the server's, shut down; `service` is closed; `pumped` is filled in.
    """
    near, far = _Side(client, to_client), _Side(service, to_service)
    timeout = client.gettimeout()
    client.settimeout(0)
    service.setblocking(False)
    try:
        while not (near.ended and far.ended and not near.pending and not far.pending):
            moved = [near.pull(far), far.pull(near), far.push(near), near.push(far)]
            if not any(moved) and not _wait(near, far, idle_timeout):
                return
        pumped.complete = True
    except OSError:
        return  # one side is lost, and the tunnel with it
    finally:
        pumped.to_client, pumped.to_service = near.sent, far.sent
        service.close()
        _shut_down(client)
        client.settimeout(timeout)


def _wait(near: _Side, far: _Side, idle_timeout: float) -> bool:
    """Wait until something can happen; False after too long a silence."""
    poller = select.poll()
    for side, other in ((near, far), (far, near)):
        mask = side.mask(other)
        if mask:
            poller.register(side.sock, mask)
    limit = LINGER if near.ended or far.ended else idle_timeout
    deadline = time.monotonic() + limit
    return bool(poller.poll(max(0.0, deadline - time.monotonic()) * 1000))


def _shut_down(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the visitor may have been first
        sock.shutdown(_socket.SHUT_RDWR)
