"""Which fields reach the visitor, with which values.

The module's table is tested row by row; those names that the cases give stand here once more, so
that a row cannot get lost.
"""

from __future__ import annotations

import pytest

from wsgi_portproxy.cookies import DEFAULT_WITHHELD, MAX_SET_COOKIES, CookiePolicy
from wsgi_portproxy.headers import (
    HOP_BY_HOP,
    NOT_TO_VISITOR,
    NOT_TO_VISITOR_PREFIXES,
    early_hints,
    private,
    response_headers,
)
from wsgi_portproxy.rewrite import View

from .given import a_view, table, words

POLICY = CookiePolicy(DEFAULT_WITHHELD)
VIEW = a_view("/a/b")
P = VIEW.target.prefix


def to_visitor(
    *fields: tuple[str, str], view: View = VIEW, needs_path: bool = False
) -> list[tuple[str, str]]:
    return response_headers(list(fields), view, POLICY, needs_path=needs_path)


ALWAYS = ("Cache-Control", "private")

NAMED_TO_VISITOR = words("""
    Connection Keep-Alive TE Trailer Transfer-Encoding Upgrade HTTP2-Settings Proxy-Connection
    Proxy-Authenticate Proxy-Authorization Date Server Status X-Accel-Redirect X-Accel-Buffering
    X-Accel-Expires X-Accel-Limit-Rate X-Accel-Charset X-Sendfile X-Sendfile2 X-Send-File
    X-Sendfile-Temporary X-LIGHTTPD-send-file X-LIGHTTPD-send-tempfile X-LiteSpeed-Location
    X-LiteSpeed-Cache-Control X-Reproxy-URL X-Reproxy-File Clear-Site-Data
    Strict-Transport-Security Public-Key-Pins Public-Key-Pins-Report-Only Expect-CT Alt-Svc NEL
    Report-To Reporting-Endpoints Accept-CH Accept-CH-Lifetime Critical-CH Origin-Agent-Cluster
    Set-Login Surrogate-Control Surrogate-Key CDN-Cache-Control Cloudflare-CDN-Cache-Control
    Netlify-CDN-Cache-Control Edge-Control Cache-Tag Use-As-Dictionary X-Portproxy-Error
""")
TO_VISITOR_TABLE = [
    *(NOT_TO_VISITOR - {"cache-control"}),
    *NOT_TO_VISITOR_PREFIXES,
    *(f"{prefix}x" for prefix in NOT_TO_VISITOR_PREFIXES),
    *NAMED_TO_VISITOR,
]


@pytest.mark.parametrize("name", sorted({name.lower() for name in TO_VISITOR_TABLE}))
def test_a_field_that_never_reaches_the_visitor(name: str) -> None:
    for spelling in (name, name.upper(), name.title(), name.replace("-", "_")):
        fields = [(spelling, "x"), ("X-Kept", "1"), (spelling, "y"), (spelling.swapcase(), "z")]
        assert to_visitor(*fields) == [("X-Kept", "1"), ALWAYS]


def test_hop_by_hop_fields_are_in_the_table() -> None:
    assert HOP_BY_HOP <= NOT_TO_VISITOR


@pytest.mark.parametrize(
    "field",
    [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", "default-src 'self'"),
        ("X-ODD_name.x", " padded\tvalue "),
        ("X-Bytes", "\xc3\xa4\xff"),
        ("Empty", ""),
        ("Location", "https://example.com/"),
        ("WWW-Authenticate", 'Basic realm="x"'),
    ],
    ids=lambda field: field[0],
)
def test_a_field_that_passes_as_it_is(field: tuple[str, str]) -> None:
    assert to_visitor(field) == [field, ALWAYS]


def test_duplicates_keep_their_order_and_count() -> None:
    cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "a=2")]
    fields = [("X-A", "1"), ("X-A", "2"), ("x-a", "1"), *cookies]
    assert to_visitor(*fields) == [*fields, ALWAYS]


@table(
    "connection, kept",
    {
        "two-lines": (["close", "x-some, X-OTHER"], []),
        "none": (["keep-alive"], ["X-Some", "X-Other"]),
        "empty-members": ([" ,X-Some, "], ["X-Other"]),
    },
)
def test_a_field_that_connection_names_does_not_pass(
    connection: list[str], kept: list[str]
) -> None:
    fields = [("X-Some", "1"), *(("Connection", value) for value in connection), ("X-Other", "2")]
    assert [name for name, _ in to_visitor(*fields)] == [*kept, "Cache-Control"]


def test_connection_removes_neither_the_length_nor_our_cache_control() -> None:
    fields = [("Connection", "content-length, cache-control"), ("Content-Length", "5")]
    assert to_visitor(*fields) == [("Content-Length", "5"), ALWAYS]


@pytest.mark.parametrize(
    ("lengths", "passed"),
    [(["5"], "5"), (["5 ,5", "5"], "5"), (["0"], "0")],
)
def test_the_length_passes_once(lengths: list[str], passed: str) -> None:
    fields = to_visitor(*(("content-length", value) for value in lengths))
    assert fields == [("content-length", passed), ALWAYS]


@pytest.mark.parametrize(
    ("name", "value", "mapped"),
    [
        ("Location", "/x", f"{P}/x"),
        ("LOCATION", "http://localhost:16006/x", f"{P}/x"),
        ("Content-Location", "/x", f"{P}/x"),
        ("Refresh", "5; url=/x", f"5; url={P}/x"),
        ("Link", "</x>; rel=next", f"<{P}/x>; rel=next"),
        ("Set-Cookie", "a=1; Path=/", f"a=1; Path={P}/"),
    ],
)
def test_addresses_are_mapped(name: str, value: str, mapped: str) -> None:
    assert to_visitor((name, value)) == [(name, mapped), ALWAYS]
    assert to_visitor((name, mapped)) == [(name, mapped), ALWAYS]  # twice is once


