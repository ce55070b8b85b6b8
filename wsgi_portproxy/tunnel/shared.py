"""Keeps the one relay of each process: made when first needed, never shared with a fork."""

from __future__ import annotations

import os
import select
import sys
import threading

from .relay import Relay


def is_available() -> bool:
    """Whether this system has eventfd and epoll, which the relay needs (Linux)."""
    return hasattr(os, "eventfd") and (hasattr(select, "epoll") or "gevent.monkey" in sys.modules)


def relay() -> Relay:
    """The relay of this process."""
    global _relay
    with _lock:
        if _relay is None:
            _relay = Relay()
        return _relay


def carried() -> tuple[int, int, int, float]:
    """How many places are taken, how many of them by requests that wait and by streams, and the
    relay's longest turn in seconds. Does not make a relay."""
    now = _relay
    if now is None:
        return 0, 0, 0, 0.0
    return now.places.taken, now.waiting, now.streams, now.turns.longest


_relay: Relay | None = None
_lock = threading.Lock()


def _after_fork() -> None:
    """A forked child has no relay thread, and must not keep the parent's connections open."""
    global _relay, _lock
    _lock = threading.Lock()
    if _relay is not None:
        _relay.abandon()
        _relay = None


os.register_at_fork(after_in_child=_after_fork)
