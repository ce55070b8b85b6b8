"""The mount under which a browser opened a port that has a root of its own in the port form."""

from __future__ import annotations

import re
from typing import Any

import pytest

from wsgi_portproxy.locate.location import Location
from wsgi_portproxy.locate.locator import Locator
from wsgi_portproxy.locate.mount import Mount
from wsgi_portproxy.locate.opened import Opened
from wsgi_portproxy.locate.port_template import PortTemplate
from wsgi_portproxy.locate.target import Form, Target
from wsgi_portproxy.policy.ports import DEFAULT_PORTS

from .given import COOKIES, a_target, a_visit, costs_little, environ, table

OPENED = Opened(Mount("/{username}/{project}"))
ALICES = {"username": "alice", "project": "vision"}
THEN = 1_700_000_000_000
NAVIGATES: dict[str, Any] = {"HTTP_SEC_FETCH_MODE": "navigate"}
SENT = Location(307, "http://app.test:36006/")
QUERY = a_target(form="query", prefix="/alice/vision")


def cookie(port: int = 16006, path: str = "/alice/vision", slot: int = 0, when: int = THEN) -> str:
    return f"portproxy.at{slot}={port}.{when:013d}{path}"


def params(cookies: str, port: int = 16006, opened: Opened = OPENED) -> Any:
    return opened.params(port, environ(HTTP_COOKIE=cookies))


def remembered(
    target: Target = QUERY,
    redirect: Location | None = SENT,
    cookies: str = "",
    opened: Opened = OPENED,
    **fields: Any,
) -> str:
    """The cookie, with its time as T; "" for none."""
    visit = a_visit("/", HTTP_COOKIE=cookies, **{**NAVIGATES, **fields})
    made = opened.remember(target, visit, redirect)
    assert len(made) <= 1
    return re.sub(r"\.[0-9]{13}", ".T", made[0][1]) if made else ""


# --- What is remembered --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cookies",
    [
        cookie(),
        f"a=1; {cookie()}; b=2",
        f"a=1,{cookie()},b=2",
        f"{cookie(16007, '/bob/x')}; {cookie(slot=1)}",
        f"{cookie(path='/bob/x', when=THEN - 1)}; {cookie(slot=11)}",
        cookie(path="/%61lice/visi%6fn"),
    ],
)
def test_the_mount_of_a_port(cookies: str) -> None:
    assert params(cookies) == ALICES


@pytest.mark.parametrize(
    "cookies",
    [
        *("", "a=1", cookie(16007), cookie(16007, slot=1), cookie(slot=12), cookie(slot=99)),
        *(cookie().replace("16006", "016006"), cookie().replace("16006", "+16006")),
        *(cookie(path=path) for path in ("", "/", "/alice", "/alice/vision/", "/alice/vision/x")),
        *(cookie(path=path) for path in ("/alice/..", "/./x", "/a%2Fb/x", "/a/%2e%2e", "//")),
        *(cookie(path=path) for path in ("/a/%00", "/a/%ff", "/a\\b/c", "alice/vision")),
        *(f"x{cookie()}", cookie().upper(), cookie().replace(".at", ".at1.at"), '"' + cookie()),
        cookie().replace(f"{THEN}", "1"),
    ],
)
def test_what_is_no_mount_says_nothing(cookies: str) -> None:
    assert params(cookies) is None


def test_a_mount_without_parameters_needs_no_memory() -> None:
    opened = Opened(Mount("/lab"))
    assert params(cookie(path="/lab"), opened=opened) is None
    assert remembered(opened=opened) == ""


@table(
    "cookies",
    {
        "many": f"{cookie()}; " * 2000,
        "names": "portproxy.at" * 8000,
        "separators": ";" * 65536 + "portproxy.at",
        "path": cookie(path="/" * 65000),
        "spaces": "portproxy.at0=1;" + " " * 65000,
    },
)
def test_odd_cookies_cost_little(cookies: str) -> None:
    with costs_little():
        params(cookies)
        remembered(cookies=cookies)


# --- What is told to a browser -------------------------------------------------------------------

OWN = "portproxy.at{}={}.T/alice/vision; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"


def test_a_browser_that_is_sent_there_remembers() -> None:
    slot = 16006 % 12
    assert remembered() == OWN.format(slot, 16006)
    assert remembered(a_target()) == OWN.format(slot, 16006)
    https: Any = {"wsgi.url_scheme": "https"}
    assert remembered(**https) == OWN.format(slot, 16006) + "; Secure"
    below = a_target(form="query", prefix="/apps/alice/vision")
    assert "=16006.T/alice/vision; Path=/apps/;" in remembered(below, script_name="/apps")


