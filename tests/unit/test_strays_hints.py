"""Strays without a Referer: what a cookie remembers, and what keeps refusals from straying.

The cookie says where a WebSocket handshake may belong, never that it may go there.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from wsgi_portproxy.errors import NotFound
from wsgi_portproxy.locate.locator import Locator
from wsgi_portproxy.locate.mount import Mount
from wsgi_portproxy.locate.strays import Strays, keep_from_straying
from wsgi_portproxy.locate.target import Form, Target
from wsgi_portproxy.locate.visit import Visit
from wsgi_portproxy.rewrite.cookies import DEFAULT_WITHHELD, CookiePolicy, without_own
from wsgi_portproxy.subrequest import CapturedResponse

from .given import a_target, costs_little, environ, table, words

LOCATOR = Locator(Mount("/{username}/{project}"))
STRAYS = Strays(LOCATOR)
IN_PLACE = Strays(Locator(Mount("/{username}/{project}"), redirect_browsers=False))

P = "/alice/vision/proxy/16006"
PARAMS = {"username": "alice", "project": "vision"}
HANDSHAKE: dict[str, Any] = {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "keep-alive, Upgrade"}
NAVIGATES: dict[str, Any] = {"HTTP_SEC_FETCH_MODE": "navigate"}


# --- By the hint cookie --------------------------------------------------------------------------

T = 1764000000000  # milliseconds


def hints(*ports: int, prefix: str = "/alice/vision/proxy/{}") -> str:
    """Cookies of ours, the first the newest."""
    values = [(slot, T - slot, prefix.format(port)) for slot, port in enumerate(ports)]
    return "; ".join(f"portproxy.hint{slot}={time}{made}" for slot, time, made in values)


def by_hint(cookie: str, url: str = "/ws?a=1", **fields: Any) -> list[Target]:
    return STRAYS.by_hint(
        Visit(environ(url, HTTP_COOKIE=cookie, **{**HANDSHAKE, **fields})), websocket=True
    )


def test_a_handshake_may_be_for_what_was_opened_last() -> None:
    targets = by_hint(f"user=alice; {hints(16006, 15888, 15000)}; x=1")
    assert targets == [
        Target(port, "/ws?a=1", f"/alice/vision/proxy/{port}", PARAMS, Form.PATH, True, True, True)
        for port in (16006, 15888, 15000)
    ]


def test_the_time_counts_and_not_the_order() -> None:
    cookie = f"portproxy.hint0={T}{P}; portproxy.hint1={T + 5}/a/b/proxy/16006"
    assert [target.prefix for target in by_hint(cookie)] == ["/a/b/proxy/16006", P]


def test_no_more_than_six_are_tried() -> None:
    targets = by_hint(hints(*range(15000, 15100)))
    assert [target.port for target in targets] == list(range(15000, 15006))
    again = hints(*range(15000, 15003)) + "; " + hints(*range(15100, 15106))  # of another domain
    assert len(by_hint(again)) == 6


def test_a_client_that_tells_a_referer_is_led_by_it_first() -> None:
    """Browsers send none with a handshake, other clients may."""
    page = "http://app.test/a/b/proxy/15000/x"
    targets = by_hint(hints(16006, 15000, prefix="/a/b/proxy/{}"), HTTP_REFERER=page)
    assert [target.port for target in targets] == [15000, 16006]
    for referer in (f"http://evil.com{P}/", "http://app.test/alice/vision/", ""):
        assert by_hint("", HTTP_REFERER=referer) == []


@table(
    "cookie",
    {
        "none": "",
        "others": "user=alice",
        "longer-name": f"xportproxy.hint0={T}{P}",
        "renamed-cookie": f"portproxy.16006.session={T}{P}",
        "no-slot": f"portproxy.hint={T}{P}",
        "slot-beyond": f"portproxy.hint6={T}{P}",
        "two-digits": f"portproxy.hint00={T}{P}",
        "of-an-earlier-release": f"portproxy.16006={T}{P}",
        "copy": f"portproxy.copy0={T}{P}",
        "no-time": f"portproxy.hint0={P}",
        "short-time": f"portproxy.hint0=1{P}",
        "quoted": f'portproxy.hint0="{T}{P}"',
        "no-prefix": f"portproxy.hint0={T}",
        "no-path-form": f"portproxy.hint0={T}/alice/vision",
        "query-form": f"portproxy.hint0={T}/alice/vision?port=16006",
        "dot-segment": f"portproxy.hint0={T}/alice/%2e%2e/proxy/16006",
        "another-site": f"portproxy.hint0={T}//evil.com/proxy/16006",
        "no-slash": f"portproxy.hint0={T}x/alice/vision/proxy/16006",
        "climbing": f"portproxy.hint0={T}{P}/../../../x",
        "no-number": f"portproxy.hint0={T}/alice/vision/proxy/0x3e",
        "upper-case": f"PORTPROXY.HINT0={T}{P}",
    },
)
def test_what_is_no_hint_is_none(cookie: str) -> None:
    assert by_hint(cookie) == []


@pytest.mark.promise("A stray is judged like any request")
def test_a_forged_hint_leads_no_further_than_a_url_would() -> None:
    """It is the visitor's: whatever it says is judged as if it stood in the URL."""
    [target] = by_hint(f"portproxy.hint0={T}/bob/x/proxy/22/evil%0d%0a%3Bx")
    assert target == Target(
        22,
        "/ws?a=1",
        "/bob/x/proxy/22",
        {"username": "bob", "project": "x"},
        Form.PATH,
        True,
        True,
        True,
    )


