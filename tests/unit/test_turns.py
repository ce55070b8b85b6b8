"""The longest turn of the relay: of the last one or two minutes, in processor time."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from wsgi_portproxy.tunnel import turns as module
from wsgi_portproxy.tunnel.turns import Turns

# Turns by when they begin, in seconds, and the processor time that they take.
LONG, SHORT = 0.25, 0.001


@pytest.mark.parametrize(
    ("taken", "asked_at", "longest"),
    [
        ([], 0, 0.0),
        ([(1, LONG)], 1, LONG),
        ([(1, LONG), (2, SHORT)], 2, LONG),
        ([(1, SHORT), (2, LONG), (3, SHORT)], 59, LONG),
        ([(1, LONG), (61, SHORT)], 61, LONG),  # of the span before this one
        ([(1, LONG), (61, SHORT)], 119, LONG),
        ([(1, LONG), (61, SHORT), (121, SHORT)], 122, SHORT),
        ([(1, SHORT), (61, LONG), (122, SHORT)], 122, LONG),
        ([(1, LONG), (200, SHORT)], 200, SHORT),  # nothing was carried in between
        ([(1, LONG)], 119, LONG),  # no turn has ended since
        ([(1, LONG)], 121, 0.0),
        ([(1, LONG), (61, SHORT)], 122, SHORT),
        ([(1, SHORT), (59, LONG), (60, SHORT)], 61, LONG),
    ],
)
def test_the_longest_turn(
    monkeypatch: pytest.MonkeyPatch,
    taken: list[tuple[float, float]],
    asked_at: float,
    longest: float,
) -> None:
    clock = {"now": 0.0, "used": 0.0}
    fake = SimpleNamespace(monotonic=lambda: clock["now"], thread_time=lambda: clock["used"])
    monkeypatch.setattr(module, "time", fake)
    turns = Turns()
    for begin, used in taken:
        clock["now"] = begin + 30 * LONG  # by the clock it takes longer: that is not counted
        clock["used"] += used
        turns.ended(begin)
    clock["now"] = asked_at
    assert turns.longest == pytest.approx(longest)
