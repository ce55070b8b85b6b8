"""How many tunnels there may be, by the settings and the limit on descriptors."""

from __future__ import annotations

import resource
from typing import Any

import pytest

from wsgi_portproxy.tunnel.websocket import Tunnels


def limits(**settings: Any) -> tuple[int, int]:
    given: dict[str, Any] = {"max_tunnels": None, "max_tunnels_per_port": None, **settings}
    others: dict[str, Any] = {"require_origin": False, "stream_idle_timeout": None}
    return Tunnels(**{"idle_timeout": 1.0, "handover_after": None, **others, **given})._limits()


@pytest.mark.parametrize(
    ("settings", "total", "of_port"),
    [
        ({"max_tunnels": 8}, 8, 2),
        ({"max_tunnels": 9}, 9, 3),  # a quarter, rounded up
        ({"max_tunnels": 1}, 1, 1),
        ({"max_tunnels": 0}, 0, 0),
        ({"max_tunnels": 8, "max_tunnels_per_port": 5}, 8, 5),
        ({"max_tunnels_per_port": 5}, 384, 5),
        ({}, 384, 96),  # of 1,024 descriptors, less 256, two for each
    ],
)
def test_a_quarter_is_one_ports(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, int], total: int, of_port: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (1024, 4096))
    assert limits(**settings) == (total, of_port)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tunnels", -1),
        ("max_tunnels_per_port", -1),
        ("handover_after", -0.1),
        ("idle_timeout", 0.0),
    ],
)
def test_what_could_never_work_is_told_by_its_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        limits(**{name: value})
