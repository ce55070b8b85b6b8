"""The one relay of each process: made when it is first needed, and never shared with a fork."""

from __future__ import annotations

import os
import select
import sys
import threading

from .relay import Relay


def is_available() -> bool:
    """Whether this system has what the relay needs (Linux)."""
    return hasattr(os, "eventfd") and (hasattr(select, "epoll") or "gevent.monkey" in sys.modules)


def relay() -> Relay:
    """The relay of this process."""
    global _relay
    with _lock:
        if _relay is None:
            _relay = Relay()
        return _relay


def carried() -> tuple[int, int, float]:
    """How many tunnels there are, how many of them are streams, and the relay's longest turn in
    seconds; does not make a relay."""
    now = _relay
    return (0, 0, 0.0) if now is None else (now.places.taken, now.streams, now.turns.longest)


_relay: Relay | None = None
_lock = threading.Lock()


def _after_fork() -> None:
    """A child has none of the parent's threads, and must not keep its connections open."""
    global _relay, _lock
    _lock = threading.Lock()
    if _relay is not None:
        _relay.abandon()
        _relay = None


os.register_at_fork(after_in_child=_after_fork)
