"""Limits how many requests for one port hold threads of the server at a time.

A service that hangs keeps every thread that waits for it. Without a limit it would soon have all of
them, and the wrapped app and the other services none. Counts requests per port and process, and
decides how long a request waits for a slot.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ..errors import TooManyRequests
from ..servers import server_threads

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# Seconds. A browser opens up to six connections for one page, so a small limit is often reached by
# requests that finish soon, and refusing those would break the page. So up to limit/2 requests
# queue for this long, though each holds a thread too. With 8 threads: 4 run, 2 queue (a browser's
# six connections), and 2 threads stay free even if the port hangs.
PATIENCE = 5.0
# Seconds. Further requests queue only while slots keep being freed; they give up this long after
# the last one. At a port that hangs, none of them waits longer.
STANDSTILL = 0.25
_KEPT = 64  # ports whose count is kept without a request, since the next one comes soon
LONGEST_WAIT = 1.0  # seconds that a further request waits at most, even if slots are freed quickly


class _Port:
    """The slots of one port.

    held: slots that are taken.
    waiting: requests that wait for a slot.
    patient: how many of these may wait for PATIENCE.
    moved: when a slot was last taken or freed, in monotonic seconds.
    turn: notified when a slot is freed; None until a request has to wait.
    """

    __slots__ = ("held", "moved", "patient", "turn", "waiting")

    def __init__(self) -> None:
        self.held = self.waiting = self.patient = 0
        self.moved = 0.0
        self.turn: threading.Condition | None = None


class ConcurrencyLimits:
    """The limits of one `PortProxy`, each port on its own.

    limit: requests per port and process. None: half of the server's threads, so that the other half
        stays free, if their number is known (see `server_threads`), else no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._of_thread = threading.local()  # its `limit`, once known: a thread stays in its pool
        self._lock = threading.Lock()
        # Ports with requests, and a few that had requests.
        self._ports: dict[int, _Port] = {}

    def enter(self, number: int, environ: WSGIEnvironment) -> None:
        """Take a slot of a port, to be freed by `leave`. Raises `TooManyRequests`."""
        with self._lock:
            port = self._ports.get(number)
            if port is None:
                port = self._ports[number] = _Port()
            # The first request needs no limit: there is always one slot.
            limit = self._limit_for(environ) if port.held else None
            if limit is not None and port.held >= limit:
                port.waiting += 1
                try:
                    self._wait(port, limit, number)
                finally:
                    port.waiting -= 1
            port.held += 1
            port.moved = time.monotonic()

    def try_enter(self, number: int, environ: WSGIEnvironment) -> bool:
        """Take a slot of a port, if one is free; whether it was taken."""
        with self._lock:
            port = self._ports.get(number)
            if port is None:
                port = self._ports[number] = _Port()
            limit = self._limit_for(environ) if port.held else None
            if limit is not None and port.held >= limit:
                return False
            port.held += 1
            port.moved = time.monotonic()
            return True

    def _limit_for(self, environ: WSGIEnvironment) -> int | None:
        if self._limit is not None:
            return self._limit
        limit: int | None = getattr(self._of_thread, "limit", None)
        if limit is None and (threads := server_threads(environ)) is not None:
            limit = self._of_thread.limit = max(1, threads // 2)
        return limit

    def leave(self, number: int) -> None:
        """Free a slot. Call this once for each slot taken."""
        with self._lock:
            port = self._ports[number]
            port.held -= 1
            port.moved = time.monotonic()
            if port.waiting and port.turn is not None:
                port.turn.notify()
            elif not port.held and len(self._ports) > _KEPT:
                del self._ports[number]

    def counts(self) -> tuple[int, int]:
        """How many requests hold a slot, and how many wait for one."""
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
                    raise TooManyRequests(number, detail=f"{limit} requests are in progress")
                port.turn.wait(remaining)
        finally:
            port.patient -= is_patient
