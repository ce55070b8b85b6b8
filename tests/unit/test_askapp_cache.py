"""How long the wrapped app's yes is remembered, and for whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from wsgi_portproxy.authorize import authorize
from wsgi_portproxy.locate import Target

from .asking import OF_THE_REQUEST, App, bound, judge
from .given import COOKIES, a_target, environ


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
    ask = bound(app, seconds=5.0)
    for _ in range(10):
        assert judge(ask) is None
    clock(4.9)
    assert judge(ask) is None
    assert len(app.asked) == 1
    clock(0.2)
    assert judge(ask) is None
    assert len(app.asked) == 2


def test_a_yes_does_not_last_longer_for_being_used(clock: Callable[[float], None]) -> None:
    app = App()
    ask = bound(app, seconds=5.0)
    for _ in range(3):
        assert judge(ask) is None
        clock(2.0)
    app.status = "403 Forbidden"
    assert judge(ask) is not None


def test_a_no_is_not_remembered() -> None:
    app = App("403 Forbidden")
    ask = bound(app)
    assert judge(ask) is not None
    app.status = "200 OK"
    assert judge(ask) is None


@pytest.mark.parametrize("seconds", [0, 0.0, -1])
def test_without_seconds_it_asks_each_time(seconds: float) -> None:
    app = App()
    ask = bound(app, seconds=seconds)
    assert judge(ask) is None
    assert judge(ask) is None
    assert len(app.asked) == 2


WHOM = [
    ("cookie", {"HTTP_COOKIE": "user=bob"}),
    ("authorization", {"HTTP_AUTHORIZATION": "Bearer bob"}),
    ("remote-user", {"REMOTE_USER": "bob"}),
    ("auth-type", {"AUTH_TYPE": "negotiate"}),
    ("certificate", {"SSL_CLIENT_S_DN": "CN=bob"}),
    ("address", {"REMOTE_ADDR": "192.0.2.77"}),
    ("forwarded-address", {"HTTP_X_FORWARDED_FOR": "192.0.2.77"}),
    ("proxy-user", {"HTTP_X_FORWARDED_USER": "bob"}),
    ("token-field", {"HTTP_X_API_KEY": "bob"}),
    ("host", {"HTTP_HOST": "other.test"}),
    ("scheme", {"wsgi.url_scheme": "https"}),
    ("script-name", {"SCRIPT_NAME": "/other"}),
    ("middleware-text", {"app.user": "bob"}),
    ("middleware-number", {"app.user_id": 7}),
    ("middleware-bytes", {"app.token": b"bob"}),
    ("middleware-none", {"app.user": None}),
    ("language", {"HTTP_ACCEPT_LANGUAGE": "de"}),
]


@pytest.mark.parametrize("fields", [row[1] for row in WHOM], ids=[row[0] for row in WHOM])
def test_each_visitor_is_asked_for(fields: dict[str, Any]) -> None:
    app = App()
    ask = bound(app)
    base: dict[str, Any] = {"HTTP_COOKIE": "user=alice"}
    assert judge(ask, **base) is None
    app.status = "403 Forbidden"
    assert judge(ask, **{**base, **fields}) is not None
    assert judge(ask, **base) is None
    assert len(app.asked) == 2


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(a_target(port=16007), id="port"),
        pytest.param(
            Target(16006, "/", "/x", {"username": "bob", "project": "vision"}, "path", False),
            id="user",
        ),
        pytest.param(
            Target(16006, "/", "/x", {"username": "alice", "project": "other"}, "path", False),
            id="project",
        ),
    ],
)
def test_each_mount_and_port_is_asked_for(target: Target) -> None:
    app = App()
    ask = bound(app)
    assert judge(ask) is None
    app.status = "403 Forbidden"
    assert judge(ask, target) is not None


@pytest.mark.parametrize(
    "own",
    [
        pytest.param("portproxy.16006=1790000000000/alice/vision/proxy/16006", id="hint"),
        pytest.param("portproxy.16006.session=the-services", id="renamed"),
        pytest.param("portproxy.16006!session=the-services", id="copy"),
    ],
)
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
    for method, url in [
        ("GET", "/alice/vision/?port=16006"),
        ("POST", "/alice/vision/x?port=16006"),
    ]:
        for fields in ({}, OF_THE_REQUEST):
            made = environ(url, method=method, HTTP_COOKIE="user=alice", HTTP_ACCEPT=url)
            assert (
                authorize(ask, {**made, **fields}, a_target("/x", websocket=bool(fields)), COOKIES)
                is None
            )
    assert len(app.asked) == 1


def test_neighbouring_values_are_not_confused() -> None:
    app = App()
    ask = bound(app)
    assert judge(ask, HTTP_COOKIE="a", HTTP_COOKIF="b") is None
    assert judge(ask, HTTP_COOKIE="a\0HTTP_COOKIF\0b") is None
    assert judge(ask, HTTP_COOKIE="a', 'b") is None
    assert len(app.asked) == 3


class Session(dict[str, str]):
    """What a middleware around us may put into the environ: two may look alike."""


@pytest.mark.parametrize(
    "identity", [Session(user="alice"), {"user": "alice"}, ["alice"], object()]
)
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
        servers["wsgi.version"] = (1, 0)
        assert judge(ask, **servers) is None
    assert len(app.asked) == 1


def test_it_is_bounded() -> None:
    app = App()
    ask = bound(app, entries=3)
    for number in range(10):
        assert judge(ask, HTTP_COOKIE=f"user={number}") is None
    assert len(app.asked) == 10
    for number in (7, 8, 9):
        assert judge(ask, HTTP_COOKIE=f"user={number}") is None
    assert len(app.asked) == 10
    assert judge(ask, HTTP_COOKIE="user=0") is None
    assert len(app.asked) == 11
    assert len(ask._until) <= 3


def test_no_entries_no_memory() -> None:
    app = App()
    ask = bound(app, entries=0)
    assert judge(ask) is None
    assert judge(ask) is None
    assert len(app.asked) == 2


def test_long_cookies_cost_no_memory() -> None:
    ask = bound(App())
    assert judge(ask, HTTP_COOKIE="x" * 100_000) is None
    assert all(len(key) < 100 for key in ask._until)


def test_many_threads_at_once() -> None:
    app = App()
    ask = bound(app, entries=5)
    errors = []

    def visit(number: int) -> None:
        try:
            for step in range(200):
                assert judge(ask, HTTP_COOKIE=f"user={(number + step) % 7}") is None
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert len(ask._until) <= 5
