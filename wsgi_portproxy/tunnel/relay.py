"""The relay: one thread per process that carries the bytes of all tunnels, with epoll.

Handles the thread's start, its turns, and the end of the process. Only this thread touches the
tunnels; other threads queue new ones and wake it. It uses plain sockets and a native thread even if
gevent has replaced both, because it waits only for epoll. `carrier` moves the bytes.
"""

from __future__ import annotations

import atexit
import errno
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import Restarting
from ..upstream.steps import Work
from .accepting import Accepting, Closed, Listener
from .carrier import LINGER, Carrier
from .goodbye import Goodbyes
from .hub import run_pending
from .places import Places
from .records import NewTunnel, Tunnel
from .turns import Turns
from .unpatched import unpatched
from .waiting import Waiters, Waiting
from .workers import Workers

# Seconds that requests get when the process ends: to be answered, and then to end their tunnels.
DRAIN_WAITING, DRAIN = 10.0, 2.0
_SOON = 0.05  # seconds between two looks at a WebSocket that is to be stopped between two frames
_SWEEP = 1.0  # seconds between two checks for silent or lingering tunnels
# At most per turn: ready sockets, new tunnels, tunnels checked for silence. Linux reports ready
# sockets round robin: sockets that were left out come first the next time (epoll(7)).
_SOCKETS, _BEGINNING, _SWEPT = 8, 4, 256
_IN = 0x001  # linux/eventpoll.h; absent from gevent's select


class Stop(NamedTuple):
    """An order to end what has this key."""

    key: object
    error: BaseException


class Done(NamedTuple):
    """The work of an exchange is done, or it waits for its turn."""

    one: Waiting


