"""Measures how long the relay's turns take, for `PortProxy.stats()`.

A turn is the relay's work between two looks at its sockets. All tunnels of the process wait for it,
so its work is bounded; the measurement shows whether the bound holds.
"""

from __future__ import annotations

import time

_SPAN = 60.0  # seconds


class Turns:
    """Measures turns. `ended` is called by the relay's thread only."""

    def __init__(self) -> None:
        self._used = time.thread_time()
        self._until = time.monotonic() + _SPAN
        self._before = 0.0  # the longest turn of the previous span
        self._longest = 0.0

    @property
    def longest(self) -> float:
        """The processor time, in seconds, of the longest turn in the last one or two minutes.

        On a busy machine, wall-clock time would say nothing about the relay.
        """
        late = time.monotonic() - self._until  # positive: no turn since, so no tunnels are open
        if late > _SPAN:
            return 0.0
        return self._longest if late > 0 else max(self._before, self._longest)

    def ended(self, now: float) -> None:
        """Record the end of a turn that began at the monotonic time `now`."""
        used = time.thread_time()
        turn, self._used = used - self._used, used
        if now >= self._until:
            is_next = now < self._until + _SPAN
            self._before, self._longest = self._longest if is_next else 0.0, 0.0
            self._until = now + _SPAN
        if turn > self._longest:
            self._longest = turn
