"""Step 4: connections to services that are kept for the next request, of all ports and all
`PortProxy` of a process.

Owns how many there are, how old they get and who may have them; whether one may be kept at all is
`reuse`'s. They cost descriptors, here and in the services, and a visitor chooses the ports: so
there are few, and none for long.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from typing import TYPE_CHECKING

from . import descriptors
from . import recv as nowait

if TYPE_CHECKING:
    from .connection import UpstreamConnection

MOST = 64  # in the process, whatever their ports; the one that has been idle longest goes
OLDEST = 10.0  # seconds


class IdleConnections:
    """Those of one process. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._none_is_left = threading.Condition(self._lock)
        self._connections: list[UpstreamConnection] = []  # in the order in which they fell idle
        self._owners: set[int] = set()
        self._numbers = itertools.count(1)
        self._is_swept = False  # a thread closes those that get too old

    def __len__(self) -> int:
        return len(self._connections)

    def owner(self) -> int:
        """A number for somebody whose connections are kept, and given to nobody else."""
        number = next(self._numbers)
        self._owners.add(number)
        return number

    def disown(self, owner: int) -> None:
        """Close all of an owner's, and each that falls idle from now on.

        Called by the garbage collector too, in any thread at any place, one in here included: where
        the lock is taken nobody waits for it, and the connections close as they get too old.
        """
        self._owners.discard(owner)
        if not self._lock.acquire(blocking=False):
            return
        try:
            closed = [one for one in self._connections if one.owner == owner]
            self._connections = [one for one in self._connections if one.owner != owner]
            self._none_is_left.notify()
        finally:
            self._lock.release()
        _close(closed)

    def take(self, owner: int, port: int) -> UpstreamConnection | None:
        """A connection of this owner to this port on which nothing has come: the one used last."""
        self._close_old()
        while True:
            with self._lock:
                for position in range(len(self._connections) - 1, -1, -1):
                    connection = self._connections[position]
                    if connection.port == port and connection.owner == owner:
                        del self._connections[position]
                        break
                else:
                    return None
            # Whatever came on it belongs to no request, be it its end.
            if nowait.is_silent(connection.sock):
                return connection
            _close([connection])

    def put(self, connection: UpstreamConnection) -> None:
        """Keep a connection, or close it: where descriptors are scarce, or nobody may take it."""
        connection.idle_since = time.monotonic()
        too_many = []
        with self._lock:
            is_kept = connection.owner in self._owners
            if is_kept and not descriptors.are_scarce(connection.sock.fileno()):
                self._connections.append(connection)
                if len(self._connections) > MOST:
                    too_many.append(self._connections.pop(0))
            else:
                too_many.append(connection)
            starts = bool(self._connections) and not self._is_swept
            self._is_swept = self._is_swept or starts
        _close(too_many)
        if starts:
            self._start_sweeping()

    def close_all(self) -> bool:
        """Give all their descriptors back, since somebody needs one; whether there were any."""
        with self._lock:
            closed, self._connections = self._connections, []
            self._none_is_left.notify()
        _close(closed)
        return bool(closed)

    def _start_sweeping(self) -> None:
        try:
            threading.Thread(target=self._sweep, name="portproxy-idle", daemon=True).start()
        except RuntimeError:  # no more threads: the next request closes what is too old
            self._is_swept = False

    def _sweep(self) -> None:
        """Close connections as they get too old, as long as there are any."""
        while True:
            with self._lock:
                if self._connections:
                    end = self._connections[0].idle_since + OLDEST
                    self._none_is_left.wait(max(0.0, end - time.monotonic()))
                if not self._connections:
                    self._is_swept = False
                    return
            self._close_old()

    def _close_old(self) -> None:
        before = time.monotonic() - OLDEST
        try:
            if self._connections[0].idle_since > before:
                return
        except IndexError:
            return
        with self._lock:
            young = 0
            while young < len(self._connections) and self._connections[young].idle_since <= before:
                young += 1
            old, self._connections[:young] = self._connections[:young], []
        _close(old)

    def forget(self) -> None:
        """In a forked child: two processes on one connection would read each other's answers."""
        self._lock = threading.Lock()
        self._none_is_left = threading.Condition(self._lock)
        self._is_swept = False
        closed, self._connections = self._connections, []
        _close(closed)


def _close(connections: list[UpstreamConnection]) -> None:
    for connection in connections:
        with contextlib.suppress(OSError):
            connection.close()


#: Those of this process.
idle = IdleConnections()
os.register_at_fork(after_in_child=idle.forget)
