"""Step 4: the idle connections of a process, for all ports and every `PortProxy`.

Decides how many there are, how old they get and who may take them; `reuse` decides whether a
connection may be kept at all. Idle connections cost descriptors, here and in the services, and
visitors choose the ports. So there are few, and none stays for long.
"""

from __future__ import annotations

import _socket
import contextlib
import itertools
import os
import threading
import time

from . import descriptors, recv
from .connection import UpstreamConnection

MOST = 64  # in the process, on all ports; beyond it the one idle longest is closed
OLDEST = 10.0  # seconds


class Lease:
    """A connection to a service, lent to one response of its owner at a time; see `response.Lease`.

    since: when it became idle, monotonic.
    """

    __slots__ = ("connection", "owner", "since")

    def __init__(self, connection: UpstreamConnection, owner: int) -> None:
        self.connection = connection
        self.owner = owner
        self.since = 0.0

    def release(self, *, reusable: bool) -> None:
        if reusable:
            idle.put(self)
        else:
            self.connection.close()

    def detach(self) -> _socket.socket:
        return _socket.socket(fileno=self.connection.sock.detach())


class IdleConnections:
    """The pool of one process. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._none_is_left = threading.Condition(self._lock)
        self._idle: list[Lease] = []  # longest idle first
        self._owners: set[int] = set()
        self._numbers = itertools.count(1)
        self._is_swept = False  # a thread closes connections that get too old

    def __len__(self) -> int:
        return len(self._idle)

    def owner(self) -> int:
        """The number of a new owner, who can take only the connections that it put here."""
        number = next(self._numbers)
        self._owners.add(number)
        return number

    def disown(self, owner: int) -> None:
        """Close all idle connections of an owner, and every one that it puts from now on.

        The garbage collector calls this too, in any thread and at any point, even within this
        class. So it does not wait for the lock: if that is taken, the connections close when they
        get too old.
        """
        self._owners.discard(owner)
        if not self._lock.acquire(blocking=False):
            return
        try:
            closed = [one for one in self._idle if one.owner == owner]
            self._idle = [one for one in self._idle if one.owner != owner]
            self._none_is_left.notify()
        finally:
            self._lock.release()
        _close(closed)

    def take(self, owner: int, port: int) -> Lease | None:
        """The owner's last used connection to `port` on which no bytes have come, or None."""
        self._close_old()
        while True:
            with self._lock:
                for position in range(len(self._idle) - 1, -1, -1):
                    one = self._idle[position]
                    if one.connection.port == port and one.owner == owner:
                        del self._idle[position]
                        break
                else:
                    return None
            # Bytes or an end that came on it belong to no request.
            if recv.is_silent(one.connection.sock):
                return one
            _close([one])

    def put(self, one: Lease) -> None:
        """Keep a connection, or close it if descriptors are scarce or the owner is gone."""
        one.since = time.monotonic()
        too_many = []
        with self._lock:
            if one.owner in self._owners and not descriptors.are_scarce(
                one.connection.sock.fileno()
            ):
                self._idle.append(one)
                if len(self._idle) > MOST:
                    too_many.append(self._idle.pop(0))
            else:
                too_many.append(one)
            starts = bool(self._idle) and not self._is_swept
            self._is_swept = self._is_swept or starts
        _close(too_many)
        if starts:
            self._start_sweeping()

    def close_all(self) -> bool:
        """Close all idle connections to free descriptors; return whether there were any."""
        with self._lock:
            closed, self._idle = self._idle, []
            self._none_is_left.notify()
        _close(closed)
        return bool(closed)

    def _start_sweeping(self) -> None:
        try:
            threading.Thread(target=self._sweep, name="portproxy-idle", daemon=True).start()
        except RuntimeError:  # no more threads: the next request closes old connections
            self._is_swept = False

    def _sweep(self) -> None:
        """Close connections when they get too old, until none is left."""
        while True:
            with self._lock:
                if self._idle:
                    end = self._idle[0].since + OLDEST
                    self._none_is_left.wait(max(0.0, end - time.monotonic()))
                if not self._idle:
                    self._is_swept = False
                    return
            self._close_old()

    def _close_old(self) -> None:
        before = time.monotonic() - OLDEST
        try:
            if self._idle[0].since > before:
                return
        except IndexError:
            return
        with self._lock:
            young = 0
            while young < len(self._idle) and self._idle[young].since <= before:
                young += 1
            old, self._idle[:young] = self._idle[:young], []
        _close(old)

    def forget(self) -> None:
        """Close all in a forked child: two processes would read each other's responses."""
        self._lock = threading.Lock()
        self._none_is_left = threading.Condition(self._lock)
        self._is_swept = False
        closed, self._idle = self._idle, []
        _close(closed)


def _close(closed: list[Lease]) -> None:
    for one in closed:
        with contextlib.suppress(OSError):
            one.connection.close()


#: The pool of this process.
idle = IdleConnections()
os.register_at_fork(after_in_child=idle.forget)
