"""Reports the end of a tunnel to the rest of the process without blocking the relay's thread.

If gevent has replaced the standard library's locks, the locks of `logging` and of an app's metrics
belong to the threads of gevent's hubs, and the relay's native thread must not wait for them. A
greenlet in the hub that opened the tunnel makes the call instead.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from .records import OnEnd

_waiting: deque[Callable[[], None]] = deque()
_watchers: dict[int, Any] = {}  # by the id of their hub, which they keep alive


def call_in_hub(on_end: OnEnd) -> OnEnd:
    """Wrap `on_end` so that the relay's thread may call it."""
    if "gevent.monkey" not in sys.modules:
        return on_end
    wake = _watcher().send

    def report(complete: bool, received: int, sent: int) -> None:
        _waiting.append(lambda: on_end(complete, received, sent))
        wake()

    return report


def run_pending() -> None:
    """Make the waiting calls; also at the end of the process, when no hub runs any more."""
    while _waiting:
        _waiting.popleft()()


def _watcher() -> Any:
    """The watcher that wakes this hub from another thread; it does not keep the process alive."""
    gevent = sys.modules["gevent"]
    hub = gevent.get_hub()
    if id(hub) not in _watchers:
        watcher = hub.loop.async_(ref=False)
        watcher.start(gevent.spawn, run_pending)
        _watchers[id(hub)] = watcher
    return _watchers[id(hub)]


def _after_fork() -> None:
    """In a forked child: the parent reports its own tunnels and runs its own loops."""
    _waiting.clear()
    _watchers.clear()


os.register_at_fork(after_in_child=_after_fork)
