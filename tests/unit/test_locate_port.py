"""The port form: all of the URL is the service's, and whose mount it is the reservation says, or
what the browser remembers. And which form a browser is sent to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from wsgi_portproxy.errors import (
    AuthorizerFailed,
    BadRequest,
    Misdirected,
    NotFound,
    PortNotAllowed,
    Refused,
)
from wsgi_portproxy.locate.host_template import HostTemplate
from wsgi_portproxy.locate.links import Links
from wsgi_portproxy.locate.locator import Locator
from wsgi_portproxy.locate.mount import Mount
from wsgi_portproxy.locate.port_template import PortTemplate
from wsgi_portproxy.locate.target import Form, Target
from wsgi_portproxy.locate.visit import Visit
from wsgi_portproxy.policy.ports import DEFAULT_PORTS, PortPolicy

from .given import environ, table, target_of, words

MOUNT = Mount("/{username}/{project}")
ALICES = {"username": "alice", "project": "vision"}
NUMBER = 36006
NAVIGATES: dict[str, Any] = {"HTTP_SEC_FETCH_MODE": "navigate"}


def located_by(template: str = ":{port+20000}", mount: Mount = MOUNT, **settings: Any) -> Locator:
    return Locator(mount, template=PortTemplate(template, DEFAULT_PORTS), **settings)


def mount_of(port: int) -> Mapping[str, str] | None:
    """16006 is alice's; what others have is whatever went wrong."""
    return ALICES if port == 16006 else None


LOCATOR = located_by()
RESERVING = located_by(mount_of=mount_of)


def at(url: str, number: int = NUMBER, **fields: Any) -> Visit:
    """A request that came on the connection to a number of the site."""
    own = {"HTTP_HOST": f"app.test:{number}", "SERVER_PORT": str(number)}
    return Visit(environ(url, **{**own, **fields}))


def locate(url: str, locator: Locator = LOCATOR, **fields: Any) -> Target | None:
    return target_of(locator, at(url, **fields))


# The second line is of what elsewhere is the query form, and the path form.
URLS = words(r"""
    / /api/runs?x=1&y /x? /?port=15000 /?port=abc&port= /a%2Fb%20%zz%ff;~@:+| //evil.com//x
    /alice/vision/?port=15000 /alice/vision/proxy/15000/x
    /../x /%2e%2e/..%5c.. /alice%2fvision/
""")


@pytest.mark.parametrize("url", URLS)
def test_all_of_the_url_is_the_services(url: str) -> None:
    target = Target(16006, url, "", {}, Form.PORT, False)
    assert locate(url) == target
    assert LOCATOR.canonical_location(target, at(url, **NAVIGATES)) is None  # it stays


