"""Cookies of ours for the whole site, in a fixed number of slots.

They go along with every request to the app, whose server refuses it if they are too long, and a
browser may open any number of services at once, or be made to. So their number is bounded by their
names: `portproxy.hint0` to `portproxy.hint5`, each for one service. A service keeps its slot, or
takes a free one, or that of the service which was opened longest ago.
"""

from __future__ import annotations

from collections.abc import Mapping

SLOTS = 6


def slot_for(port: int, used: Mapping[int, tuple[int, int]], slots: int = SLOTS) -> int:
    """The slot for a port. `used`: of each slot that is, its port, and when it was opened.

    Looked for from a place of the port's own: services that are opened at the same time, when none
    is known of the others, seldom meet.
    """
    for slot, (of_port, _) in used.items():
        if of_port == port:
            return slot
    for step in range(slots):
        slot = (port + step) % slots
        if slot not in used:
            return slot
    return min(used, key=lambda slot: (used[slot][1], (slot - port) % slots))
