"""How many tunnels there may be: in all, and to each port.

A place is taken before anything is taken out of a server, and belongs to the tunnel until it is
over. Its lock is Python's own even where gevent has replaced it: the relay's thread takes it too,
and nobody holds it for longer than it takes to count.
"""

from __future__ import annotations

from collections import Counter

from .unpatched import native


class Places:
    """Those of one process."""

    def __init__(self) -> None:
        self._lock = native("_thread", "allocate_lock")()
        self._by_port: Counter[int] = Counter()
        self.taken = 0

    def take(self, port: int, *, limit: int, limit_of_port: int) -> bool:
        """Take a place for a tunnel to `port`, to be given back, if fewer than `limit` are taken,
        and fewer than `limit_of_port` to this port."""
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
