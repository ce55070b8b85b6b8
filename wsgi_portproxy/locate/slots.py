"""Limits how many of our cookies a browser holds for the whole site: one per cookie slot.

Browsers send them with every request to the app, whose server refuses requests with too many bytes
of cookies. A browser may open any number of services at once, or be made to. So the names limit the
number: `portproxy.hint0` to `portproxy.hint5`, each for one service. A service keeps its slot, or
takes a free one, or the slot of the service that was opened longest ago.
"""

from __future__ import annotations

from collections.abc import Mapping

SLOTS = 6


def slot_for(port: int, used: Mapping[int, tuple[int, int]], slots: int = SLOTS) -> int:
    """The slot for a port. `used`: the port in each used slot, and when it was opened.

    The search begins at a slot that depends on the port. So services that are opened at the same
    time, before either has a cookie, rarely take the same slot.
    """
    for slot, (of_port, _) in used.items():
        if of_port == port:
            return slot
    for step in range(slots):
        slot = (port + step) % slots
        if slot not in used:
            return slot
    return min(used, key=lambda slot: (used[slot][1], (slot - port) % slots))
