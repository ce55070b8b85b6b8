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
        lines = [
            line.removeprefix(_MARK)
            for line in self._server.output().splitlines()
            if line.startswith(_MARK)
        ]
        fresh, self._seen = lines[self._seen :], len(lines)
        return fresh

    def wait_for(self, *expected: str) -> None:
        """Exactly these lines come, in this order; an answer may come before its `close`."""
        lines: list[str] = []

        def come() -> bool:
            lines.extend(self.new())
            return len(lines) >= len(expected)

        until(come, f"noted: {expected}")
        assert lines == list(expected)
