"""Which fields reach a service, with which values.

The module's table is tested row by row; those names that the cases give stand here once more, so
that a row cannot get lost.
"""

from __future__ import annotations

from typing import Any

import pytest

from wsgi_portproxy.locate.address import address_of
from wsgi_portproxy.locate.visit import Visit
from wsgi_portproxy.respond.documents import headers_of_adapters
from wsgi_portproxy.rewrite.cookies import DEFAULT_WITHHELD, CookiePolicy
from wsgi_portproxy.rewrite.header_tables import (
    HOP_BY_HOP,
    NOT_TO_SERVICE,
    NOT_TO_SERVICE_PREFIXES,
    HeaderNames,
)
from wsgi_portproxy.rewrite.pages.adapters import DEFAULT_PAGE_ADAPTERS
from wsgi_portproxy.rewrite.request_headers import request_headers
from wsgi_portproxy.rewrite.urls import UrlMapper
from wsgi_portproxy.rewrite.via import via
from wsgi_portproxy.settings import Withhold
from wsgi_portproxy.upstream.request import RequestHeaders

from .given import a_query_view, a_view, environ, table, words

POLICY = CookiePolicy(DEFAULT_WITHHELD)
FIELDS = [RequestHeaders(POLICY, Withhold(authorization=withholds)) for withholds in (False, True)]
URLS = a_view("/a/b")
P = URLS.target.prefix


def to_service(
    *, urls: UrlMapper = URLS, withhold_authorization: bool = False, **fields: Any
) -> list[tuple[str, str]]:
    made = environ(**fields)
    withheld = (HeaderNames("headers", ["Authorization"]),) if withhold_authorization else ()
    headers = request_headers(made, urls, POLICY, withheld)
    assert FIELDS[withhold_authorization].of(made, urls) == [*headers, via(made)]
    return headers


OURS = [
    ("Host", "localhost:16006"),
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-Proto", "http"),
    ("X-Forwarded-Prefix", P),
]


def test_nothing_is_added_but_what_says_where_we_are() -> None:
    assert to_service() == OURS


def test_the_order_is_host_the_visitors_then_ours() -> None:
    fields = to_service(HTTP_COOKIE="a=b", HTTP_B="1", HTTP_A="2", CONTENT_TYPE="text/plain")
    names = [name for name, _ in fields]
    assert names == ["Host", "B", "A", "Content-Type", "Cookie", *(name for name, _ in OURS[1:])]


@table(
    "fields, expected",
    {
        "http-on-an-https-site": ({"wsgi.url_scheme": "https"}, ("X-Forwarded-Proto", "http")),
        "host": ({"HTTP_HOST": "evil"}, ("Host", "localhost:16006")),
        "bytes": ({"HTTP_X_A_B": "Ã©"}, ("X-A-B", "Ã©")),
        "token": ({"HTTP_AUTHORIZATION": "token x"}, ("Authorization", "token x")),
        "not-an-identity": ({"HTTP_X_AUTH_TOKEN": "1"}, ("X-Auth-Token", "1")),
        "joined-lines": ({"HTTP_X": "a,a, b"}, ("X", "a,a, b")),
        "empty": ({"HTTP_EMPTY": ""}, ("Empty", "")),
        "websocket-spelling": ({"HTTP_SEC_WEBSOCKET_KEY": "x"}, ("Sec-WebSocket-Key", "x")),
        "odd-token": ({"HTTP_X!#$%&'*+.^`|~": "1"}, ("X!#$%&'*+.^`|~", "1")),
        "origin": ({"HTTP_ORIGIN": "http://APP.test:80"}, ("Origin", "http://localhost:16006")),
        "foreign-origin": ({"HTTP_ORIGIN": "https://app.test"}, ("Origin", "https://app.test")),
        "no-origin": ({"HTTP_ORIGIN": "null"}, ("Origin", "null")),
        "referer": (
            {"HTTP_REFERER": f"http://app.test{P}/lab?x=1"},
            ("Referer", "http://localhost:16006/lab?x=1"),
        ),
        "foreign-referer": ({"HTTP_REFERER": "https://x/y"}, ("Referer", "https://x/y")),
        "cookies": ({"HTTP_COOKIE": "a=1; sessionid=S;b=2"}, ("Cookie", "a=1;b=2")),
        # What only looks like a name in the table.
        "accelerated": ({"HTTP_X_ACCELERATED": "1"}, ("X-Accelerated", "1")),
        "consumer": ({"HTTP_X_CONSUMER": "1"}, ("X-Consumer", "1")),
        "sendfile": ({"HTTP_X_SENDFILE_TYPES": "1"}, ("X-Sendfile-Types", "1")),
    },
)
def test_a_field_that_arrives(fields: dict[str, Any], expected: tuple[str, str]) -> None:
    assert expected in to_service(**fields)


