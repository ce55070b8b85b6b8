"""The relay's records: a tunnel, its two ends, and what the relay has to know about them.

Plain data with slots, since there may be ten thousand of them.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from .frames import FrameTracker
from .reframe import Reframer

#: Called once, in the relay's thread or in the thread that ends the process: with whether the
#: tunnel ended properly (the visitor was sent the whole stream; both sides have closed the
#: WebSocket), and the number of bytes that came from the visitor and from the service.
OnEnd: TypeAlias = Callable[[bool, int, int], None]


class NewTunnel(NamedTuple):
    """Two connections to be joined; their sockets belong to the relay from then on.

    visitor, service: their sockets. to_visitor, to_service: bytes already
    read from the other one. dummy: our end of the server's dummy, kept open until the server closes
    its own. idle_timeout: seconds of silence in both directions after which the tunnel is cut.
    port: the service's. head: of the response, if it has not been sent; sent before everything
    else. stream: for the rest of a response; None for a WebSocket. on_end: see `OnEnd`.
    """

    port: int
    visitor: _socket.socket
    service: _socket.socket
    to_visitor: bytes
    to_service: bytes
    dummy: _socket.socket
    idle_timeout: float
    head: bytes = b""
    stream: Reframer | None = None
    on_end: OnEnd | None = None


class End:
    """One of a tunnel's two sockets. `pending` waits to be written to it."""

    __slots__ = ("ended", "fd", "is_queued", "mask", "peer", "pending", "sock", "tunnel")

    def __init__(self, sock: _socket.socket, tunnel: Tunnel, pending: bytes) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.tunnel = tunnel
        self.peer: End = self  # set to the other end at once
        self.pending = bytearray(pending) if pending else None
        self.mask = 0  # what epoll watches; 0: not registered, so that a hang-up cannot spin
        self.ended = False  # nothing more will be read from it
        self.is_queued = False  # in the relay's queue of ends with bytes left over


class Tunnel:
    """Two ends, and either the service's `frames` to follow or its `stream` to re-frame."""

    __slots__ = (
        "broken",
        "delivered",
        "frames",
        "half_closed",
        "idle_timeout",
        "last",
        "on_end",
        "port",
        "received",
        "sent",
        "service",
        "stream",
        "visitor",
    )

    def __init__(self, new: NewTunnel, now: float) -> None:
        self.port = new.port
        self.stream = new.stream
        self.frames = FrameTracker() if new.stream is None else None
        to_visitor: bytes | memoryview = new.to_visitor
        if self.frames is not None:
            to_visitor = self.frames.feed(memoryview(new.to_visitor))
        self.visitor = End(new.visitor, self, b"".join((new.head, to_visitor)))
        self.service = End(new.service, self, new.to_service)
        self.visitor.peer, self.service.peer = self.service, self.visitor
        self.delivered = False  # the visitor was sent the whole stream, or the whole WebSocket
        self.broken = False  # an end was lost, or told to leave: the tunnel cannot end properly
        self.received, self.sent = len(new.to_service), len(new.to_visitor)
        self.on_end = new.on_end
        self.idle_timeout = new.idle_timeout
        self.last = now  # when bytes last passed, monotonic
        self.half_closed = 0.0  # when the first side ended, monotonic; 0: neither has

    def is_behind(self, end: End) -> bool:
        """Whether bytes from `end` wait to be followed or decoded: only the service's are."""
        if end is not self.service:
            return False
        framing = self.stream or self.frames
        return framing is not None and framing.is_behind

    @property
    def is_awaited(self) -> bool:
        """Whether bytes wait to be written to one of the ends. A paused download may take hours,
        and its connection breaks by itself if nobody is there (TCP's own timers)."""
        return bool(self.visitor.pending or self.service.pending)

    def count(self, end: End, size: int) -> None:
        """Count bytes that came from `end`."""
        if end is self.service:
            self.sent += size
        else:
            self.received += size

    def is_over(self, now: float, linger: float) -> bool:
        """Whether it has been silent for too long, or for `linger` seconds since one side ended.

        While a stream's visitor has not read what came, the service is not read: that silence does
        not count.
        """
        silent = now - self.last
        if self.half_closed and silent > linger and not self.is_awaited:
            return True
        return silent > self.idle_timeout and not (self.stream is not None and self.visitor.pending)

    def conclude(self, *, delivered: bool = False) -> None:
        """Report its end, once."""
        self.delivered = self.delivered or delivered
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end(self.delivered, self.received, self.sent)
