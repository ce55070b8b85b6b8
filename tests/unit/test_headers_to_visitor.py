"""Which fields reach the visitor, with which values.

The module's table is tested row by row; those names that the cases give stand here once more, so
that a row cannot get lost.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from wsgi_portproxy.locate.address import address_of
from wsgi_portproxy.locate.visit import Visit
from wsgi_portproxy.rewrite.cookie_limits import MAX_SET_COOKIES
from wsgi_portproxy.rewrite.cookies import DEFAULT_WITHHELD, CookiePolicy
from wsgi_portproxy.rewrite.header_tables import (
    HOP_BY_HOP,
    NOT_TO_VISITOR,
    NOT_TO_VISITOR_PREFIXES,
    HeaderNames,
)
from wsgi_portproxy.rewrite.response_headers import (
    ResponseHeaders,
    early_hints,
    private,
    response_headers,
)
from wsgi_portproxy.rewrite.urls import UrlMapper

from .given import a_query_view, a_view, environ, table, words

URLS = a_view("/a/b")
P = URLS.target.prefix


def to_visitor(
    *fields: tuple[str, str],
    urls: UrlMapper = URLS,
    needs_path: bool = False,
    policy: CookiePolicy | None = None,
    cookie: str = "",
) -> list[tuple[str, str]]:
    """The fields for a visitor who sent `cookie`; without a policy, of one that saw none before."""
    policy = policy or CookiePolicy(DEFAULT_WITHHELD)
    return response_headers(
        list(fields), urls, policy, needs_path=needs_path, visitors_cookies=cookie
    )


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
    Secure-Session-Registration Sec-Session-Registration Secure-Session-Challenge
    Sec-Session-Challenge X-Envoy-Decorator-Operation X-Envoy-Upstream-Service-Time
    IdP-SignIn-Status Shared-Storage-Write Attribution-Reporting-Register-Source
    Attribution-Reporting-Register-Trigger Xkey X-Xkey Netlify-Vary Akamai-Cache-Control
    Observe-Browsing-Topics Activate-Storage-Access Ad-Auction-Signals
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
        ("LOCATION", "http://localhost:16006/x", f"http://app.test{P}/x"),
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
    given = Visit({**environ("/x"), "wsgi.early_hints": sent.append})
    pass_on = early_hints(given, URLS, HeaderNames("response_headers", ["X"]))
    assert pass_on is not None
    pass_on(fields)
    pass_on(fields[1:])  # which leaves nothing to send
    assert sent == [[("LINK", f"<{P}/a.css>; rel=preload")]]
    assert early_hints(given, URLS, HeaderNames("response_headers", ["Link"])) is None
    assert early_hints(Visit(environ("/x")), URLS) is None


def test_early_hints_go_another_way_once_the_request_has_left_its_server() -> None:
    by_server: list[list[tuple[str, str]]] = []
    by_us: list[list[tuple[str, str]]] = []
    visit = Visit({**environ("/x"), "wsgi.early_hints": by_server.append})
    pass_on = early_hints(visit, URLS)
    assert pass_on is not None
    visit.forget_server(by_us.append)
    pass_on([("Link", "</a.css>; rel=preload")])
    assert (by_server, by_us) == ([], [[("Link", f"<{P}/a.css>; rel=preload")]])


# --- Cookies -------------------------------------------------------------------------------------


def test_set_cookie_is_scoped_or_dropped() -> None:
    fields = [
        ("Set-Cookie", "a=1; Path=/; Domain=app.test"),
        ("Set-Cookie", "sessionid=evil; Path=/"),
        ("set_cookie", "c=evil; HttpOnly"),  # which no browser takes for one
        ("SET-COOKIE", "__Host-a=1; Secure; Path=/"),
        ("set-cookie", "b=2"),
    ]
    assert to_visitor(*fields) == [
        ("Set-Cookie", f"a=1; Path={P}/"),
        ("Set-Cookie", f"portproxy.16006.sessionid=evil; Path={P}/"),
        ("Set-Cookie", f"portproxy.16006.__Host-a=1; Secure; Path={P}/"),
        ("Set-Cookie", "b=2"),
        ALWAYS,
    ]
    with_path = to_visitor(("Set-Cookie", "a=1"), needs_path=True)
    assert with_path[0] == ("Set-Cookie", f"a=1; Path={P}/")


@pytest.mark.case("sibling services' cookies")
def test_in_the_host_form_on_https_renamed_cookies_are_of_that_host() -> None:
    urls = a_view(prefix="", form="host")
    field = ("Set-Cookie", "session=1; Path=/x")
    assert to_visitor(field, urls=urls)[0][1] == "portproxy.16006.session=1; Path=/x"
    https = urls._replace(visited=address_of("https://16006.ports.test"))
    [(_, value), _] = to_visitor(field, urls=https)
    assert value == "__Host-portproxy.16006.session=1; Path=/; Secure"


def test_a_copy_for_handshakes_goes_along_where_strays_are_found() -> None:
    fields = [("Set-Cookie", f"{name}=1; Path=/") for name in ("a", "sessionid", "b c")]
    [*scoped, (_, copy), _] = to_visitor(*fields, urls=URLS._replace(strays=True))
    assert [*scoped, ALWAYS] == to_visitor(*fields)
    assert copy.startswith("portproxy.copy1=16006.a%3D1%3B%20sessionid%3D1; Path=/; HttpOnly")
    assert to_visitor(("X", "1"), urls=URLS._replace(strays=True)) == [("X", "1"), ALWAYS]


def test_only_some_of_300_cookies_of_one_answer_pass() -> None:
    """Browsers evict the oldest of a site, and those are the app's."""
    fields = [("Set-Cookie", f"c{number}={'x' * 20}") for number in range(300)]
    passed = to_visitor(("Set-Cookie", "a=1 sessionid=x"), *fields)
    assert passed == [*fields[:MAX_SET_COOKIES], ALWAYS]