def test_without_an_address_none_is_told() -> None:
    """A Unix socket has none."""
    for address in ("", None):  # None: of some middleware
        assert "X-Forwarded-For" not in dict(to_service(REMOTE_ADDR=address))
    made = environ()
    del made["REMOTE_ADDR"]
    fields = request_headers(made, URLS, POLICY)
    assert "X-Forwarded-For" not in dict(fields)


def test_adapters_have_services_told_of_pages_in_the_forms_that_these_live_in() -> None:
    """Gradio asks where its visitors are."""

    def told(urls: UrlMapper, **fields: Any) -> dict[str, str]:
        visit = Visit(environ(**fields))
        return dict(headers_of_adapters(DEFAULT_PAGE_ADAPTERS, urls, visit))

    browser: dict[str, Any] = {"HTTP_USER_AGENT": "Mozilla/5.0"}
    at_host = a_view(prefix="", form="host")
    assert told(at_host, **browser) == {"X-Gradio-Server": "http://app.test"}
    assert told(URLS, **browser) == {"X-Gradio-Server": f"http://app.test{P}"}
    for urls in (a_query_view(), a_view(form="stray"), URLS._replace(told=URLS.visited)):
        assert told(urls, **browser) == {}
    assert told(URLS) == {}  # programs know where they ask
    assert told(URLS, HTTP_SEC_FETCH_DEST="empty", **browser)
    for asset in ("script", "style", "image", "font"):
        assert told(URLS, HTTP_SEC_FETCH_DEST=asset, **browser) == {}


def test_without_a_prefix_of_ours_none_is_told() -> None:
    for urls in (a_query_view(prefix=""), URLS._replace(base=P)):
        assert "X-Forwarded-Prefix" not in dict(to_service(urls=urls))
    told = dict(to_service(urls=URLS._replace(told=URLS.visited)))
    assert told["Host"] == told["X-Forwarded-Host"] == "app.test"


def _keys(name: str) -> list[str]:
    """The keys under which servers hand over a field and its aliases."""
    upper = name.upper()
    dotted = upper.replace("-", ".")
    return [f"HTTP_{upper.replace('-', '_')}", f"HTTP_{dotted}", f"HTTP_{upper}"]


# The cases' own, each with a reason beside it in the table.
NAMED_TO_SERVICE = words("""
    Connection Keep-Alive TE Trailer Transfer-Encoding Upgrade HTTP2-Settings Proxy-Connection
    Proxy-Authorization Proxy-Authenticate Proxy Host Content-Length Expect Via Forwarded
    X-Forwarded X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Port
    X-Forwarded-Prefix X-Forwarded-User X-Forwarded-Email X-Forwarded-Groups
    X-Forwarded-Preferred-Username X-Forwarded-Access-Token X-Forwarded-Client-Cert X-Real-IP
    X-Remote-User X-Remote-Group Remote-User Remote-Email X-Auth-Request-User X-Original-URL
    X-Original-URI X-Original-Host X-Original-Method X-Rewrite-URL X-HTTP-Method-Override
    X-HTTP-Method X-Method-Override X-Script-Name X-Portproxy-Port X-Portproxy-Error X-Webauth-User
    X-SSL-Client-CN SSL-Client-S-DN True-Client-IP CF-Connecting-IP Tailscale-User-Login
    X-Ms-Client-Principal-Name X-Goog-Authenticated-User-Email X-Amzn-Oidc-Identity
    Cf-Access-Jwt-Assertion Kubeflow-Userid X-WEBAUTH-USER X-WEBAUTH-NAME X-Consumer-ID
    X-Consumer-Username X-Credential-Identifier X-Anonymous-Consumer X-Authenticated-Userid
    X-Userinfo OIDC-CLAIM-sub OIDC-Access-Token X-Vouch-User X-Vouch-IdP-Claims-Groups
    RStudio-Connect-Credentials Posit-Connect-User-Session-Token Impersonate-User
    Impersonate-Extra-Scopes X-Authelia-Username X-Envoy-Internal X-Envoy-Original-Path
    X-Envoy-External-Address WL-Proxy-Client-IP WL-Proxy-SSL Teleport-Jwt-Assertion
    X-Accel-Mapping X-Accel-Buffering X-Sendfile-Type Client-Cert X-Shib-User Mellon-Name-Id
""")
TO_SERVICE_TABLE = [
    *NOT_TO_SERVICE,
    *NOT_TO_SERVICE_PREFIXES,
    *(f"{prefix}x" for prefix in NOT_TO_SERVICE_PREFIXES),
    *NAMED_TO_SERVICE,
]


