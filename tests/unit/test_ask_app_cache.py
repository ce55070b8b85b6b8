"""How long the wrapped app's yes is remembered, and for whom."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from wsgi_portproxy.locate.target import Target
from wsgi_portproxy.policy.authorize import authorize

from .asking import OF_THE_REQUEST, App, bound, judge
from .given import COOKIES, a_target, environ, table


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time stands still but for what a test lets pass."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


def test_a_yes_is_remembered_for_some_seconds(clock: Callable[[float], None]) -> None:
    app = App()
    ask = bound(app)
    for _ in range(2):  # it does not last longer for being used
        assert judge(ask) is None
        clock(2.25)
    assert judge(ask) is None
    assert len(app.asked) == 1
    clock(0.5)  # 5.0 by now
    app.status = "403 Forbidden"
    assert judge(ask) is not None


def test_a_no_is_not_remembered() -> None:
    app = App("403 Forbidden")
    ask = bound(app)
    assert judge(ask) is not None
    app.status = "200 OK"
    assert judge(ask) is None


@pytest.mark.parametrize("settings", [{"seconds": 0}, {"seconds": -1}, {"entries": 0}], ids=str)
def test_without_seconds_or_entries_it_asks_each_time(settings: dict[str, int]) -> None:
    app = App()
    ask = bound(app, **settings)
    for _ in range(2):
        assert judge(ask) is None
    assert len(app.asked) == 2
    assert not ask._until


@pytest.mark.parametrize(
    "fields",
    [
        {"HTTP_COOKIE": "user=bob"},
        {"HTTP_AUTHORIZATION": "Bearer bob"},
        *({name: "bob"} for name in ("REMOTE_USER", "SSL_CLIENT_S_DN", "HTTP_X_FORWARDED_USER")),
        {"REMOTE_ADDR": "192.0.2.77"},
        *({"HTTP_HOST": "other.test"}, {"wsgi.url_scheme": "https"}, {"SCRIPT_NAME": "/other"}),
        *({"app.user": user} for user in ("bob", b"bob", 7, None)),  # of a middleware
    ],
    ids=str,
)
def test_each_visitor_is_asked_for(fields: dict[str, Any]) -> None:
    app = App()
    ask = bound(app)
    base: dict[str, Any] = {"HTTP_COOKIE": "user=alice"}
    assert judge(ask, **base) is None
    app.status = "403 Forbidden"
    assert judge(ask, **{**base, **fields}) is not None
    assert judge(ask, **base) is None
    assert len(app.asked) == 2


BOB = {"username": "bob", "project": "vision"}
OTHER = {"username": "alice", "project": "other"}


@pytest.mark.parametrize(
    "target",
    [a_target(port=16007), replace(a_target(), params=BOB), replace(a_target(), params=OTHER)],
    ids=["port", "user", "project"],
)
def test_each_mount_and_port_is_asked_for(target: Target) -> None:
    app = App()
    ask = bound(app)
    assert judge(ask) is None
    app.status = "403 Forbidden"
    assert judge(ask, target) is not None


@pytest.mark.parametrize("own", ["portproxy.16006=1790000000000/a", "portproxy.16006!session=s"])
def test_cookies_of_ours_are_not_the_visitors(own: str) -> None:
    """They change with every page of a service, and some are the service's: the app is not shown
    them, and no verdict depends on them."""
    app = App()
    ask = bound(app)
    for cookies in (f"user=alice; {own}", "user=alice", f"{own}2; user=alice"):
        assert judge(ask, HTTP_COOKIE=cookies) is None
    assert [made["HTTP_COOKIE"] for made in app.asked] == ["user=alice"]


def test_a_visitor_is_known_again_whatever_is_asked() -> None:
    app = App()
    ask = bound(app)
    for method in ("GET", "POST"):
        for fields in ({}, OF_THE_REQUEST):
            url = f"/alice/vision/{method}?port=16006"
            made = environ(url, method=method, HTTP_COOKIE="user=alice", HTTP_ACCEPT=url)
            target = a_target("/x", websocket=bool(fields))
            assert authorize(ask, {**made, **fields}, target, COOKIES).refusal is None
    assert len(app.asked) == 1


def test_neighbouring_values_are_not_confused() -> None:
    app = App()
    ask = bound(app)
    assert judge(ask, HTTP_COOKIE="a", HTTP_COOKIF="b") is None
    assert judge(ask, HTTP_COOKIE="a\0HTTP_COOKIF\0b") is None
    assert judge(ask, HTTP_COOKIE="a', 'b") is None
    assert len(app.asked) == 3


class Session(str):
    """What a middleware around us may put into the environ: two may look alike."""

    __slots__ = ()


@table("identity", {"subclass": Session("alice"), "list": ["alice"], "object": object()})
def test_what_cannot_be_compared_is_never_remembered(identity: Any) -> None:
    app = App()
    ask = bound(app)
    for _ in range(2):
        assert judge(ask, **{"app.session": identity}) is None
    assert len(app.asked) == 2


def test_the_servers_own_objects_do_not_hinder_it() -> None:
    app = App()
    ask = bound(app)
    for _ in range(2):
        servers: dict[str, Any] = {"wsgi.errors": object(), "gunicorn.socket": object()}
        servers |= {"wsgi.version": (1, 0), "wsgi.other": object()}
        assert judge(ask, **servers) is None
    assert len(app.asked) == 1


def test_it_is_bounded_and_long_cookies_cost_no_memory() -> None:
    app = App()
    ask = bound(app, entries=3)
    for number in [*range(10), 7, 8, 9]:
        assert judge(ask, HTTP_COOKIE=f"user={number}" + "x" * 10_000) is None
    assert [made["HTTP_COOKIE"][5] for made in app.asked] == [*"0123456789"]
    assert len(ask._until) == 3
    assert all(len(key) < 100 for key in ask._until)


def test_many_threads_at_once() -> None:
    ask = bound(App(), entries=5)

    def visit(number: int) -> None:
        for step in range(200):
            assert judge(ask, HTTP_COOKIE=f"user={(number + step) % 7}") is None

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(8)))
    assert len(ask._until) <= 5
