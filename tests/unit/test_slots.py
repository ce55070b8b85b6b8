"""The slots of our cookies for the whole site: a fixed number, whatever is opened."""

from __future__ import annotations

import pytest

from wsgi_portproxy.locate.slots import SLOTS, slot_for

FULL = {slot: (15000 + slot, 100 + slot) for slot in range(SLOTS)}


@pytest.mark.parametrize(
    ("port", "used", "slot"),
    [
        (16006, {}, 16006 % SLOTS),
        (16007, {}, 16007 % SLOTS),
        (16006, {2: (16006, 100), 3: (15000, 200)}, 2),  # it keeps its own
        (16006, {4: (15000, 200)}, 5),
        (16006, {4: (15000, 1), 5: (15001, 2)}, 0),  # round
        (16006, {slot: FULL[slot] for slot in range(SLOTS) if slot != 3}, 3),
        (16006, FULL, 0),
        (15003, FULL, 3),
        (16006, {**FULL, 0: (15000, 200)}, 1),
        (16006, {**FULL, 5: (0, 0)}, 5),
    ],
)
def test_the_slot_of_a_port(port: int, used: dict[int, tuple[int, int]], slot: int) -> None:
    assert slot_for(port, used) == slot


def test_services_that_are_opened_at_once_seldom_meet() -> None:
    """Of none is the other known."""
    assert len({slot_for(port, {}) for port in range(16000, 16000 + SLOTS)}) == SLOTS


def test_whatever_is_opened_there_are_no_more_and_the_last_ones_are_known() -> None:
    used: dict[int, tuple[int, int]] = {}
    for moment, port in enumerate(range(10000, 20001, 7)):
        used[slot_for(port, used)] = (port, moment)
        last = {10000 + 7 * (moment - ago) for ago in range(min(SLOTS, moment + 1))}
        assert {of_port for of_port, _ in used.values()} == last
    assert set(used) == set(range(SLOTS))
