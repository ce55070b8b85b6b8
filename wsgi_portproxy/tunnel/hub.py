"""Telling the end of a tunnel to the rest of the process, without holding up the relay's thread.

Where gevent has replaced the locks of the standard library, those of `logging` and of an app's own
metrics belong to the threads of its hubs: the relay's native thread may not wait for one. There the
call is made by a greenlet of the hub that opened the tunnel.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from .records import OnEnd

_waiting: deque[Callable[[], None]] = deque()
_watchers: dict[int, Any] = {}  # by the identity of their hub, which they keep alive


def telling(on_end: OnEnd) -> OnEnd:
    """`on_end`, to be called from the relay's thread."""
    if "gevent.monkey" not in sys.modules:
        return on_end
    wake = _watcher().send

    def tell(complete: bool, received: int, sent: int) -> None:
        _waiting.append(lambda: on_end(complete, received, sent))
        wake()

    return tell


def tell_waiting() -> None:
    """Call what waits; at the end of the process, when no hub runs any more, too."""
    while _waiting:
        _waiting.popleft()()


def _watcher() -> Any:
    """gevent's way for other threads to wake a hub's loop; it keeps no process from ending."""
    gevent = sys.modules["gevent"]
    hub = gevent.get_hub()
    if id(hub) not in _watchers:
        watcher = hub.loop.async_(ref=False)
        watcher.start(gevent.spawn, tell_waiting)
        _watchers[id(hub)] = watcher
    return _watchers[id(hub)]


def _after_fork() -> None:
    """The parent's tunnels are its own to tell of, and so are its loops."""
    _waiting.clear()
    _watchers.clear()


os.register_at_fork(after_in_child=_after_fork)