@table(
    "target, redirect, fields",
    {
        "not-sent": (QUERY, None, {}),
        "to-the-path-form": (QUERY, Location(307, "/alice/vision/proxy/16006/"), {}),
        # A service's own query is none of ours.
        "that-names-a-site": (QUERY, Location(307, "/alice/vision/proxy/1/?to=http://x/"), {}),
        "a-script": (QUERY, SENT, {"HTTP_SEC_FETCH_MODE": "cors"}),
        "host-form": (a_target(form="host", prefix=""), None, {}),
        "too-long": (a_target(form="query", prefix="/alice/" + "x" * 160), SENT, {}),
        "odd": (a_target(form="query", prefix="/alice/a,b"), SENT, {}),
        "unknown": (a_target(form="port", prefix=""), None, {}),
    },
)
def test_who_does_not(target: Target, redirect: Any, fields: dict[str, Any]) -> None:
    assert remembered(target, redirect, **fields) == ""


def test_a_page_there_renews_it_unless_it_is_the_newest() -> None:
    at_port = a_target(form="port", prefix="")
    other = cookie(16007, "/bob/x", slot=1, when=THEN + 1)
    assert remembered(at_port, None, cookie()) == ""
    assert remembered(cookies=cookie()) == ""
    assert remembered(at_port, None, f"{cookie()}; {other}") == OWN.format(0, 16006)
    assert remembered(cookies=cookie(path="/bob/x")) == OWN.format(0, 16006)  # the slot is kept


def test_the_browser_keeps_twelve_and_forgets_the_oldest() -> None:
    cookies = "; ".join(cookie(15000 + n, slot=n, when=THEN + n) for n in range(12))
    assert remembered(cookies=cookies).startswith("portproxy.at0=16006.")


def test_they_are_bounded_in_bytes() -> None:
    """Servers refuse requests, also to the app, with more than about 8 KiB of cookies."""
    long = "/alice/" + "p" * 153
    kept: dict[str, str] = {}
    for port in range(16000, 16012):
        visit = a_visit("/", HTTP_COOKIE="; ".join(kept.values()), **NAVIGATES)
        for _, made in OPENED.remember(a_target(port=port, form="query", prefix=long), visit, SENT):
            pair = made.partition(";")[0]
            name = pair.partition("=")[0]
            kept[name] = pair
            if "Max-Age=0" in made:
                del kept[name]
        assert len("; ".join(kept.values())) <= 600
        assert params("; ".join(kept.values()), port) is not None
    assert len(kept) == 3


def test_what_was_told_is_understood() -> None:
    told = OPENED.remember(QUERY, a_visit("/", **NAVIGATES), SENT)[0][1]
    assert params(told.partition(";")[0]) == ALICES


def test_no_service_gets_or_sets_it() -> None:
    sent = f"a=1; {cookie()}; b=2"
    for shared in (True, False):
        assert COOKIES.for_service(sent, 16006, shared=shared) == "a=1; b=2"
    [value] = COOKIES.for_visitor(cookie(), a_target(form="port", prefix=""), needs_path=False)
    assert value.startswith("portproxy.16006.portproxy.at0=")
    assert params(value) is None


# --- In the locator ------------------------------------------------------------------------------


def locate(cookies: str = "", **settings: Any) -> Target | None:
    template = PortTemplate(":{port+20000}", DEFAULT_PORTS)
    locator = Locator(Mount("/{username}/{project}"), template=template, **settings)
    at_port = {"HTTP_HOST": "app.test:36006", "SERVER_PORT": "36006", "HTTP_COOKIE": cookies}
    return locator.by_host(a_visit("/x", **at_port))


def test_a_target_has_what_is_reserved_else_what_is_remembered_else_nothing() -> None:
    bobs = {"username": "bob", "project": "x"}
    for settings, cookies, expected in (
        ({}, cookie(), ALICES),
        ({}, "", {}),
        ({"mount_of": lambda port: None}, cookie(), ALICES),
        ({"mount_of": lambda port: bobs}, cookie(), bobs),
    ):
        made: dict[str, Any] = settings
        assert locate(cookies, **made) == Target(16006, "/x", "", expected, Form.PORT, False)