class Relay:
    """Carries tunnels until they end. Its thread starts with the first tunnel."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # never taken by the relay thread
        self.places = Places()
        self.turns = Turns()
        self._new: deque[NewTunnel | Waiting | Stop | Done | Listener | Closed] = deque()
        self._unswept: list[Tunnel] = []
        self._next_sweep = 0.0
        self._carrier = Carrier(self.places)
        self._accepting = Accepting(self._carrier)
        self._goodbyes = Goodbyes(self._carrier)
        self._waiters = Waiters(self._carrier, self.places, self._work)
        self._workers = Workers(self._work_is_done)
        self._epoll: Any = None  # until the thread is started
        self._wake_fd = -1
        self._draining = self._stopping = False

    @property
    def streams(self) -> int:
        """How many of the open tunnels are streams."""
        return self._carrier.streams

    @property
    def waiting(self) -> int:
        """How many exchanges it drives."""
        return len(self._waiters) + sum(isinstance(new, Waiting) for new in list(self._new))

    def start(self) -> None:
        """Make sure that the thread runs. Raises OSError if it cannot, so call this before taking a
        connection out of a server."""
        with self._lock:
            if self._epoll is None:
                self._start()

    def add(self, new: NewTunnel | Waiting) -> None:
        """Start carrying a tunnel, or driving an exchange, which must have a place."""
        self._new.append(new)
        os.eventfd_write(self._wake_fd, 1)

    def listen(self, new: Listener | Closed) -> None:
        """Accept connections on a socket, or stop. The relay must have been started."""
        self._new.append(new)
        os.eventfd_write(self._wake_fd, 1)

    def stop(self, key: object, error: BaseException) -> None:
        """End the tunnel or the exchange with this key; a visitor who waits gets the error."""
        self._new.append(Stop(key, error))
        os.eventfd_write(self._wake_fd, 1)

    def drain(self) -> None:
        """Say goodbye on all tunnels, and wait up to `DRAIN` seconds for them to end.

        Requests that wait for a service get `DRAIN_WAITING` seconds before, and then a 503.
        """
        if self._epoll is None:
            return
        self._draining = True
        carrier, waiters = self._carrier, self._waiters
        self._sleep_while(lambda: bool(self._new or waiters), DRAIN_WAITING)
        self._stopping = True
        self._sleep_while(lambda: bool(self._new or waiters or carrier.tunnels), DRAIN)
        for tunnel in list(carrier.tunnels.values()):
            carrier.spoil(tunnel.visitor)
            tunnel.conclude()
        run_pending()

    def _sleep_while(self, condition: Callable[[], bool], seconds: float) -> None:
        """Sleep in the thread that ends the process."""
        os.eventfd_write(self._wake_fd, 1)
        sleep = unpatched("time", "sleep")
        deadline = time.monotonic() + seconds
        while condition() and time.monotonic() < deadline:
            sleep(0.005)

    def abandon(self) -> None:
        """In a forked child: close the copies of the parent's sockets, unnoticed by their peers."""
        atexit.unregister(self.drain)
        for new in self._new:
            if isinstance(new, (NewTunnel, Waiting)):
                new.abandon()
            elif isinstance(new, Listener):
                new.sock.close()
        self._carrier.abandon()
        self._waiters.abandon()
        self._accepting.abandon()
        if self._epoll is not None:
            self._epoll.close()
            os.close(self._wake_fd)

    def _start(self) -> None:
        epoll = unpatched("select", "epoll")()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = self._carrier.epoll = epoll
        try:
            epoll.register(self._wake_fd, _IN)
            unpatched("_thread", "start_new_thread")(self._run, ())
        except (OSError, RuntimeError) as error:  # RuntimeError: no more threads
            os.close(self._wake_fd)
            self._epoll = None
            raise OSError(errno.EAGAIN, "the relay cannot start") from error
        # A raw thread is a daemon: the interpreter does not wait for it, hence the drain.
        atexit.register(self.drain)

    def _run(self) -> None:
        while True:
            try:
                self._turn()
            except BaseException:  # such as a SystemExit of `on_finished`: the others go on
                sys.excepthook(*sys.exc_info())
                unpatched("time", "sleep")(_SOON)  # in case it comes again and again

    def _turn(self) -> None:
        """Look at the sockets once, and do a bounded amount of work."""
        carrier = self._carrier
        waits = _SWEEP if carrier.tunnels or self._accepting.rests else -1.0
        if (until := self._waiters.deadline) is not None:
            waits = max(0.0, min(_SWEEP, until - time.monotonic()))
        if self._goodbyes:
            waits = _SOON
        if carrier.behind or self._new or self._unswept:
            waits = 0
        events = self._epoll.poll(waits, _SOCKETS)
        now = time.monotonic()
        for fd, event in events:
            if fd == self._wake_fd:
                os.eventfd_read(fd)
            elif not (self._waiters.on_event(fd, event) or self._accepting.on_event(fd)):
                carrier.on_event(fd, event, now)
        self._waiters.expire(now)
        if carrier.behind:
            carrier.go_on(now)
        # After the events: a new tunnel may reuse the descriptor number of one that just ended.
        if self._new:
            for _ in range(min(_BEGINNING, len(self._new))):
                self._begin(self._new.popleft(), now)
        if self._stopping and self._waiters:
            self._waiters.stop_all(Restarting)
        if self._draining:
            self._accepting.stop()
            self._goodbyes.to_all(now, others_wait=bool(self._waiters))
        elif self._goodbyes:
            self._goodbyes.go_on(now)
        if self._unswept or now >= self._next_sweep:
            self._sweep(now)
        self.turns.ended(now)

    def _work(self, one: Waiting) -> None:
        if isinstance(one.wait, Work):
            self._workers.do(one.wait.call, one)
        else:
            self._new.append(Done(one))

    def _work_is_done(self, one: Waiting) -> None:
        """Called in another thread."""
        self._new.append(Done(one))
        os.eventfd_write(self._wake_fd, 1)

    def _begin(
        self, new: NewTunnel | Waiting | Stop | Done | Listener | Closed, now: float
    ) -> None:
        if isinstance(new, Waiting):
            self._waiters.begin(new)
        elif isinstance(new, Done):
            self._waiters.resume(new.one)
        elif isinstance(new, NewTunnel):
            self._carrier.begin(new)
        elif isinstance(new, (Listener, Closed)):
            self._accepting.begin(new)
        elif not self._waiters.stop(new.key, new.error):
            self._goodbyes.stop(new.key, now)

    def _sweep(self, now: float) -> None:
        """Check some of the tunnels for silence, each about once a second."""
        if not self._unswept:
            self._next_sweep = now + _SWEEP
            self._accepting.go_on()
            self._unswept = list(self._carrier.tunnels.values())
        for _ in range(min(_SWEPT, len(self._unswept))):
            tunnel = self._unswept.pop()
            if tunnel.is_over(now, LINGER):
                self._carrier.close(tunnel)
