"""Counts the tunnels, in total and to each port.

A place is taken before a connection is taken out of its server, and belongs to the tunnel until it
ends. The lock is Python's own even if gevent has replaced it, because the relay's thread takes it
too. It is held only to count.
"""

from __future__ import annotations

from collections import Counter

from .unpatched import unpatched


class Places:
    """The places of one process."""

    def __init__(self) -> None:
        self._lock = unpatched("_thread", "allocate_lock")()
        self._by_port: Counter[int] = Counter()
        self.taken = 0

    def take(self, port: int, *, limit: int, limit_of_port: int) -> bool:
        """Take a place, to be given back, if fewer than `limit` are taken in total and fewer than
        `limit_of_port` to this port. Returns whether it was taken."""
        with self._lock:
            if self.taken >= limit or self._by_port[port] >= limit_of_port:
                return False
            self.taken += 1
            self._by_port[port] += 1
            return True

    def taken_to(self, port: int) -> int:
        return self._by_port[port]

    def give_back(self, port: int) -> None:
        with self._lock:
            self.taken -= 1
            self._by_port[port] -= 1
            if not self._by_port[port]:
                del self._by_port[port]