def test_early_hints_have_their_links_mapped_and_nothing_else() -> None:
    fields = [("LINK", "</a.css>; rel=preload"), ("Set-Cookie", "sessionid=evil"), ("X", "1")]
    sent: list[list[tuple[str, str]]] = []
    pass_on = early_hints({"wsgi.early_hints": sent.append}, VIEW)
    pass_on(fields)
    pass_on(fields[1:])  # which leaves nothing to send
    assert sent == [[("LINK", f"<{P}/a.css>; rel=preload")]]


# --- Cookies -------------------------------------------------------------------------------------


def test_set_cookie_is_scoped_or_dropped() -> None:
    fields = [
        ("Set-Cookie", "a=1; Path=/; Domain=app.test"),
        ("Set-Cookie", "sessionid=evil; Path=/"),
        ("set_cookie", "csrftoken=evil; HttpOnly"),
        ("SET-COOKIE", "__Host-a=1; Secure; Path=/"),
        ("set-cookie", "b=2"),
    ]
    assert to_visitor(*fields) == [
        ("Set-Cookie", f"a=1; Path={P}/"),
        ("Set-Cookie", f"portproxy.16006.sessionid=evil; Path={P}/"),
        ("set_cookie", "portproxy.16006.csrftoken=evil; HttpOnly"),
        ("SET-COOKIE", f"portproxy.16006.__Host-a=1; Secure; Path={P}/"),
        ("set-cookie", "b=2"),
        ALWAYS,
    ]
    with_path = to_visitor(("Set-Cookie", "a=1"), needs_path=True)
    assert with_path[0] == ("Set-Cookie", f"a=1; Path={P}/")


def test_a_copy_for_handshakes_goes_along_where_strays_are_found_as_long_as_there_is_room() -> None:
    field, view = ("Set-Cookie", "a=1; Path=/"), VIEW._replace(strays=True)
    scoped = ("Set-Cookie", f"a=1; Path={P}/")
    copy = ("Set-Cookie", "portproxy.16006!a=1; Path=/; HttpOnly")
    assert to_visitor(field, view=view) == [scoped, copy, ALWAYS]
    many = "; ".join(["portproxy.16006!b=" + "x" * 500] * 3)
    sent = response_headers([field], view, POLICY, needs_path=False, visitors_cookies=many)
    assert sent == [scoped, ALWAYS]


def test_only_some_of_300_cookies_pass() -> None:
    """Browsers evict the oldest of a site, and those are the app's."""
    fields = [("Set-Cookie", f"c{number}={'x' * 20}") for number in range(300)]
    passed = to_visitor(("Set-Cookie", "a=1 sessionid=x"), *fields)
    assert passed == [*fields[:MAX_SET_COOKIES], ALWAYS]


# --- Service workers and logins ------------------------------------------------------------------


@pytest.mark.parametrize("scope", [f"{P}/", f"{P}/a/b", f"{P}/v1.2/a_b-c~d"])
def test_a_service_worker_may_be_allowed_what_is_below_the_prefix(scope: str) -> None:
    field = ("Service-Worker-Allowed", scope)
    assert to_visitor(field) == [field, ALWAYS]


@pytest.mark.parametrize(
    "scope",
    [
        *("/", "", "/alice/vision/", P, f"{P}7/", f" {P}/", "..", "a/", f"http://app.test{P}/"),
        *(f"{P}/{end}" for end in ["..", "../", "a/../../", "%2e%2e/", ".%2E/", "..\\", "\\..\\"]),
        *(f"{P}/.\t./", f"{P}/a b", f"{P}/?x", "//evil.com/", "/\\evil.com/"),
    ],
)
def test_but_nothing_wider(scope: str) -> None:
    assert to_visitor(("service-worker-allowed", scope)) == [ALWAYS]


@pytest.mark.parametrize(
    ("value", "passes"),
    [
        ("negotiate", False),
        ("NTLM TlRMTVNTUAAC", False),
        ('Basic realm="x", Negotiate', False),
        ('Negotiate,Basic realm="x"', False),
        ("Digest x=1,\tNTLM", False),
        ('Digest realm="negotiated"', True),
    ],
)
def test_the_desktop_login_is_never_asked_for(value: str, passes: bool) -> None:
    field = ("WWW-Authenticate", value)
    assert to_visitor(field) == [*([field] if passes else []), ALWAYS]


# --- Cache-Control -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], "private"),
        (["", " , ,"], "private"),
        (["PUBLIC, S-MaxAge=3600, max-age=60"], "private, max-age=60"),
        (["public , max-age=31536000 , immutable"], "private, max-age=31536000, immutable"),
        (['s-maxage = "10"'], "private"),
        (["proxy-revalidate, must-revalidate"], "private, must-revalidate"),
        (["max-age=60", "public"], "private, max-age=60"),
        (["Private, max-age=5"], "Private, max-age=5"),
        (["max-age=5, private", "public"], "max-age=5, private"),
        (["no-store, public"], "no-store"),
        (["no-cache, No-Store, must-revalidate"], "no-cache, No-Store, must-revalidate"),
        (['private="set-cookie"'], 'private, private="set-cookie"'),
        (['no-cache="a, b", max-age=1'], 'private, no-cache="a, b", max-age=1'),
        (["privately, no-stored"], "private, privately, no-stored"),
    ],
)
def test_cache_control_is_private(values: list[str], expected: str) -> None:
    assert private(values) == expected
    assert private([expected]) == expected
    fields = [("cache-CONTROL", value) for value in values]
    assert to_visitor(*fields) == [("Cache-Control", expected)]
