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
import time
from collections.abc import Callable
from typing import Any

from ..upstream.steps import LOOK_AT_VISITOR_AFTER, Ready, Step, Steps, Turn, Wait, Work
from .carrier import Carrier
from .places import Places
from .records import NewTunnel

_IN, _OUT, _RDHUP = 0x001, 0x004, 0x2000  # linux/eventpoll.h; absent from gevent's select
_GONE = 0x008 | 0x010  # errors and hang-ups, which epoll always reports
_EXPIRED = 16  # deadlines that pass in one turn of the relay
_PAST = 256  # deadlines kept at most of what no longer waits, beside two for each that does

#: Called in the relay's thread when an exchange is over, with its result or the exception that it
#: raised; returns the tunnel that carries the reply, or None if that was sent at once.
Finish = Callable[[Any, BaseException | None], NewTunnel | None]


class Waiting:
    """An exchange that waits.

    visitor: its connection, taken out of the server. dummy, key: see `NewTunnel`. has_upload:
    whether bytes of the visitor's body are at hand that the exchange does not know of. wait: what
    it waits for now; None: nothing any more. has_left: the visitor closed its sending side, maybe
    only that.
    """

    __slots__ = (
        "dummy", "finish", "has_left", "has_upload", "key", "port", "since", "steps", "visitor",
        "wait", "watched",
    )  # fmt: skip

    def __init__(
        self,
        port: int,
        steps: Steps[Any],
        wait: Step,
        finish: Finish,
        visitor: _socket.socket,
        dummy: _socket.socket,
        *,
        key: object,
        has_upload: bool = False,
    ) -> None:
        self.port = port
        self.steps = steps
        self.wait: Step | None = wait
        self.finish = finish
        self.visitor = visitor
        self.dummy = dummy
        self.key = key
        self.has_upload = has_upload
        self.has_left = False
        self.since = 0.0  # when it began to wait, monotonic
        self.watched: dict[int, int] = {}  # events by descriptor, as epoll has them

    def abandon(self) -> None:
        """In a forked child: close the copies of the parent's sockets."""
        for sock in (self.visitor, self.dummy):
            sock.close()