def test_a_token_that_is_two_cookies_counts_as_two() -> None:
    fields = [("Set-Cookie", f"c{number}=1") for number in range(MAX_SET_COOKIES - 1)]
    passed = to_visitor(*fields, ("Set-Cookie", "csrftoken=1; Path=/"), ("Set-Cookie", "z=1"))
    assert passed == [*fields, ("Set-Cookie", "z=1"), ALWAYS]


def names_set(policy: CookiePolicy, cookie: str, *, first: int, urls: UrlMapper = URLS) -> int:
    """How many of ten new names of a service's pass."""
    fields = [("Set-Cookie", f"c{first + number}={'x' * 200}") for number in range(10)]
    return len(to_visitor(*fields, urls=urls, policy=policy, cookie=cookie)) - 1


def test_many_answers_set_no_more_than_a_few_would() -> None:
    """A page asks for many things at once: what the browser sends tells nothing of the others."""
    policy = CookiePolicy(DEFAULT_WITHHELD)
    alice, bob = "sessionid=alice; a=1", "sessionid=bob"
    passed = [names_set(policy, alice, first=10 * number) for number in range(20)]
    assert passed[0] == 10
    assert passed[10:] == [0] * 10
    assert names_set(policy, "c1=1; sessionid=alice", first=300) == 0  # hers all the same
    assert names_set(policy, alice, first=0) == 10  # again
    assert names_set(policy, bob, first=0) == 10


