"""The iterables that a server is given: whose blocks grow, and no larger than there is room for."""

from __future__ import annotations

from typing import Any, cast

import pytest

from wsgi_portproxy.inflight import InFlight
from wsgi_portproxy.respond.body import StreamedBody
from wsgi_portproxy.tunnel.detach import Detachment
from wsgi_portproxy.upstream.response import UpstreamResponse
from wsgi_portproxy.upstream.steps import Steps

KIB = 1024


class Endless:
    """A service's answer that has `available` bytes whenever it is read, as far as they are asked
    for. `asked`: for how many, each time."""

    status = 200

    def __init__(self, available: int) -> None:
        self.available = available
        self.asked: list[int] = []

    def body_is_due(self) -> bool:
        return False

    def read1(self, amt: int) -> Steps[bytes]:
        yield from ()  # it never waits
        self.asked.append(amt)
        return bytes(min(amt, self.available))


class Room:
    """A chance to leave that is never due, on a server that can write so many bytes at once."""

    def __init__(self, size: int) -> None:
        self._size = size

    def is_due(self, response: object, passed: int, size: int) -> bool:
        return False

    def room(self) -> int:
        return self._size


def asked(available: int, detachment: Room | None, blocks: int) -> list[int]:
    """Kibibytes that the first blocks of a body are asked for."""
    response = Endless(available)
    body = StreamedBody(cast("UpstreamResponse", response), cast("InFlight", None))
    body.begin(lambda data: None, cast("Detachment | None", detachment))
    for _ in range(blocks):
        next(body)
    return [size // KIB for size in response.asked]


@pytest.mark.parametrize(
    ("available", "detachment", "expected"),
    [
        pytest.param(1 << 30, None, [64, 128, 256, 512, 1024, 1024], id="as-fast-as-it-is-read"),
        pytest.param(64 * KIB, None, [64, 128, 128, 128, 128, 128], id="once-filled-and-no-more"),
        pytest.param(10, None, [64] * 6, id="an-event-stream"),
        pytest.param(1 << 30, Room(300 * KIB), [64, 128, 256, 300, 300, 300], id="little-room"),
        pytest.param(1 << 30, Room(20 * KIB), [20] * 6, id="less-room-than-the-first"),
    ],
)
def test_blocks_grow_while_the_service_fills_them(
    available: int, detachment: Any, expected: list[int]
) -> None:
    assert asked(available, detachment, 6) == expected
