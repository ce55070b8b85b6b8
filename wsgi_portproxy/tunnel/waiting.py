"""Drives exchanges that have left their thread, in the relay's.

An exchange waits by yielding (`upstream.steps`). Here thousands of them wait at a time: each has
the service's socket and the visitor's in epoll, and its deadline in a heap. When one is over, its
reply goes out as a tunnel.
"""

from __future__ import annotations

import _socket
import contextlib
import heapq
import itertools
import sys
from collections.abc import Callable
from typing import Any

from ..upstream.steps import Leave, Ready, Steps, Wait
from .carrier import Carrier
from .places import Places
from .records import NewTunnel

_IN, _OUT, _RDHUP = 0x001, 0x004, 0x2000  # linux/eventpoll.h; absent from gevent's select
_EXPIRED = 16  # deadlines that pass in one turn of the relay

#: Called in the relay's thread when an exchange is over, with its result or the exception that it
#: raised; returns the tunnel that carries the reply, or None if there is nothing to send.
Finish = Callable[[Any, BaseException | None], NewTunnel | None]


class Waiting:
    """An exchange that waits.

    visitor: its connection, taken out of the server. dummy: see `NewTunnel`. wait: what the
    exchange waits for now; None: nothing any more.
    """

    __slots__ = ("dummy", "finish", "port", "steps", "visitor", "wait", "watched")

    def __init__(
        self,
        port: int,
        steps: Steps[Any],
        wait: Wait | Leave,
        finish: Finish,
        visitor: _socket.socket,
        dummy: _socket.socket,
    ) -> None:
        self.port = port
        self.steps = steps
        self.wait: Wait | Leave | None = wait
        self.finish = finish
        self.visitor = visitor
        self.dummy = dummy
        self.watched: dict[int, int] = {}  # events by descriptor, as epoll has them

    def abandon(self) -> None:
        """In a forked child: close the copies of the parent's sockets."""
        for sock in (self.visitor, self.dummy):
            sock.close()


class Waiters:
    """All exchanges that wait in the relay. Used by its thread only."""

    def __init__(self, carrier: Carrier, places: Places) -> None:
        self._carrier = carrier
        self._places = places
        self._by_fd: dict[int, Waiting] = {}
        self._all: set[Waiting] = set()
        self._deadlines: list[tuple[float, int, Waiting, Wait]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._all)

    @property
    def deadline(self) -> float | None:
        """When the next one gives up, monotonic."""
        while self._deadlines and self._deadlines[0][2].wait is not self._deadlines[0][3]:
            heapq.heappop(self._deadlines)  # it went on meanwhile
        return self._deadlines[0][0] if self._deadlines else None

    def begin(self, new: Waiting) -> None:
        """Start driving an exchange."""
        self._all.add(new)
        self._carrier.keep(new.dummy)
        if isinstance(new.wait, Wait):
            self._watch(new, new.wait)
        else:
            self._go_on(new, Ready(service=True))

    def on_event(self, fd: int, event: int) -> bool:
        """Handle an event from epoll; False if the descriptor is not one of these."""
        one = self._by_fd.get(fd)
        if one is None:
            return False
        is_visitors = fd == one.visitor.fileno()
        self._go_on(one, Ready(service=not is_visitors, visitor=is_visitors))
        return True

    def expire(self, now: float) -> None:
        """Let those go on whose time is over."""
        for _ in range(_EXPIRED):
            until = self.deadline
            if until is None or until > now:
                return
            self._go_on(heapq.heappop(self._deadlines)[2], Ready())

    def close(self) -> None:
        """At the end of the process: cut them all."""
        for one in list(self._all):
            self._unwatch(one)
            one.steps.close()
            self._over(one, None, ConnectionAbortedError("the server ends"))

    def abandon(self) -> None:
        for one in self._all:
            one.abandon()

    def _go_on(self, one: Waiting, ready: Ready) -> None:
        self._unwatch(one)
        one.wait = None  # its deadline is none any more
        try:
            wait = one.steps.send(ready)
            while isinstance(wait, Leave):  # it has
                wait = one.steps.send(Ready(service=True))
        except StopIteration as done:
            self._over(one, done.value, None)
        except BaseException as error:
            self._over(one, None, error)
        else:
            one.wait = wait
            self._watch(one, wait)

    def _watch(self, one: Waiting, wait: Wait) -> None:
        one.watched = {wait.sock.fileno(): wait.events}
        one.watched[one.visitor.fileno()] = _IN if wait.for_more else _RDHUP
        try:
            for fd, events in one.watched.items():
                self._carrier.epoll.register(fd, events)
                self._by_fd[fd] = one
        except OSError as error:  # out of memory, or over the user's limit of epoll watches
            self._unwatch(one)
            one.steps.close()
            self._over(one, None, error)
            return
        if wait.until is not None:
            heapq.heappush(self._deadlines, (wait.until, next(self._numbers), one, wait))

    def _unwatch(self, one: Waiting) -> None:
        for fd in one.watched:
            if self._by_fd.pop(fd, None) is not None:
                with contextlib.suppress(OSError):
                    self._carrier.epoll.unregister(fd)
        one.watched = {}

    def _over(self, one: Waiting, result: Any, error: BaseException | None) -> None:
        self._all.discard(one)
        tunnel = None
        try:
            tunnel = one.finish(result, error)
        except BaseException:
            # Not logged: under gevent this thread must not take the locks of `logging`.
            sys.excepthook(*sys.exc_info())
        if tunnel is not None:
            self._carrier.begin(tunnel)
            return
        with contextlib.suppress(OSError):
            one.visitor.shutdown(_socket.SHUT_RDWR)
        one.visitor.close()
        self._places.give_back(one.port)
