"""How many tunnels there may be, by the settings and the limit on descriptors."""

from __future__ import annotations

import resource

import pytest

from wsgi_portproxy.settings import Limits, Timeouts
from wsgi_portproxy.tunnel.detach import Detaching
from wsgi_portproxy.tunnel.hijack import Hijacker


def limits(**settings: int) -> tuple[int, int]:
    return Hijacker(Limits(**settings))._limits()


@pytest.mark.parametrize(
    ("settings", "total", "of_port"),
    [
        ({"tunnels": 8}, 8, 2),
        ({"tunnels": 9}, 9, 3),  # a quarter, rounded up
        ({"tunnels": 1}, 1, 1),
        ({"tunnels": 0}, 0, 0),
        ({"tunnels": 8, "tunnels_per_port": 5}, 8, 5),
        ({"tunnels_per_port": 5}, 384, 5),
        ({}, 384, 96),  # of 1,024 descriptors, less 256, two for each
    ],
)
def test_a_quarter_is_one_ports(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, int], total: int, of_port: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (1024, 4096))
    assert limits(**settings) == (total, of_port)


def test_what_could_never_work_is_told_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"^detach_after "):
        Detaching(Hijacker(Limits()), Timeouts(), after=-0.1)