def test_a_handshake() -> None:
    fields: dict[str, Any] = {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade"}
    assert locate("/ws", **fields) == Target(16006, "/ws", "", {}, Form.PORT, True)


def test_the_apps_own_port_has_the_other_forms() -> None:
    assert locate("/alice/vision/", number=8000) is None
    for url, form in [("/alice/vision/?port=1", "query"), ("/alice/vision/proxy/1/", "path")]:
        target = locate(url, number=8000)
        assert target is not None
        assert (target.form, target.params["username"]) == (form, "alice")


def test_below_a_script_name() -> None:
    target = locate("/apps/one/x%20y?z", script_name="/apps/one")
    assert target == Target(16006, "/x%20y?z", "/apps/one", {}, Form.PORT, False)


@pytest.mark.parametrize("url", ["*", "x/y?z"])
def test_a_target_that_is_no_path_is_bad(url: str) -> None:
    with pytest.raises(BadRequest):
        locate(url, method="OPTIONS")


def test_a_number_of_another_connection_is_misdirected_in_every_form() -> None:
    for url in ("/", "/alice/vision/?port=1", "/alice/vision/proxy/1/"):
        with pytest.raises(Misdirected):
            locate(url, HTTP_HOST="app.test:8000")


def test_a_port_that_may_not_be_opened_is_no_page_of_the_apps() -> None:
    """Its number belongs to services, whether these may be opened or not."""
    target = locate("/login")
    assert target is not None
    with pytest.raises(PortNotAllowed):
        PortPolicy({16007}).check(target, environ())


# --- Reserved ports ------------------------------------------------------------------------------


def test_a_reserved_port_has_its_mounts_parameters_wherever_the_path_leads() -> None:
    for url in ("/", "/bob/secret/?x", "/bob/secret/proxy/16007/"):
        target = locate(url, RESERVING)
        assert target == Target(16006, url, "", ALICES, Form.PORT, False)
    assert locate("/x", RESERVING, number=36007) == Target(16007, "/x", "", {}, Form.PORT, False)


def test_what_was_returned_can_be_changed_later() -> None:
    params = dict(ALICES)
    target = locate("/", located_by(mount_of=lambda port: params))
    params["username"] = "bob"
    assert target is not None
    assert target.params == ALICES


def test_without_parameters_of_the_mount_a_reservation_says_nothing() -> None:
    locator = located_by(mount=Mount("/lab"), mount_of=lambda port: {})
    assert locate("/x", locator) == Target(16006, "/x", "", {}, Form.PORT, False)


def _raise(port: int) -> Any:
    raise RuntimeError("the database is gone")


WRONG = table(
    "wrong",
    {
        "raises": _raise,
        "too-few": lambda port: {"username": "alice"},
        "too-many": lambda port: {**ALICES, "team": "red"},
        "others": lambda port: {"user": "alice", "project": "x"},
        "empty": lambda port: {},
        "pairs": lambda port: [("username", "alice"), ("project", "vision")],
        "name": lambda port: "alice",
        "false": lambda port: False,
        "no-text": lambda port: {"username": 1, "project": "vision"},
        "none": lambda port: {"username": "alice", "project": None},
    },
)


@WRONG
def test_a_reservation_that_is_none_closes_the_port(wrong: Any) -> None:
    locator = located_by(mount_of=wrong)
    with pytest.raises(AuthorizerFailed) as caught:
        locate("/", locator)
    assert caught.value.status == 503
    assert "database" not in caught.value.message + caught.value.hint
    visit = at("/alice/vision/?port=16006", 8000, **NAVIGATES)
    target = locator.by_url(visit)
    assert target is not None
    with pytest.raises(AuthorizerFailed):
        locator.canonical_location(target, visit)


@WRONG
def test_a_response_names_no_port_whose_reservation_is_unknown(wrong: Any) -> None:
    """The response itself is not lost by that."""
    visit = at("/", **NAVIGATES)
    other = Target(16007, "/", "", {}, Form.PORT, False)
    assert Links(located_by(mount_of=wrong)).base(other, visit) is None
    assert Links(LOCATOR).base(other, visit) == "http://app.test:36007"


@pytest.mark.parametrize(("username", "found"), [("alice", True), ("Alice", True), ("bob", False)])
def test_in_the_host_form_it_has_to_agree_with_the_name(username: str, found: bool) -> None:
    template = HostTemplate("{port}--{username}.ports.test", MOUNT.names)
    params = {"username": username, "project": "Vision"}
    locator = Locator(MOUNT, template=template, mount_of=lambda port: params)
    visit = Visit(environ("/x", HTTP_HOST="16006--alice.ports.test"))
    if found:
        assert locator.by_host(visit) == Target(16006, "/x", "", params, Form.HOST, False)
    else:
        with pytest.raises(NotFound):
            locator.by_host(visit)


# --- Where a browser is sent ---------------------------------------------------------------------

QUERY = "/alice/vision/x%2Fy?a=1&port=16006"
BY_PATH = "/alice/vision/proxy/16006/x%2Fy?a=1"
BY_PORT = "http://app.test:36006/x%2Fy?a=1"
BY_HOST = "http://16006.ports.test:8000/x%2Fy?a=1"
HOSTED = Locator(MOUNT, template=HostTemplate("{port}.ports.test", MOUNT.names))


def sent_to(locator: Locator, url: str = QUERY, **fields: Any) -> str | None:
    visit = at(url, 8000, **fields)
    target = locator.by_url(visit)
    assert target is not None
    location = locator.canonical_location(target, visit)
    assert location is None or location.status == 307
    return None if location is None else location.url


@table(
    "locator, method, expected",
    {
        "port": (LOCATOR, "GET", BY_PORT),
        "port-head": (LOCATOR, "HEAD", BY_PORT),
        "port-post": (LOCATOR, "POST", BY_PATH),
        "port-put": (LOCATOR, "PUT", BY_PATH),
        "host": (HOSTED, "GET", BY_HOST),
        "host-post": (HOSTED, "POST", BY_PATH),
        "neither": (Locator(MOUNT), "GET", BY_PATH),
        "path": (located_by(redirect_browsers="path"), "GET", BY_PATH),
        "nowhere": (located_by(redirect_browsers=False), "GET", None),
        "nowhere-post": (located_by(redirect_browsers=False), "POST", None),
        "no-number": (located_by(":{port+45536}"), "GET", BY_PORT.replace("36006", "61542")),
        "beyond": (located_by(":{port+55536}"), "GET", BY_PATH),
        "reserved": (RESERVING, "GET", BY_PORT),
        "own-name": (located_by("a.test:{port+20000}"), "GET", BY_PORT.replace("app", "a")),
    },
)
def test_a_browser_that_navigates_to_the_query_form(
    locator: Locator, method: str, expected: str | None
) -> None:
    assert sent_to(locator, method=method, **NAVIGATES) == expected
    assert sent_to(locator, method=method) is None  # a script or a program


def test_the_path_form_is_left_alone() -> None:
    assert sent_to(LOCATOR, BY_PATH, **NAVIGATES) is None


def test_another_mounts_port_is_opened_in_the_path_form() -> None:
    url, by_path = "/bob/x/?port=16006", "/bob/x/proxy/16006/"
    assert sent_to(RESERVING, url, **NAVIGATES) == by_path
    assert sent_to(LOCATOR, url, **NAVIGATES) == "http://app.test:36006/"


@table(
    "url, fields, expected",
    {
        "two-slashes": ("/alice/vision//evil.test/?port=16006", {}, "http://app.test:36006//evil.test/"),
        "https": (
            "/alice/vision/?port=16006",
            {"wsgi.url_scheme": "https"},
            "https://app.test:36006/",
        ),
        "no-name": (
            "/alice/vision/?port=16006",
            {"HTTP_HOST": "a@evil.test"},
            "/alice/vision/proxy/16006/",
        ),
        "script": (
            "/apps/alice/vision/x?port=16006",
            {"script_name": "/apps"},
            "http://app.test:36006/apps/x",
        ),
    },
)  # fmt: skip
def test_where_exactly(url: str, fields: dict[str, Any], expected: str) -> None:
    assert sent_to(LOCATOR, url, **NAVIGATES, **fields) == expected


def test_listeners_are_opened_when_a_visitor_is_sent_there_and_not_before() -> None:
    opened: list[int] = []

    def opens(number: int, visit: Visit) -> bool:
        opened.append(number)
        return number != 36007

    locator = located_by(opens=opens)
    links = Links(locator)
    assert sent_to(locator) is None
    assert sent_to(locator, method="POST", **NAVIGATES) == BY_PATH
    assert sent_to(locator, BY_PATH, **NAVIGATES) is None
    links.url(environ(), 16006, "/", {})
    links.base(Target(16006, "/", "", {}, Form.PORT, False), at("/"))
    assert opened == []
    assert sent_to(locator, **NAVIGATES) == BY_PORT
    other = "/alice/vision/?port=16007"
    assert sent_to(locator, other, **NAVIGATES) == "/alice/vision/proxy/16007/"  # it is taken
    assert opened == [36006, 36007]


def test_isolated_services_have_no_other_form() -> None:
    links = Links(RESERVING)

    def at_root(url: str, **fields: Any) -> object:
        visit = at(url, 8000, **fields)
        target = RESERVING.by_url(visit)
        assert target is not None
        return links.at_root(target, visit)

    for url, path in [(QUERY, "/x%2Fy?a=1"), (BY_PATH, "/x%2Fy?a=1")]:
        for method in ("GET", "HEAD"):
            moved = at_root(url, method=method, **NAVIGATES)
            assert moved == (307, f"http://app.test:36006{path}")
        for fields in ({"method": "POST", **NAVIGATES}, {}):
            with pytest.raises(Refused) as caught:
                at_root(url, **fields)
            assert caught.value.hint == "Open it at app.test:36006."
    for url in ("/bob/x/?port=16006", "/alice/vision/?port=9"):
        with pytest.raises(Refused, match="has its own address") as caught:
            at_root(url, **NAVIGATES)
        assert caught.value.hint.startswith("This port has none")
