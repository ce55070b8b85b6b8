"""Does the work of exchanges that the relay must not wait for, one piece after another.

A native thread even if gevent has replaced threads, like the relay's; it ends when nothing is left.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from .unpatched import unpatched

T = TypeVar("T")


class Workers(Generic[T]):
    """is_done: called in the other thread with what `do` was given, when the work is done."""

    def __init__(self, is_done: Callable[[T], None]) -> None:
        self._is_done = is_done
        self._lock = unpatched("_thread", "allocate_lock")()  # held only to look at the queue
        self._queue: deque[tuple[Callable[[], None], T]] = deque()
        self._has_thread = False

    def do(self, call: Callable[[], None], given: T) -> None:
        """Call `call` in the other thread. Raises OSError if there can be no more threads."""
        with self._lock:
            self._queue.append((call, given))
            if self._has_thread:
                return
            self._has_thread = True
        try:
            unpatched("_thread", "start_new_thread")(self._run, ())
        except RuntimeError as error:
            self._has_thread = False
            self._queue.clear()
            raise OSError("no thread for the work of an exchange") from error

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._has_thread = False
                    return
                call, given = self._queue.popleft()
            try:
                call()
            except BaseException:
                sys.excepthook(*sys.exc_info())
            self._is_done(given)
