"""Cookies in the port form, where all services and the app share a host, and so their cookies."""

from __future__ import annotations

from collections.abc import Container

import pytest

from wsgi_portproxy.rewrite.cookies import DEFAULT_WITHHELD, CookiePolicy, of_this_port
from wsgi_portproxy.rewrite.response_headers import response_headers
from wsgi_portproxy.rewrite.urls import UrlMapper
from wsgi_portproxy.settings import Withhold
from wsgi_portproxy.upstream.request import RequestHeaders

from .given import a_target, a_view, costs_little, environ, table

POLICY = CookiePolicy(DEFAULT_WITHHELD)
TARGET = a_target(prefix="", form="port")
FOR_SCRIPTS = "csrftoken=1; Path=/; SameSite=Lax"


def set_for(
    set_cookie: str, *, https: bool = False, sent: Container[str] = frozenset()
) -> list[str]:
    return POLICY.for_visitor(
        set_cookie, TARGET, needs_path=False, of_this_host=https, secure=https, sent=sent
    )


def sent_to(cookies: str, port: int = 16006, *, https: bool = False) -> str:
    return POLICY.for_service(cookies, port, of_this_host=https, shared=True)


# --- To the visitor ------------------------------------------------------------------------------


@table(
    "set_cookie, renamed",
    {
        "plain": ("a=1; HttpOnly", "a=1; HttpOnly"),
        "path": ("a=1; Path=/x; HttpOnly", "a=1; Path=/x; HttpOnly"),
        "spellings": ("a=1;httponly ;Path=/", "a=1;httponly ;Path=/"),
        "value": ("a=1; HttpOnly=yes", "a=1; HttpOnly=yes"),
        "domain": ("a=1; Domain=app.test; HttpOnly", "a=1; HttpOnly"),
        "spaces": (" \ta =1; HTTPONLY", "a =1; HTTPONLY"),
        "apps-name": ("sessionid=1; Path=/", "sessionid=1; Path=/"),
        "host-prefix": ("__Host-a=1; Secure; Path=/", "__Host-a=1; Secure; Path=/"),
        "secure-prefix": ("__Secure-a=1; HttpOnly", "__Secure-a=1; HttpOnly"),
        "another-ports": ("portproxy.16007.a=1", "portproxy.16007.a=1"),
        "our-own": ("portproxy.at0=1", "portproxy.at0=1"),
    },
)
def test_a_cookie_that_no_script_reads_is_the_ports_alone(set_cookie: str, renamed: str) -> None:
    assert set_for(set_cookie) == [f"portproxy.16006.{renamed}"]
    pair = renamed.partition(";")[0].replace(" =", "=")  # as browsers keep it
    sent = f"b=2; portproxy.16006.{pair}; portproxy.16007.c=OTHERS; sessionid=APPS"
    assert sent_to(sent) == f"b=2; {pair}"
    assert sent_to(sent, 16007) == "b=2; c=OTHERS"
    assert POLICY.for_service(sent, 16005) == "b=2"
    assert sent_to(f"{sent},x") == f"b=2; {pair}"


@table(
    "set_cookie, own",
    {
        "plain": ("a=1; HttpOnly", "a=1; HttpOnly"),
        "path": ("a=1; Path=/x; HttpOnly; Domain=app.test", "a=1; HttpOnly"),
        "secure": ("a=1; Secure; HttpOnly; SameSite=Lax", "a=1; HttpOnly; SameSite=Lax"),
        "apps-name": ("sessionid=1; Path=/", "sessionid=1"),
    },
)
def test_on_https_no_other_port_of_the_host_can_set_it(set_cookie: str, own: str) -> None:
    renamed = f"__Host-portproxy.16006.{own}"
    assert set_for(set_cookie, https=True) == [f"{renamed}; Path=/; Secure"]
    pair = own.partition(";")[0]
    sent = f"portproxy.16006.a=EVIL; portproxy.16006.sessionid=EVIL; __Host-portproxy.16006.{pair}"
    assert sent_to(f"b=2; {sent}", https=True) == f"b=2; {pair}"
    assert sent_to(f"b=2; {sent}", 16007, https=True) == "b=2"


@pytest.mark.parametrize("set_cookie", ["a=1", "a=1; Path=/x; SameSite=Lax", "a.b=httponly"])
def test_a_cookie_that_scripts_read_keeps_its_name(set_cookie: str) -> None:
    assert set_for(set_cookie) == [set_cookie]
    assert set_for(set_cookie, https=True) == [f"{set_cookie}; Secure"]


