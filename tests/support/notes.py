"""What an app under test notes in its server's log, for tests that count calls."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .marks import UNMARKED, current, mark_of
from .servers import Server
from .waiting import until

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_NOTED = "noted: "


def say(text: str) -> None:
    """One line of the log, in one write: threads may speak at once."""
    os.write(2, f"\n{text}\n".encode())


def note(environ: WSGIEnvironment, text: str) -> None:
    """A line of the log about a request."""
    say(f"{_NOTED}{mark_of(environ)} {text}")


class Notes:
    """What an app noted of this test's requests, and of those without a mark, since the last
    look."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._seen = 0
        self.new()

    def new(self) -> list[str]:
        lines = self._server.output().splitlines()
        fresh, self._seen = lines[self._seen :], len(lines)
        noted = [line.removeprefix(_NOTED) for line in fresh if line.startswith(_NOTED)]
        marked = [line.split(" ", 1) for line in noted]
        return [text for mark, text in marked if mark in (current(), UNMARKED)]

    def wait_for(self, *expected: str) -> None:
        """Exactly these lines come, in this order; an answer may come before its `close`."""
        lines: list[str] = []

        def come() -> bool:
            lines.extend(self.new())
            return len(lines) >= len(expected)

        until(come, f"noted: {expected}")
        assert lines == list(expected), lines
