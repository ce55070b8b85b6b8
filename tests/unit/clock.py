"""Time that passes only while somebody waits, for the classes whose rules are about time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class Clock:
    """`now` is monotonic. `meanwhile`: what others do during each wait, one after the other; a wait
    without it lasts as long as it may. `notified`: how often somebody was to be woken."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.meanwhile: list[Callable[[], object]] = []
        self.notified = 0

    def monotonic(self) -> float:
        return self.now

    def condition(self, lock: threading.Lock) -> Any:
        """Instead of `threading.Condition`."""

        def wait(seconds: float) -> None:
            lock.release()
            if self.meanwhile:
                self.meanwhile.pop(0)()
            else:
                self.now += seconds
            lock.acquire()

        def notify() -> None:
            self.notified += 1

        return SimpleNamespace(wait=wait, notify=notify)