@pytest.mark.parametrize("https", [False, True])
def test_a_token_for_scripts_never_takes_the_place_of_the_apps(https: bool) -> None:
    """Pages of the app would find it: they are on the same host."""
    begin = f"{'__Host-' if https else ''}portproxy.16006.csrftoken=1"
    for set_cookie in (FOR_SCRIPTS, "csrftoken=1", f"{FOR_SCRIPTS}; HttpOnly"):
        [value] = set_for(set_cookie, https=https, sent={"csrftoken"})
        assert value.startswith(begin)
    for hidden in ("csrftoken=1", f"{FOR_SCRIPTS}; HttpOnly", "sessionid=1; Path=/"):
        assert len(set_for(hidden, https=https)) == 1
    renamed, plain = set_for(FOR_SCRIPTS, https=https, sent={"csrftoken2", "sessionid"})
    assert renamed.startswith(begin)
    assert plain == FOR_SCRIPTS + ("; Secure" if https else "")


ECHOES = "a=1; csrftoken=APPS; portproxy.16006.csrftoken=OWN; portproxy.16007.csrftoken=OTHERS"


@pytest.mark.parametrize(
    ("value", "port", "cookies", "echoed"),
    [
        ("APPS", 16006, ECHOES, "OWN"),
        ("APPS", 16007, ECHOES, "OTHERS"),
        ("APPS", 16008, ECHOES, "APPS"),  # it has none: another service's script reads as much
        ("OWN", 16006, ECHOES, "OWN"),
        ("masked", 16006, ECHOES, "masked"),
        ("APPS", 16006, "a=APPS; portproxy.16006.csrftoken=OWN", "APPS"),
        ("1", 16006, ECHOES, "1"),
        ("APPS", 16006, f"__Host-portproxy.16006.csrftoken=EVIL; {ECHOES}", "OWN"),
    ],
)
def test_a_token_that_scripts_echo_is_the_services_own(
    value: str, port: int, cookies: str, echoed: str
) -> None:
    assert of_this_port(value, cookies, port, of_this_host=False) == echoed
    on_https = cookies.replace("portproxy.", "__Host-portproxy.").replace("__Host-__Host-", "x")
    assert of_this_port(value, on_https, port, of_this_host=True) == echoed


@pytest.mark.parametrize("form", ["port", "path"])
def test_the_header_of_the_echo(form: str) -> None:
    made = environ("/", HTTP_COOKIE=ECHOES, HTTP_X_CSRFTOKEN="APPS", HTTP_X_OTHER="APPS")
    urls = a_view(prefix="" if form == "port" else "/p", form=form)
    headers = dict(RequestHeaders(POLICY, Withhold()).of(made, urls, None))
    assert headers["X-CSRFToken".title()] == ("OWN" if form == "port" else "APPS")
    assert headers["X-Other"] == "APPS"


@pytest.mark.parametrize(
    "ends",
    [
        *("Max-Age=0", "max-age=-1", "Max-Age=0; HttpOnly", "Path=/x; Max-Age=0"),
        "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "expires=Thu, 01-Jan-1970 00:00:00 GMT; Path=/",
    ],
)
def test_a_removal_removes_it_under_either_name(ends: str) -> None:
    """Whether scripts read it the service need not say again."""
    assert set_for(f"a=; {ends}") == [f"portproxy.16006.a=; {ends}", f"a=; {ends}"]
    renamed, plain = set_for(f"a=; {ends}", https=True)
    assert renamed.startswith("__Host-portproxy.16006.a=; ")
    assert renamed.endswith("; Path=/; Secure")
    assert plain == f"a=; {ends}; Secure"


def test_what_scripts_may_read_from_now_on_takes_the_place_of_what_they_could_not() -> None:
    assert set_for("a=2", sent={"a", "portproxy.16007.a"}) == ["a=2"]
    assert set_for("a=2; Path=/x", sent={"portproxy.16006.a"}) == [
        "a=2; Path=/x",
        "portproxy.16006.a=; Max-Age=0; Path=/",
    ]
    assert set_for("a=2", sent={"__Host-portproxy.16006.a"}, https=True) == [
        "a=2; Secure",
        "__Host-portproxy.16006.a=; Max-Age=0; Path=/; Secure",
    ]


def test_a_removal_of_the_apps_name_is_of_the_services_own_only() -> None:
    assert set_for("sessionid=; Max-Age=0") == ["portproxy.16006.sessionid=; Max-Age=0"]


@pytest.mark.parametrize("ends", ["Max-Age=1", "Expires=Fri, 01 Jan 2100 00:00:00 GMT", "Expires"])
def test_what_lasts_is_no_removal(ends: str) -> None:
    assert set_for(f"a=1; {ends}") == [f"a=1; {ends}"]


@pytest.mark.parametrize(
    "set_cookie",
    [
        *("=1; HttpOnly", "a=[sessionid=evil; HttpOnly", "a=1\n; HttpOnly", "a b=1 sessionid=2"),
        *('"sessionid"=1; HttpOnly', "a=" + "x" * 4096 + "; HttpOnly"),
    ],
    ids=lambda text: text[:20],
)
def test_what_a_service_may_not_set(set_cookie: str) -> None:
    assert set_for(set_cookie) == set_for(set_cookie, https=True) == []


