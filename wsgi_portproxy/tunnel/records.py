"""Defines the relay's records: new tunnels, open tunnels and their two ends.

Plain data with slots, because there may be ten thousand tunnels.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .frames import FrameTracker
from .reframe import Reframer

if TYPE_CHECKING:
    from ..upstream.request_body import Upload

#: Called once, in the relay's thread or in the thread that ends the process. Arguments: whether the
#: tunnel ended properly (the visitor was sent the whole stream, or both sides closed the
#: WebSocket), and the number of bytes that came from the visitor and from the service.
OnEnd: TypeAlias = Callable[[bool, int, int], None]


class NewTunnel(NamedTuple):
    """Two connections to be joined. Their sockets belong to the relay from then on.

    visitor, service: their sockets. to_visitor, to_service: bytes already read from the other
    connection. dummy: our end of the dummy, kept open until the server closes the other end.
    idle_timeout: seconds of silence in both directions after which the tunnel is cut.
    port: the service's port. head: the response's head, if it has not been sent; goes out before
    everything else. stream: re-frames the rest of a response; None for a WebSocket.
    upload: the rest of the request, of which `to_service` is the next part; None: there is none.
    is_sent: whether the service has taken the whole request.
    key: by which the tunnel can be ended. on_end: see `OnEnd`.
    is_raw: whether the bytes pass unread, because they are a visitor's connection to the server
        itself. Such a tunnel has no place; its `port` is 0.
    """

    port: int
    visitor: _socket.socket
    service: _socket.socket
    to_visitor: bytes
    to_service: bytes
    dummy: _socket.socket | None
    idle_timeout: float
    head: bytes = b""
    stream: Reframer | None = None
    upload: Upload | None = None
    is_sent: bool = True
    key: object = None
    on_end: OnEnd | None = None
    is_raw: bool = False

    def abandon(self) -> None:
        """In a forked child: close the copies of the parent's sockets."""
        for sock in (self.visitor, self.service, self.dummy):
            if sock is not None:
                sock.close()


class Reply(NamedTuple):
    """A response for a visitor whose connection has left its server.

    status: its status. head: its head. body: the part of its body that has come, as it is sent.
    stream: re-frames the rest; None: it became a WebSocket. service: where the rest comes from;
    None: there is no rest. to_service, upload, is_sent: the rest of the request, see `NewTunnel`.
    is_broken: the rest will not come, and the visitor must see that.
    """

    status: int
    head: bytes
    body: bytes
    stream: Reframer | None
    service: _socket.socket | None = None
    to_service: bytes = b""
    upload: Upload | None = None
    is_sent: bool = True
    is_broken: bool = False


class End:
    """One of a tunnel's two sockets. `pending`: bytes waiting to be written to it."""

    __slots__ = ("ended", "fd", "is_queued", "mask", "peer", "pending", "sock", "tunnel")

    def __init__(self, sock: _socket.socket, tunnel: Tunnel, pending: bytes) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.tunnel = tunnel
        self.peer: End = self  # until `Tunnel` sets the other end
        self.pending = bytearray(pending) if pending else None
        self.mask = 0  # events epoll watches for; 0: not registered, so a hang-up cannot spin
        self.ended = False  # nothing more will be read from it
        self.is_queued = False  # in the carrier's queue of ends with bytes still to process


class Tunnel:
    """Two ends, and either the service's `frames` to follow or its `stream` to re-frame; or, if it
    is raw, neither."""

    __slots__ = (
        "broken",
        "delivered",
        "frames",
        "half_closed",
        "idle_timeout",
        "is_lost",
        "is_muted",
        "is_raw",
        "is_sent",
        "key",
        "last",
        "on_end",
        "port",
        "received",
        "sent",
        "service",
        "stream",
        "upload",
        "visitor",
    )

    def __init__(self, new: NewTunnel, now: float) -> None:
        self.port = new.port
        self.key = new.key
        self.stream = new.stream
        self.upload = new.upload
        self.is_sent = new.is_sent
        self.is_muted = False  # what the visitor still sends is dropped
        self.is_raw = new.is_raw
        self.is_lost = False  # an end broke off
        self.frames = FrameTracker() if new.stream is None and not new.is_raw else None
        to_visitor: bytes | memoryview = new.to_visitor
        if self.frames is not None:
            to_visitor = self.frames.feed(memoryview(new.to_visitor))
        self.visitor = End(new.visitor, self, b"".join((new.head, to_visitor)))
        self.service = End(new.service, self, new.to_service)
        self.visitor.peer, self.service.peer = self.service, self.visitor
        self.delivered = False  # the whole stream was sent, or both sides closed the WebSocket
        self.broken = False  # an end broke, or we said goodbye: the tunnel cannot end properly
        self.received, self.sent = len(new.to_service), len(new.to_visitor)
        self.on_end = new.on_end
        self.idle_timeout = new.idle_timeout
        self.last = now  # when bytes last passed, monotonic
        self.half_closed = 0.0  # when the first side ended, monotonic; 0: neither has

    def is_behind(self, end: End) -> bool:
        """Whether bytes from `end` still wait to be followed, decoded or read."""
        if end is not self.service:
            return self.upload is not None and self.upload.reader.buffered()
        framing = self.stream or self.frames
        return framing is not None and framing.is_behind

    def may_end_by_reset(self, end: End) -> bool:
        """Whether a reset by `end` is the proper end of a response."""
        stream = self.stream if end is self.service else None
        return stream is not None and stream.is_ended_by_reset(is_sent=self.is_sent)

    @property
    def is_awaited(self) -> bool:
        """Whether bytes wait to be written to one of the ends. A paused download may take hours,
        and if the visitor is gone, TCP's own timers break the connection."""
        return bool(self.visitor.pending or self.service.pending)

    def count(self, end: End, size: int) -> None:
        """Count bytes that came from `end`."""
        if end is self.service:
            self.sent += size
        else:
            self.received += size

    def is_over(self, now: float, linger: float) -> bool:
        """Whether the tunnel was silent for too long, or for `linger` seconds after one side ended.

        While a stream's visitor has bytes left to read, we do not read from the service: this
        silence does not count.
        """
        silent = now - self.last
        if self.half_closed and silent > linger and not self.is_awaited:
            return True
        return silent > self.idle_timeout and not (self.stream is not None and self.visitor.pending)

    def conclude(self, *, delivered: bool = False) -> None:
        """Report the tunnel's end, once."""
        self.delivered = self.delivered or delivered
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end(self.delivered, self.received, self.sent)
