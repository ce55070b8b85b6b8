"""Limits how many requests for one port hold threads of the server at a time.

Most requests leave their thread while they wait for a service (`tunnel.detach`). Where they cannot,
a service that hangs keeps every thread that waits for it; without a limit it would soon have all of
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

# Seconds that a request waits for a slot before it is refused; and one that takes the last thread,
# which is long enough for a service that responds, and short enough for the wrapped app.
PATIENCE, LAST_PATIENCE = 5.0, 0.1
_KEPT = 64  # ports whose count is kept without a request, since the next one comes soon


class _Port:
    """The slots of one port.

    held: slots that are taken.
    waiting: requests that wait for a slot.
    turn: notified when a slot is freed; None until a request has to wait.
    """

    __slots__ = ("held", "turn", "waiting")

    def __init__(self) -> None:
        self.held = self.waiting = 0
        self.turn: threading.Condition | None = None


class ConcurrencyLimits:
    """The limits of one `PortProxy`, each port on its own.

    limit: requests per port and process. None: half of the server's threads, so that the other half
        stays free, if their number is known (see `server_threads`), else no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._of_thread = threading.local()  # its `threads`, once known: it stays in its pool
        self._lock = threading.Lock()
        self._held = 0  # slots of all ports
        # Ports with requests, and a few that had requests.
        self._ports: dict[int, _Port] = {}

    def enter(self, number: int, environ: WSGIEnvironment) -> None:
        """Take a slot of a port, to be freed by `leave`; wait for one. Raises `TooManyRequests`."""
        with self._lock:
            port = self._port(number)
            # The first request needs no limit: there is always one slot.
            if port.held:
                threads = self._threads(environ)
                limit = self._limit_among(threads)
                if limit is not None and port.held >= limit:
                    self._wait(port, limit, threads, number)
            self._take(port)

    def try_enter(self, number: int, environ: WSGIEnvironment) -> bool:
        """Take a slot of a port, if one is free and threads are not scarce: fewer than half are
        held, for whatever ports. Returns whether it was taken."""
        with self._lock:
            port = self._port(number)
            if self._held:
                threads = self._threads(environ)
                limit = self._limit_among(threads)
                if limit is not None and port.held >= limit:
                    return False
                if threads is not None and self._held >= max(1, threads // 2):
                    return False
            self._take(port)
            return True

    def _port(self, number: int) -> _Port:
        port = self._ports.get(number)
        if port is None:
            port = self._ports[number] = _Port()
        return port

    def _take(self, port: _Port) -> None:
        port.held += 1
        self._held += 1

    def _threads(self, environ: WSGIEnvironment) -> int | None:
        threads: int | None = getattr(self._of_thread, "threads", None)
        if threads is None and (threads := server_threads(environ)) is not None:
            self._of_thread.threads = threads
        return threads

    def _limit_among(self, threads: int | None) -> int | None:
        if self._limit is not None or threads is None:
            return self._limit
        return max(1, threads // 2)

    def leave(self, number: int) -> None:
        """Free a slot. Call this once for each slot taken."""
        with self._lock:
            port = self._ports[number]
            port.held -= 1
            self._held -= 1
            if port.waiting and port.turn is not None:
                port.turn.notify()
            elif not port.held and len(self._ports) > _KEPT:
                del self._ports[number]

    def counts(self) -> tuple[int, int]:
        """How many requests hold a slot, and how many wait for one."""
        with self._lock:
            ports = list(self._ports.values())
            return sum(port.held for port in ports), sum(port.waiting for port in ports)

    def _wait(self, port: _Port, limit: int, threads: int | None, number: int) -> None:
        """Wait for a slot, which takes a thread too: the last one is not kept from the app."""
        if port.turn is None:
            port.turn = threading.Condition(self._lock)
        is_last = threads is not None and port.waiting >= threads - limit - 1
        longest = time.monotonic() + (LAST_PATIENCE if is_last else PATIENCE)
        port.waiting += 1
        try:
            while port.held >= limit:
                remaining = longest - time.monotonic()
                if remaining <= 0:
                    raise TooManyRequests(number, detail=f"{limit} requests are in progress")
                port.turn.wait(remaining)
        finally:
            port.waiting -= 1