def test_a_name_that_parsers_read_differently_is_not_renamed() -> None:
    assert set_for("a(b=1; HttpOnly") == ["a(b=1; HttpOnly"]


# --- To the service ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cookies", "expected"),
    [
        ("a=PLAIN; portproxy.16006.a=1", "a=1"),
        ("portproxy.16006.a=1; a=PLAIN; b=2", "a=1; b=2"),
        ("a=PLAIN; a=PLAIN;portproxy.16006.a=1", "a=1"),
        ("A=2; portproxy.16006.a=1", "A=2; a=1"),  # another name
        ("a=1; portproxy.16007.a=OTHERS", "a=1"),
        ("portproxy.16006.a=x=y z,w; b=2", "a=x=y z,w; b=2"),
        ("portproxy.16006.a=1; portproxy.16006.b=2", "a=1; b=2"),
        # What only looks like it.
        ("a=1; portproxy.16006.=OURS; b=2", "a=1; b=2"),
        ("a=1; portproxy.16006=OURS; b=2", "a=1; b=2"),
        ("a=1; PORTPROXY.16006.a=OURS", "a=1"),
        ("a=1; portproxy.16006.\xa0a=OURS", "a=1"),
        ("a=1; portproxy.160060.a=OTHERS", "a=1"),
        ("a=1; __Host-portproxy.16006.a=OURS", "a=1"),
        ("a=1; portproxy.hint0=OURS; portproxy.copy0=OURS; portproxy.at0=OURS", "a=1"),
    ],
)
def test_a_renamed_cookie_goes_before_any_other_of_its_name(cookies: str, expected: str) -> None:
    assert sent_to(cookies) == expected


@pytest.mark.parametrize("quoted", ['x="; portproxy.16006.a=OURS; y="', "x=1 portproxy.16006.a=O"])
def test_the_apps_cookies_do_not_come_with_it(quoted: str) -> None:
    for cookies in (f"sessionid=SECRET; {quoted}", f"{quoted}; sessionid=SECRET; b=2"):
        assert "SECRET" not in sent_to(cookies)


def test_elsewhere_only_names_of_the_app_are_given_back() -> None:
    sent = "a=1; portproxy.16006.a=2; portproxy.16006.sessionid=3"
    assert POLICY.for_service(sent, 16006) == "a=1; sessionid=3"


@table(
    "cookies",
    {
        "many": "portproxy.16006.a=1; " * 3000,
        "twins": "a=1; " * 6000 + "portproxy.16006.a=1",
        "semicolons": ";" * 65000 + "portproxy.16006.a=1",
        "names": "; ".join(f"portproxy.16006.c{n}={n}" for n in range(2000)),
    },
)
def test_64_kib_of_cookies_cost_linear_time(cookies: str) -> None:
    with costs_little():
        sent_to(cookies)


# --- How many ------------------------------------------------------------------------------------


def passed(policy: CookiePolicy, *set_cookies: str, urls: UrlMapper | None = None) -> list[str]:
    received = [("Set-Cookie", one) for one in set_cookies]
    at_port = urls or a_view(prefix="", form="port")
    made = response_headers(
        received, at_port, policy, needs_path=False, visitors_cookies="sessionid=S"
    )
    return [value for name, value in made if name == "Set-Cookie"]


def test_the_limits_for_cookies_that_reach_the_apps_pages_are_those_of_all_ports() -> None:
    """At 2 KiB, of all services together; in the path form each has its own place."""
    policy = CookiePolicy(DEFAULT_WITHHELD)
    value = "x" * 900
    assert len(passed(policy, f"a={value}; HttpOnly", f"b={value}")) == 2
    assert passed(policy, f"c={value}; HttpOnly") == []
    other = a_view(prefix="", form="port", port=16007)
    assert passed(policy, f"c={value}; HttpOnly", urls=other) == []
    assert passed(policy, f"a={value}; HttpOnly", f"c={value}") == [
        f"portproxy.16006.a={value}; HttpOnly"
    ]
    assert len(passed(policy, "a=; Max-Age=0")) == 2  # which makes room
    assert len(passed(policy, f"c={value}")) == 1
    in_path = CookiePolicy(DEFAULT_WITHHELD)
    for port in (16006, 16007, 16008):
        by_path = a_view(prefix=f"/alice/vision/proxy/{port}", port=port)
        assert len(passed(in_path, f"a={value}", f"b={value}", urls=by_path)) == 2


def test_what_some_parser_of_the_app_would_read_on_from_does_not_pass() -> None:
    policy = CookiePolicy(DEFAULT_WITHHELD)
    assert passed(policy, "a=1 b=2", 'a="x', "expires=1", "a[]=1; HttpOnly") == []
    assert passed(policy, "a=1; HttpOnly") == ["portproxy.16006.a=1; HttpOnly"]