class Waiters:
    """All exchanges that wait in the relay. Used by its thread only."""

    def __init__(self, carrier: Carrier, places: Places, work: Callable[[Waiting], None]) -> None:
        """work: does the `Work` of an exchange in another thread, and calls `resume` in this one
        when it is done; for a `Turn`, in the next turn."""
        self._work = work
        self._carrier = carrier
        self._places = places
        self._by_fd: dict[int, Waiting] = {}
        self._all: dict[object, Waiting] = {}  # by their keys
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
        self._all[new.key] = new
        new.visitor.setblocking(False)
        self._carrier.keep(new.dummy)
        if new.has_upload:
            self._go_on(new, Ready(visitor=True))
        elif new.wait is not None:
            try:
                self._begin(new, new.wait)
            except OSError as error:
                self._fail(new, error)

    def _begin(self, one: Waiting, wait: Step) -> None:
        """Begin with what an exchange asks for. Raises as `_watch`."""
        one.wait = wait
        if isinstance(wait, Wait):
            self._watch(one, wait)
        elif isinstance(wait, (Work, Turn)):
            self._work(one)
        else:  # it has left
            self._go_on(one, Ready())

    def resume(self, one: Waiting) -> None:
        """Its work is done, or it is its turn."""
        if isinstance(one.wait, (Work, Turn)):  # else it was stopped meanwhile
            self._go_on(one, Ready())

    def on_event(self, fd: int, event: int) -> bool:
        """Handle an event from epoll; False if the descriptor is not one of these."""
        one = self._by_fd.get(fd)
        if one is None:
            return False
        if fd != one.visitor.fileno():
            self._go_on(one, Ready(service=True))
        elif isinstance(one.wait, Wait) and not event & _GONE and self._may_still_read(one):
            self._wait_for_response(one, one.wait)
        else:
            self._go_on(one, Ready(visitor=True))
        return True

    def _may_still_read(self, one: Waiting) -> bool:
        """Whether it is too early to say that a visitor who sends no more has left."""
        awaits_more = isinstance(one.wait, Wait) and one.wait.for_more
        return not awaits_more and time.monotonic() < one.since + LOOK_AT_VISITOR_AFTER

    def _wait_for_response(self, one: Waiting, wait: Wait) -> None:
        """Wait a little longer for a response to a visitor who sends no more."""
        fd = one.visitor.fileno()
        self._carrier.epoll.unregister(fd)
        del self._by_fd[fd], one.watched[fd]
        one.has_left = True
        self._give_up_at(one.since + LOOK_AT_VISITOR_AFTER, one, wait)

    def expire(self, now: float) -> None:
        """Let those go on whose time is over."""
        for _ in range(_EXPIRED):
            until = self.deadline
            if until is None or until > now:
                return
            one = heapq.heappop(self._deadlines)[2]
            self._go_on(one, Ready(visitor=one.has_left))

    def stop_all(self, error: Callable[[], BaseException]) -> None:
        """Stop them, each with an error."""
        for key in list(self._all):
            self.stop(key, error())

    def stop(self, key: object, error: BaseException) -> bool:
        """Stop the one with this key with an error; False if there is none."""
        one = self._all.get(key)
        if one is None:
            return False
        self._fail(one, error)
        return True

    def abandon(self) -> None:
        for one in self._all.values():
            one.abandon()

    def _go_on(self, one: Waiting, ready: Ready) -> None:
        self._unwatch(one)
        one.wait = None  # its deadline is none any more
        try:
            self._begin(one, one.steps.send(ready))
        except StopIteration as done:
            self._over(one, done.value, None)
        except BaseException as error:
            self._fail(one, error)

    def _fail(self, one: Waiting, error: BaseException) -> None:
        self._unwatch(one)
        one.wait = None
        one.steps.close()
        self._over(one, None, error)

    def _watch(self, one: Waiting, wait: Wait) -> None:
        """Raises OSError if the system is out of memory, or beyond the user's limit of epoll
        watches (epoll(7))."""
        one.since, one.has_left = time.monotonic(), False
        watched = {wait.sock.fileno(): wait.events}
        watched[one.visitor.fileno()] = _IN if wait.for_more else _RDHUP
        for fd, events in watched.items():
            self._carrier.epoll.register(fd, events)
            one.watched[fd] = events
            self._by_fd[fd] = one
        if wait.until is not None:
            self._give_up_at(wait.until, one, wait)

    def _give_up_at(self, moment: float, one: Waiting, wait: Wait) -> None:
        heapq.heappush(self._deadlines, (moment, next(self._numbers), one, wait))
        if len(self._deadlines) > _PAST + 2 * len(self._all):
            # One that waits for long keeps those behind it, and these whole exchanges, from going.
            self._deadlines = [each for each in self._deadlines if each[2].wait is each[3]]
            heapq.heapify(self._deadlines)

    def _unwatch(self, one: Waiting) -> None:
        for fd in one.watched:
            if self._by_fd.pop(fd, None) is not None:
                with contextlib.suppress(OSError):
                    self._carrier.epoll.unregister(fd)
        one.watched = {}

    def _over(self, one: Waiting, result: Any, error: BaseException | None) -> None:
        del self._all[one.key]
        tunnel = None
        try:
            tunnel = one.finish(result, error)
        except BaseException:
            # Not logged: under gevent this thread must not take the locks of `logging`.
            sys.excepthook(*sys.exc_info())
        if tunnel is None:
            with contextlib.suppress(OSError):
                one.visitor.shutdown(_socket.SHUT_RDWR)
            one.visitor.close()
            self._places.give_back(one.port)
        else:
            self._carrier.begin(tunnel)
