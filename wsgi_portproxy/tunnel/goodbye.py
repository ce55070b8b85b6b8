"""Ends tunnels before their time: when the process ends, or the visitor loses the access.

A close frame tells a WebSocket's visitor why, and fits only between two frames of the service.
"""

from __future__ import annotations

import _socket
import contextlib

from .carrier import Carrier
from .frames import CLOSE_GOING_AWAY, CLOSE_POLICY_VIOLATION
from .records import Tunnel

_QUIET = 0.2  # seconds without bytes on a connection to the server
_STOPPED = 2.0  # seconds in which a WebSocket that is to be stopped may reach the end of a frame


class Goodbyes:
    """Those of the relay. Used by its thread only."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._stopping: dict[Tunnel, float] = {}  # and until when, monotonic

    def __len__(self) -> int:
        """How many wait for the end of a frame."""
        return len(self._stopping)

    def to_all(self, now: float, *, others_wait: bool) -> None:
        """Close each WebSocket that is between two frames, by status 1001.

        Once nothing else is open, close each connection to the server that is quiet: the others may
        have come by one. others_wait: whether exchanges still wait for a service.
        """
        tunnels = list(self._carrier.tunnels.values())
        is_needed = others_wait or not all(tunnel.is_raw for tunnel in tunnels)
        for tunnel in tunnels:
            if not tunnel.is_raw:
                self._carrier.say_goodbye(tunnel, CLOSE_GOING_AWAY, now)
            elif not is_needed and now - tunnel.last > _QUIET:
                self._carrier.close(tunnel)

    def stop(self, key: object, now: float) -> None:
        """End the tunnel with this key, if it is open, whose visitor may no longer use the port.

        A WebSocket is closed by status 1008; a response is cut. What the visitor still sends is
        dropped.
        """
        for tunnel in list(self._carrier.tunnels.values()):
            if tunnel.key is key:
                tunnel.is_muted = True
                tunnel.service.pending = None
                with contextlib.suppress(OSError):
                    tunnel.service.sock.shutdown(_socket.SHUT_WR)
                self._stopping[tunnel] = now + _STOPPED
        self.go_on(now)

    def go_on(self, now: float) -> None:
        """Stop those whose frame has ended meanwhile, or does not end."""
        for tunnel, until in list(self._stopping.items()):
            is_open = self._carrier.tunnels.get(tunnel.visitor.fd) is tunnel
            if is_open and (tunnel.frames is None or now > until):
                self._carrier.close(tunnel)
                is_open = False
            elif is_open:
                self._carrier.say_goodbye(tunnel, CLOSE_POLICY_VIOLATION, now)
            if not is_open or tunnel.service.ended:
                del self._stopping[tunnel]