def test_cookies_that_a_server_joined_with_a_comma() -> None:
    cookie = f"user=alice,portproxy.hint0={T}{P}, portproxy.hint1={T - 1}/a/b/proxy/15000"
    assert [target.port for target in by_hint(cookie)] == [16006, 15000]


def test_the_prefix_in_a_hint_is_below_the_script_name() -> None:
    made = environ("/apps/ws", script_name="/apps", HTTP_COOKIE=hints(16006), **HANDSHAKE)
    [target] = STRAYS.by_hint(Visit(made), websocket=True)
    assert (target.path_qs, target.prefix) == ("/ws", f"/apps{P}")


def test_a_handshake_that_climbs_is_not_found_only_if_it_could_be_a_services() -> None:
    with pytest.raises(NotFound):
        by_hint(hints(16006), "/../ws")
    assert by_hint("user=alice", "/../ws") == []


@table(
    "cookie",
    {
        "names": "portproxy." * 100_000,
        "long-time": "portproxy.hint0=" + "1" * 1_000_000,
        "slashes": f"portproxy.hint0={T}" + "/" * 1_000_000,
        "many": f"portproxy.hint0={T}{P};" * 20_000,
        "spaces": ";" + " " * 1_000_000,
        "separators": "; \t" * 300_000,
        "climbing": f"portproxy.hint0={T}" + "%2F.." * 10_000,
    },
)
def test_a_huge_cookie_costs_little(cookie: str) -> None:
    with costs_little():
        by_hint(cookie)


# --- What is remembered --------------------------------------------------------------------------


def remember(
    target: Target | None = None, strays: Strays = STRAYS, **fields: Any
) -> list[tuple[str, str]]:
    return strays.remember(target or a_target("/lab"), Visit(environ(f"{P}/lab", **fields)))


def test_a_page_that_is_opened_is_remembered() -> None:
    [(name, value)] = remember(**NAVIGATES)
    assert name == "Set-Cookie"
    assert re.fullmatch(rf"portproxy\.hint4=[0-9]{{13}}{P}; Path=/; HttpOnly; SameSite=Lax", value)
    [target] = by_hint(value.partition(";")[0])
    assert (target.port, target.prefix, target.params) == (16006, P, PARAMS)


def test_on_https_the_cookie_is_for_https_only() -> None:
    https: dict[str, Any] = {"wsgi.url_scheme": "https"}
    [(_, value)] = remember(**NAVIGATES, **https)
    assert value.endswith("; Secure")


def test_below_a_script_name_the_cookie_is_for_this_app() -> None:
    [(_, value)] = STRAYS.remember(
        a_target(prefix=f"/apps{P}"), Visit(environ(f"/apps{P}/", script_name="/apps", **NAVIGATES))
    )
    assert f"{P}; Path=/apps/; " in value
    assert "/apps/alice" not in value


def test_what_a_page_asks_for_astray_is_remembered_too() -> None:
    [(_, value)] = remember(a_target("/static/x", form="stray"))
    assert value.startswith("portproxy.hint4=")


@table(
    "target",
    {
        "asset-in-the-path-form": a_target("/x"),
        "websocket": a_target("/x", websocket=True),
        "query-form": a_target("/x", form="query", prefix="/alice/vision"),
        "host-form": a_target("/x", form="host", prefix=""),
    },
)
def test_nothing_else_is(target: Target) -> None:
    assert remember(target) == []
    if target.form is not Form.PATH:  # nor a page that is opened in another form
        assert remember(target, **NAVIGATES) == []


