"""What an app under test notes in its server's log, for tests that count calls."""

from __future__ import annotations

import os

from .servers import Server
from .waiting import until

_MARK = "noted: "


def note(text: str) -> None:
    """One line, in one write: threads may note at once."""
    os.write(2, f"\n{_MARK}{text}\n".encode())


class Notes:
    """The lines that an app noted, since the last look."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._seen = 0
        self.new()

    def new(self) -> list[str]:
        # A write across a page's end can be read in halves: the last line may not be whole yet.
        whole = self._server.output().rpartition("\n")[0]
        lines = [line.removeprefix(_MARK) for line in whole.splitlines() if line.startswith(_MARK)]
        fresh, self._seen = lines[self._seen :], len(lines)
        return fresh

    def wait_for(self, *expected: str) -> None:
        """Exactly these lines come, in this order; an answer may come before its `close`."""
        lines: list[str] = []

        def come() -> bool:
            lines.extend(self.new())
            return len(lines) >= len(expected)

        until(come, f"noted: {expected}")
        assert lines == list(expected), lines
