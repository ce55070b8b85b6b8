"""Ctrl-C and SIGTERM, so that nothing that was started stays behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


def end_as_on_interrupt() -> None:
    """Let SIGTERM unwind the stack as Ctrl-C does, which ends what was started."""
    signal.signal(signal.SIGTERM, _end)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put both off to the end of the block: in the midst of starting or ending a process, either
    would leave it behind."""
    came: list[int] = []

    def note(number: int, frame: object) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)
