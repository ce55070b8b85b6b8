"""A fixed number of slots for our cookies for the whole site.

Browsers send them with every request to the app, whose server refuses requests with too many bytes
of cookies, and a browser may open any number of services at once, or be made to. So their number is
bounded by their names: `portproxy.hint0` to `portproxy.hint5`, each for one service. A service
keeps its slot, or takes a free one, or the slot of the service that was opened longest ago.
"""

from __future__ import annotations

from collections.abc import Mapping

SLOTS = 6


def slot_for(port: int, used: Mapping[int, tuple[int, int]], slots: int = SLOTS) -> int:
    """The slot for a port. `used`: the port in each used slot, and when it was opened.

    The search begins at a slot that depends on the port, so services that are opened at the same
    time, without knowing of each other, rarely take the same slot.
    """
    for slot, (of_port, _) in used.items():
        if of_port == port:
            return slot
    for step in range(slots):
        slot = (port + step) % slots
        if slot not in used:
            return slot
    return min(used, key=lambda slot: (used[slot][1], (slot - port) % slots))