def test_in_the_query_form_they_are_as_long_as_the_apps_server_takes() -> None:
    """There the app's own pages get them, whose server refuses what is too long."""
    policy, alice, urls = CookiePolicy(DEFAULT_WITHHELD), "sessionid=alice", a_query_view()
    other = urls._replace(target=replace(urls.target, port=16007))
    passed = [names_set(policy, alice, first=10 * number, urls=urls) for number in range(4)]
    assert (passed[0], sum(passed)) == (10, 2048 // len("c10=" + "x" * 200))
    assert names_set(policy, alice, first=50, urls=other) == 0  # the same pages, another service


def test_there_what_the_browser_has_counts_too_but_not_twice() -> None:
    urls = a_query_view()
    for sent, passed in [
        (f"sessionid=S; old={'x' * 3900}", 3),  # set by a process that is no more, or long ago
        (f"sessionid={'S' * 3900}; old=x", 3),  # the app's own goes along too
        ("; ".join(f"c{number}={'x' * 420}" for number in range(10)), 10),
    ]:
        assert names_set(CookiePolicy(DEFAULT_WITHHELD), sent, first=0, urls=urls) == passed


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


@pytest.mark.promise("A service's cookies leave your app reachable")
@pytest.mark.case("cookies without number")
@pytest.mark.parametrize(
    "one",
    [
        "c=1; Path=/p{}",
        "c=1; Path=/{}/",
        "c{}=1",
        "c{}=1; Path=/",
        "c=1; path=/p{}; Path=/q{}",
    ],
)
def test_many_answers_set_no_more_cookies_than_a_browser_keeps(one: str) -> None:
    """Each name with each path is a cookie of its own; the path that is not said too."""
    policy = CookiePolicy(DEFAULT_WITHHELD)
    passed = 0
    for number in range(300):
        urls = a_view(f"/folder{number}/page")
        fields = [("Set-Cookie", one.format(number, number))]
        headers = response_headers(fields, urls, policy, needs_path=False)
        passed += sum(name == "Set-Cookie" for name, _ in headers)
    assert passed == 60


def test_a_service_cannot_choose_who_the_visitor_is() -> None:
    """By a cookie that it may set under its own name, Django's for scripts."""
    policy = CookiePolicy(DEFAULT_WITHHELD)
    passed = 0
    for number in range(300):
        sent = f"a=1; sessionid=alice; csrftoken=n{number}; c{number}=1"
        headers = response_headers(
            [("Set-Cookie", f"c{number}=1")], URLS, policy, needs_path=False, visitors_cookies=sent
        )
        passed += ("Set-Cookie", f"c{number}=1") in headers
    assert passed == 60


def test_names_are_told_apart_as_browsers_do() -> None:
    policy = CookiePolicy(DEFAULT_WITHHELD)
    fields = [("Set-Cookie", "c" + "\xa0" * number + "=1") for number in range(100)]
    passed = [response_headers([one], URLS, policy, needs_path=False) for one in fields]
    assert sum(len(headers) > 1 for headers in passed) == 60


@pytest.mark.parametrize("key", ["REMOTE_USER", "REMOTE_ADDR", "HTTP_USER_AGENT"])
def test_visitors_whom_the_app_tells_apart_otherwise_have_browsers_of_their_own(key: str) -> None:
    policy = CookiePolicy(DEFAULT_WITHHELD)

    def passed(who: str) -> int:
        made = ResponseHeaders(policy)
        given = {**environ(), key: who}
        one = [made.of([("Set-Cookie", f"c{n}=1")], URLS, given) for n in range(80)]
        return sum(len(headers) > 1 for headers in one)

    assert (passed("alice"), passed("bob"), passed("bob")) == (60, 60, 60)
    more = ResponseHeaders(policy).of([("Set-Cookie", "d=1")], URLS, {**environ(), key: "bob"})
    assert len(more) == 1


def test_what_passes_as_a_removal_is_one_in_the_browser() -> None:
    """Of a year of two digits Python and browsers think otherwise: it would be a cookie that nobody
    has counted."""
    policy = CookiePolicy(DEFAULT_WITHHELD)
    for number in range(100):
        for date in ("Wed, 21 Oct 69 07:28:00 GMT", "Wed, 21 Oct 1969 07:28:00 +0000"):
            field = ("Set-Cookie", f"c{number}=1; Expires={date}")
            headers = response_headers([field], URLS, policy, needs_path=False)
            assert headers[0] == ("Set-Cookie", f"{field[1]}; Max-Age=0")
    for sure in ("c=; Max-Age=0; Expires=x", "c=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"):
        field = ("Set-Cookie", sure)
        assert response_headers([field], URLS, policy, needs_path=False)[0] == field
