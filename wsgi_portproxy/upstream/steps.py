"""An exchange with a service as steps that wait by yielding, so that anybody may wait for them.

The generators of an exchange read, write and decide; they leave only the waiting to a driver: a
thread of the server (`in_thread`), or the relay, which waits for thousands at a time. So each rule
of an exchange is written once, and an exchange may change its driver wherever it waits.
"""

from __future__ import annotations

import _socket
import os
import select
import socket
import time
from collections.abc import Callable, Generator
from typing import NamedTuple, TypeAlias, TypeVar

from ..servers import VisitorSocket

T = TypeVar("T")

# Seconds of silence after which the visitor's socket is checked too. Long enough that a quick
# response still reaches a visitor that closed its sending side at once (nc, some scripts); short
# enough that a service learns within a second that the visitor has left.
LOOK_AT_VISITOR_AFTER = 0.25
# The visitor has closed its sending side, or both sides. After the request either counts as
# leaving, as in nginx. On systems without POLLRDHUP only a reset is noticed.
LEFT = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
_GEVENT = "gevent.select"  # its poll reports only POLLIN and POLLOUT


class Wait(NamedTuple):
    """What an exchange waits for. The driver sends `Ready` back.

    sock: the service's socket. events: of it, as for poll(2).
    until: monotonic; None: no limit.
    visitor: the visitor's socket, whose end matters too; None if the server does not expose it.
    incoming: polls `sock` for POLLIN; the connection keeps it from one exchange to the next.
    for_more: whether more bytes from the visitor end the wait, and its leaving does not.
    """

    sock: socket.socket
    events: int
    until: float | None
    visitor: VisitorSocket | None
    incoming: select.poll
    for_more: bool = False


class Leave(NamedTuple):
    """An exchange asks to leave its thread here, since what follows may take long. The driver sends
    `Ready` back at once, whether it could or not."""


class Work(NamedTuple):
    """An exchange has work to do that takes long, and need not wait where only one thread waits for
    thousands. The driver calls it, in whatever thread, and sends `Ready` back. It must not raise.
    """

    call: Callable[[], None]


class Turn(NamedTuple):
    """An exchange has more bytes at hand, each of which takes long (one byte per chunk), and lets
    others go first. The driver sends `Ready` back soon."""


class Ready(NamedTuple):
    """What has happened. Nothing: it is later than `Wait.until`."""

    service: bool = False
    visitor: bool = False


_SERVICE_IS = Ready(service=True)

#: What an exchange yields.
Step: TypeAlias = Wait | Leave | Work | Turn
#: Steps of an exchange, with a result.
Steps: TypeAlias = Generator[Step, Ready, T]


def in_thread(steps: Steps[T]) -> T:
    """Drive steps to their end in this thread, and return their result. Raises as they do."""
    try:
        wait = next(steps)
        while True:
            wait = steps.send(ready_for(wait))
    except StopIteration as done:
        result: T = done.value
        return result


def ready_for(wait: Step, at_most: float | None = None) -> Ready:
    """Wait, or work, in this thread. `at_most`: for so many seconds; None: as long as it takes."""
    if isinstance(wait, Work):
        wait.call()
    if not isinstance(wait, Wait):
        return Ready()
    remaining = None if wait.until is None else max(0.0, wait.until - time.monotonic())
    if at_most is not None and (remaining is None or at_most < remaining):
        remaining = at_most
    if wait.for_more:
        return _ready(wait, remaining, select.POLLIN)
    first = LOOK_AT_VISITOR_AFTER
    if remaining is not None and remaining < first:
        first = remaining
    if wait.events == select.POLLIN:  # nearly always
        if wait.incoming.poll(first * 1000):
            return _SERVICE_IS
    elif (ready := _ready(wait, first, 0)).service:
        return ready
    if remaining == first:
        return Ready()
    left = None if remaining is None else remaining - first
    if wait.visitor is not None and wait.visitor.fileno() < 0:
        return Ready(visitor=True)
    if select.poll.__module__ != _GEVENT:
        return _ready(wait, left, LEFT)
    ready = _ready(wait, left, select.POLLIN)
    if not ready.visitor or ready.service or has_ended(wait.visitor):
        return ready
    # The visitor's next request has come, and hides a close behind it.
    return ready_for(wait._replace(visitor=None))


def _ready(wait: Wait, timeout: float | None, visitor_events: int) -> Ready:
    """Poll for `timeout` seconds; `visitor_events` 0: not the visitor."""
    poller = select.poll()
    poller.register(wait.sock, wait.events)
    if visitor_events and wait.visitor is not None:
        poller.register(wait.visitor, visitor_events)
    fds = [fd for fd, _ in poller.poll(None if timeout is None else timeout * 1000)]
    service = wait.sock.fileno() in fds
    return Ready(service, len(fds) > service)


def has_ended(visitor: VisitorSocket | None) -> bool:
    """Whether the visitor's socket is readable because it was closed."""
    if visitor is None:
        return False
    try:
        sock = _socket.socket(fileno=os.dup(visitor.fileno()))
    except OSError:  # no descriptor is left for a duplicate
        return False
    try:
        return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        sock.close()
