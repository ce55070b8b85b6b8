"""The iterables that a server is given, whose blocks grow."""

from __future__ import annotations

from typing import cast

import pytest

from wsgi_portproxy.inflight import InFlight
from wsgi_portproxy.respond.body import StreamedBody
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

    def interrupt(self, request: object, error: Exception) -> None: ...

    def read1(self, amt: int) -> Steps[bytes]:
        yield from ()  # it never waits
        self.asked.append(amt)
        return bytes(min(amt, self.available))


class Lasting:
    """A request that has its access until its end."""

    revoked = None

    def last(self, stop: object) -> None: ...


def asked(available: int, blocks: int) -> list[int]:
    """Kibibytes that the first blocks of a body are asked for."""
    response = Endless(available)
    body = StreamedBody(cast("UpstreamResponse", response), cast("InFlight", Lasting()))
    body.begin(lambda data: None)
    for _ in range(blocks):
        next(body)
    return [size // KIB for size in response.asked]


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        pytest.param(1 << 30, [64, 128, 256, 512, 1024, 1024], id="as-fast-as-it-is-read"),
        pytest.param(64 * KIB, [64, 128, 128, 128, 128, 128], id="once-filled-and-no-more"),
        pytest.param(10, [64] * 6, id="an-event-stream"),
    ],
)
def test_blocks_grow_while_the_service_fills_them(available: int, expected: list[int]) -> None:
    assert asked(available, 6) == expected
