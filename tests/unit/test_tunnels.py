"""How many tunnels there may be, by the settings and the limit on descriptors; and for how long a
request waits in its thread."""

from __future__ import annotations

import resource

import pytest

from wsgi_portproxy.settings import Limits, Timeouts
from wsgi_portproxy.tunnel.detach import _PORTS, _SHORTEST, Detaching, Patience
from wsgi_portproxy.tunnel.hijack import Hijacker


def limits(**settings: int) -> tuple[int, int]:
    return Hijacker(Limits(**settings))._limits()


@pytest.mark.parametrize(
    ("settings", "total", "of_port"),
    [
        ({"tunnels": 8}, 8, 4),
        ({"tunnels": 9}, 9, 5),  # half, rounded up
        ({"tunnels": 1}, 1, 1),
        ({"tunnels": 0}, 0, 0),
        ({"tunnels": 8, "tunnels_per_port": 5}, 8, 5),
        ({"tunnels_per_port": 5}, 384, 5),
        ({}, 384, 192),  # of 1,024 descriptors, less 256, two for each
    ],
)
def test_half_is_one_ports(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, int], total: int, of_port: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (1024, 4096))
    assert limits(**settings) == (total, of_port)


def test_what_could_never_work_is_told_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"^detach_after "):
        Detaching(Hijacker(Limits()), Timeouts(), after=-0.1)


def test_patience_is_halved_where_it_was_not_enough_and_restored_where_it_was() -> None:
    patience = Patience(0.08)
    for expected in (0.08, 0.04, 0.02, 0.01):
        assert patience.of(10_000) == expected
        patience.was_not_enough(10_000)
    for _ in range(20):
        patience.was_not_enough(10_000)
    assert patience.of(10_000) == _SHORTEST
    assert patience.of(10_001) == 0.08
    patience.was_enough(10_001)
    assert patience.of(10_000) == _SHORTEST
    patience.was_enough(10_000)
    assert patience.of(10_000) == 0.08


def test_patience_is_restored_by_one_that_left_too_soon() -> None:
    patience = Patience(0.08)
    for _ in range(20):
        patience.was_not_enough(10_000)
    patience.would_be_enough(10_000, 0.1)
    assert patience.of(10_000) == _SHORTEST
    patience.would_be_enough(10_000, 0.08)
    assert patience.of(10_000) == 0.08


def test_patience_never_grows_and_is_remembered_of_so_many_ports_only() -> None:
    none = Patience(0.0)
    none.was_not_enough(10_000)
    assert none.of(10_000) == 0.0
    patience = Patience(1.0)
    for port in range(10_000, 10_000 + 4 * _PORTS):
        patience.was_not_enough(port)
    assert len(patience._shorter) <= _PORTS