def test_without_promotion_a_page_in_the_query_form_is_remembered_by_its_path_form() -> None:
    """Handshakes do not mind which form it is."""
    for prefix, form, is_astray in [
        ("/alice/vision", Form.QUERY, False),
        ("/alice/vision", Form.QUERY, True),
        (P, Form.PATH, False),
    ]:
        target = a_target("/x", prefix=prefix, form=form, is_astray=is_astray)
        [(_, value)] = remember(target, IN_PLACE, **NAVIGATES)
        assert f"{P}; Path=/;" in value


def test_what_is_remembered_as_the_newest_is_not_said_again() -> None:
    assert remember(HTTP_COOKIE=hints(16006, 15000), **NAVIGATES) == []
    [(_, value)] = remember(HTTP_COOKIE=hints(15000, 16006), **NAVIGATES)
    assert value.startswith("portproxy.hint1=")
    other = hints(16006, prefix="/alice/other/proxy/{}")
    [(_, value)] = remember(HTTP_COOKIE=other, **NAVIGATES)
    assert value.startswith("portproxy.hint0=")
    assert f"{P};" in value


def test_beyond_six_the_one_that_was_opened_longest_ago_is_forgotten() -> None:
    cookie = hints(15003, 15001, 15000, 15005, 15004, 15002)
    [(_, value)] = remember(HTTP_COOKIE=cookie, **NAVIGATES)
    assert value.startswith("portproxy.hint5=")
    cookies = [*cookie.split("; ")[:5], value.partition(";")[0]]
    ports = [target.port for target in by_hint("; ".join(cookies))]
    assert ports == [16006, 15003, 15001, 15000, 15005, 15004]


def test_what_is_made_up_takes_no_slot_for_ever() -> None:
    made_up = hints(*range(6), prefix="/x/{}")
    [(_, value)] = remember(HTTP_COOKIE=made_up, **NAVIGATES)
    assert value.startswith("portproxy.hint5=")


@pytest.mark.parametrize(
    "mount", words("/al%20ice/v%7C /a,b/c=d /%C3%A4/%E2%82%AC /%61lice/a+b /a%2525/!$&'()*@:~")
)
def test_a_prefix_comes_back_from_the_cookie_as_it_was(mount: str) -> None:
    prefix = f"{mount}/proxy/16006"
    [(_, value)] = remember(a_target(prefix=prefix), **NAVIGATES)
    pair = value.partition(";")[0]
    assert re.fullmatch(r"[!#-+\--:<-\[\]-~]+", pair)  # RFC 6265 section 4.1.1: no comma, no space
    [target] = by_hint(f"a=1; {pair}")
    assert target.prefix == prefix
    assert remember(a_target(prefix=prefix), HTTP_COOKIE=pair, **NAVIGATES) == []


def test_a_prefix_that_is_too_long_for_a_cookie_is_not_remembered() -> None:
    for length, remembered in ((160, 1), (161, 0)):
        prefix = "/x/proxy/16006".rjust(length, "a").replace("a", "/", 1)
        assert len(remember(a_target(prefix=prefix), **NAVIGATES)) == remembered


def test_the_hint_reaches_no_service_and_counts_as_no_sign_in() -> None:
    policy = CookiePolicy(DEFAULT_WITHHELD)
    cookie = f"a=1; {hints(16006, 15000)}; b=2"
    assert policy.for_service(cookie, 16006) == "a=1; b=2"
    assert not policy.withholds_any(cookie)
    assert without_own(cookie) == "a=1; b=2"


# --- Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (None, "strict-origin"),
        ("", "strict-origin"),
        ("strict-origin-when-cross-origin", "strict-origin"),
        ("no-referrer, same-origin", "strict-origin"),
        ("no-referrer", "no-referrer"),
        ("Origin", "Origin"),
        ("strict-origin", "strict-origin"),
        ("same-origin, no-referrer", "same-origin, no-referrer"),
    ],
)
def test_a_refusals_page_tells_no_path_of_the_service(policy: str | None, expected: str) -> None:
    def app(made: Any, start_response: Any) -> list[bytes]:
        fields = [("referrer-POLICY", policy)] if policy is not None else []
        start_response("403 Forbidden", [("X-From", "app"), *fields])
        return [b"no"]

    refusal = keep_from_straying(CapturedResponse(app, environ()))
    assert refusal.header("referrer-policy") == expected
    assert [name.lower() for name, _ in refusal.headers] == ["x-from", "referrer-policy"]
    assert b"".join(refusal) == b"no"
