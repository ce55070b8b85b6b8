"""How many requests for one port may hold threads of the server at a time.

A service that hangs keeps each thread that waits for it; without a cap it would soon have all of
them, and the wrapped app and the other services none. Owns the count per port and process, and how
long a request waits for its turn.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ..errors import TooManyRequests
from ..servers import server_threads

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# A browser opens up to six connections for one page, so a small cap is often met by requests that
# are done soon; to refuse those would break the page. So a request waits for its turn, though that
# holds a thread too. Half as many as may be under way wait for this many seconds: with 8 threads 4
# and 2, a browser's six, and 2 are left to others even if the port hangs.
PATIENCE = 5.0
# All others wait only where turns come, no longer than this many seconds since the last one: at a
# port that hangs, none of them waits once that time is over.
STANDSTILL = 0.25
_KEPT = 64  # ports without a request whose count is kept: it comes again at once
LONGEST_WAIT = 1.0  # seconds, however quick the turns are


class _Port:
    """`held`: requests under way. `moved`: when one last began or ended, monotonic seconds.
    `patient`: how many of those that are `waiting` do so for long. `turn`: what they wait for; None
    as long as nobody had to."""

    __slots__ = ("held", "moved", "patient", "turn", "waiting")

    def __init__(self) -> None:
        self.held = self.waiting = self.patient = 0
        self.moved = 0.0
        self.turn: threading.Condition | None = None


class Caps:
    """The cap of one `PortProxy`, for each port on its own.

    limit: requests per port and process; None: half of the threads of the server's pool, where
    that is known (see `server_threads`), so that half of them are left to others, else no cap.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._of_thread = threading.local()  # its `limit`, once known: it stays in its pool
        self._lock = threading.Lock()
        # Those with requests under way or waiting, and a few that had some.
        self._ports: dict[int, _Port] = {}

    def enter(self, number: int, environ: WSGIEnvironment) -> None:
        """Take a place at a port, to be given back by `leave`. Raises `TooManyRequests`."""
        with self._lock:
            port = self._ports.get(number)
            if port is None:
                port = self._ports[number] = _Port()
            # One place there always is.
            limit = self._limit_for(environ) if port.held else None
            if limit is not None and port.held >= limit:
                port.waiting += 1
                try:
                    self._wait(port, limit, number)
                finally:
                    port.waiting -= 1
            port.held += 1
            port.moved = time.monotonic()

    def _limit_for(self, environ: WSGIEnvironment) -> int | None:
        if self._limit is not None:
            return self._limit
        limit: int | None = getattr(self._of_thread, "limit", None)
        if limit is None and (threads := server_threads(environ)) is not None:
            limit = self._of_thread.limit = max(1, threads // 2)
        return limit

    def leave(self, number: int) -> None:
        """Give back a place, once for each that was taken."""
        with self._lock:
            port = self._ports[number]
            port.held -= 1
            port.moved = time.monotonic()
            if port.waiting and port.turn is not None:
                port.turn.notify()
            elif not port.held and len(self._ports) > _KEPT:
                del self._ports[number]

    def counts(self) -> tuple[int, int]:
        """How many requests hold a place, and how many wait for one."""
        with self._lock:
            ports = list(self._ports.values())
            return sum(port.held for port in ports), sum(port.waiting for port in ports)

    def _wait(self, port: _Port, limit: int, number: int) -> None:
        if port.turn is None:
            port.turn = threading.Condition(self._lock)
        is_patient = port.patient < max(1, limit // 2)
        port.patient += is_patient
        longest = time.monotonic() + (PATIENCE if is_patient else LONGEST_WAIT)
        try:
            while port.held >= limit:
                end = longest if is_patient else min(port.moved + STANDSTILL, longest)
                remaining = end - time.monotonic()
                if remaining <= 0:
                    raise TooManyRequests(number, detail=f"{limit} requests are under way")
                port.turn.wait(remaining)
        finally:
            port.patient -= is_patient