@pytest.mark.parametrize("name", sorted({name.lower() for name in TO_SERVICE_TABLE}))
def test_a_field_that_never_arrives(name: str) -> None:
    for key in _keys(name):
        fields: dict[str, Any] = {key: "6.6.6.6", "HTTP_X_KEPT": "1"}
        assert to_service(**fields) == [OURS[0], ("X-Kept", "1"), *OURS[1:]]


@pytest.mark.parametrize(
    "key", ["HTTP_", "HTTP_A B", "HTTP_A:B", "HTTP_A\r\nB", "HTTP_\xe4", "HTTP_A(B)", "HTTP_A,B"]
)
def test_a_key_that_is_no_field_name_is_dropped(key: str) -> None:
    fields: dict[str, Any] = {key: "1"}
    assert to_service(**fields) == OURS


def test_only_http_keys_are_fields() -> None:
    assert to_service(REMOTE_USER="root", SSL_CLIENT_CERT="x", http_x="1") == OURS


@table(
    "connection, kept",
    {
        "two-in-any-case": ("close,  x-some ,X-OTHER", set()),
        "empty-members": (" , X-Some,,", {"X-Other"}),
        "with-an-odd-character": ("x_some", {"X-Other"}),
        "other-names": ("X-Some-Thing, Some", {"X-Some", "X-Other"}),
        "none": ("close", {"X-Some", "X-Other"}),
    },
)
def test_a_field_that_connection_names_does_not_arrive(connection: str, kept: set[str]) -> None:
    fields = to_service(HTTP_CONNECTION=connection, HTTP_X_SOME="1", HTTP_X_OTHER="2")
    assert {name for name, _ in fields} == kept | {name for name, _ in OURS}


@pytest.mark.parametrize(
    "named",
    words("host x-forwarded-for X-Forwarded-Proto x_forwarded_prefix Cookie Origin Referer")
    + words("Content-Type Content-Length Via"),
)
def test_connection_cannot_remove_what_we_set_or_filter(named: str) -> None:
    fields: dict[str, Any] = {
        "HTTP_COOKIE": "a=1",
        "HTTP_ORIGIN": "http://app.test",
        "HTTP_REFERER": f"http://app.test{P}/x",
        "CONTENT_TYPE": "text/plain",
    }
    assert to_service(HTTP_CONNECTION=named, **fields) == to_service(**fields)
    assert len(to_service(**fields)) == len(OURS) + 4


COPIES = "portproxy.copy1=16006.a%3D1%3B%20session%3D2"


@pytest.mark.parametrize(
    ("cookie", "astray", "else_"),
    [
        (f"b=1; {COPIES}", "b=1; a=1; session=2", "b=1"),
        (COPIES, "a=1; session=2", None),
        (COPIES.replace("16006", "16007"), None, None),
    ],
)
def test_a_stray_has_the_services_cookies_by_their_copies(
    cookie: str, astray: str | None, else_: str | None
) -> None:
    stray = a_view("/ws", form="stray")
    assert dict(to_service(urls=stray, HTTP_COOKIE=cookie)).get("Cookie") == astray
    assert dict(to_service(HTTP_COOKIE=cookie)).get("Cookie") == else_


@pytest.mark.case("sibling services' cookies")
def test_in_the_host_form_on_https_renamed_cookies_are_those_of_that_host() -> None:
    cookie = "portproxy.16006.session=EVIL; __Host-portproxy.16006.session=1"
    at_host = a_view(prefix="", form="host")
    https = at_host._replace(visited=address_of("https://16006.ports.test"))
    assert dict(to_service(urls=https, HTTP_COOKIE=cookie))["Cookie"] == "session=1"
    assert dict(to_service(urls=at_host, HTTP_COOKIE=cookie))["Cookie"] == "session=EVIL"


@pytest.mark.parametrize("cookie", ["sessionid=S", "", " "])
def test_without_a_cookie_left_there_is_no_field(cookie: str) -> None:
    assert to_service(HTTP_COOKIE=cookie) == OURS


def test_authorization_is_withheld_if_it_is_the_apps_own() -> None:
    fields: dict[str, Any] = {"HTTP_AUTHORIZATION": "Bearer x", "HTTP_X_AUTHORIZATION": "1"}
    assert ("Authorization", "Bearer x") in to_service(**fields)
    withheld = to_service(withhold_authorization=True, **fields)
    assert withheld == [OURS[0], ("X-Authorization", "1"), *OURS[1:]]


def test_hop_by_hop_fields_are_in_the_table() -> None:
    assert HOP_BY_HOP <= NOT_TO_SERVICE
