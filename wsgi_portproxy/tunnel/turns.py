"""How long the relay's turns take: a watchdog, for `PortProxy.stats()`.

A turn is all that the relay does between two looks at what has come. All tunnels of the process
wait for it, so that each piece of its work is bounded; this tells whether it is.
"""

from __future__ import annotations

import time

_SPAN = 60.0  # seconds


class Turns:
    """Measures turns. `ended` is called by the relay's thread only."""

    def __init__(self) -> None:
        self._used = time.thread_time()
        self._until = time.monotonic() + _SPAN
        self._before = 0.0  # the longest in the span before this one
        self._longest = 0.0

    @property
    def longest(self) -> float:
        """Seconds of processor time that the longest turn of the last one or two minutes took.

        Not of the clock: where the machine is busy, that says nothing of the relay.
        """
        late = time.monotonic() - self._until  # no turn has ended this span: nothing is carried
        if late > _SPAN:
            return 0.0
        return self._longest if late > 0 else max(self._before, self._longest)

    def ended(self, now: float) -> None:
        """A turn that began at `now`, monotonic, is over."""
        used = time.thread_time()
        turn, self._used = used - self._used, used
        if now >= self._until:
            is_next = now < self._until + _SPAN
            self._before, self._longest = self._longest if is_next else 0.0, 0.0
            self._until = now + _SPAN
        if turn > self._longest:
            self._longest = turn
