"""URLs in headers, from the service's view to the visitor's and back.

Every row that is mapped is mapped twice: what carries the prefix already must stay.
"""

from __future__ import annotations

import pytest

from wsgi_portproxy.locate.address import address_of
from wsgi_portproxy.rewrite.url_headers import link_to_visitor, refresh_to_visitor
from wsgi_portproxy.rewrite.urls import UrlMapper

from .given import a_query_view, a_view, costs_little, table, words

A = "http://app.test"
P = "/alice/vision/proxy/16006"
PATH = a_view("/a/b?x=1")
MOUNTED = a_view("/a/b", prefix="/apps/one" + P)
QUERY = a_query_view("/a/b?x=1")
WHOLE_APP = a_query_view("/a/b", prefix="")

# --- Location, in the path form ------------------------------------------------------------------

OURS = {
    "root": ("/", f"{P}/"),
    "path": ("/login?next=/x&a=1#f", f"{P}/login?next=/x&a=1#f"),
    "localhost": ("http://localhost:16006/x", f"{A}{P}/x"),
    "127.0.0.1": ("http://127.0.0.1:16006/x", f"{A}{P}/x"),
    "ipv6": ("http://[::1]:16006/x", f"{A}{P}/x"),
    "0.0.0.0": ("http://0.0.0.0:16006/x", f"{A}{P}/x"),
    "upper-case": ("HTTP://LOCALHOST:16006/X", f"{A}{P}/X"),
    "https": ("https://localhost:16006/x", f"{A}{P}/x"),
    "without-scheme": ("//localhost:16006/x", f"//app.test{P}/x"),
    "without-path": ("http://localhost:16006", f"{A}{P}/"),
    "only-a-query": ("http://localhost:16006?x=1", f"{A}{P}/?x=1"),
    "only-a-fragment": ("http://localhost:16006#x", f"{A}{P}/#x"),
    "double-slash-below": ("http://localhost:16006//x", f"{A}{P}//x"),
    "absolute-url-in-the-query": ("/x?u=http://other/", f"{P}/x?u=http://other/"),
    "colon-and-at": ("/x:y@z", f"{P}/x:y@z"),
    "bytes": ("/a%2Fb%20%zz\xc3\xa4", f"{P}/a%2Fb%20%zz\xc3\xa4"),
    "line-end": ("http://localhost:16006/a\nb", f"{A}{P}/a\nb"),
    "dots": ("/../x", f"{P}/../x"),
    "a-longer-number": (f"{P}7/x", f"{P}{P}7/x"),
    "the-app-above": ("/alice/vision/x", f"{P}/alice/vision/x"),
    "the-prefix-inside": (f"/x{P}/", f"{P}/x{P}/"),
    "the-prefix-in-the-query": (f"/x?next={P}/", f"{P}/x?next={P}/"),
}
RELATIVE = ["x", "../x", "./x:y", "?x=1", "#x", ""]
FOREIGN = words(r"""
    http://example.com/x //example.com/x \\example.com/x /\example.com/x ///example.com/x
    http:////example.com/x http://localhost.evil.com:16006/x http://evil-localhost:16006/x
    http://user@localhost:16006/x http://localhost:16006@evil.com/x
    http://localhost:16006@evil.com:16006/x http://evil.com\@localhost:16006/x
    ftp://localhost:16006/x ws://localhost:16006/x javascript:alert(1) data:text/html,x mailto:a@b
    http:x http://app.test/alice/
""")
FOREIGN.append("http://localhost: 16006/x")


# Found by Hypothesis: browsers read `\\` as `/`, and the prefix came in front once more.
@pytest.mark.parametrize("urls", [PATH, a_query_view("/")], ids=["path", "query"])
def test_a_backslash_behind_the_prefix_ends_it_too(urls: UrlMapper) -> None:
    mapped = urls.to_visitor(urls.target.prefix + "\\x")
    assert mapped.startswith(urls.target.prefix + "\\x")
    assert urls.to_visitor(mapped) == mapped


@pytest.mark.case("Location")
@table("url, mapped", OURS)
def test_what_means_the_service_goes_under_the_prefix(url: str, mapped: str) -> None:
    assert PATH.to_visitor(url) == mapped
    assert PATH.to_visitor(mapped) == mapped


@pytest.mark.parametrize("url", [f"{P}/x?y#z", P, f"{P}?x", *RELATIVE, *FOREIGN])
def test_all_else_stays(url: str) -> None:
    assert PATH.to_visitor(url) == url


def test_below_a_script_name_too() -> None:
    for url, mapped in OURS.values():
        if P not in url:  # those rows are about this prefix
            below = mapped.replace("/alice", "/apps/one/alice", 1)
            assert MOUNTED.to_visitor(url) == below
            assert MOUNTED.to_visitor(below) == below


def test_the_host_that_the_service_was_sent_means_the_service() -> None:
    urls = a_view("/")._replace(told=address_of("http://app.test"))
    for url in ("http://app.test/x", "http://APP.TEST/x", "http://app.test:80/x"):
        assert urls.to_visitor(url) == f"{A}{P}/x"


# --- Location, in the query form -----------------------------------------------------------------

M = "/alice/vision"


@table(
    "url, mapped",
    {
        "root": ("/", f"{M}/?port=16006"),
        "path": ("/login", f"{M}/login?port=16006"),
        "query": ("/login?a=1&b=%2B", f"{M}/login?a=1&b=%2B&port=16006"),
        "fragment": ("/x?a#f", f"{M}/x?a&port=16006#f"),
        "bare-question-mark": ("/x?", f"{M}/x?port=16006"),
        "absolute": ("http://localhost:16006/x?a", f"{A}{M}/x?a&port=16006"),
        "under-the-prefix": (f"{M}/x", f"{M}/x?port=16006"),
        "the-prefix-itself": (M, f"{M}?port=16006"),
        "another-port-in-it": ("/x?port=80&a=1", f"{M}/x?a=1&port=16006"),
        "of-the-visitor-for-another-port": (f"{M}/x?port=15000&a", f"{M}/x?port=15000&a"),
        "of-the-visitor-and-odd": (f"{M}/x?port=16006&port=1", f"{M}/x?port=16006&port=1"),
        "relative": ("c", f"{M}/a/c?port=16006"),
        "relative-up": ("../c", f"{M}/c?port=16006"),
        "relative-far-up": ("../../../c", f"{M}/c?port=16006"),
        "relative-dot": (".", f"{M}/a/?port=16006"),
        "relative-dot-dot": ("..", f"{M}/?port=16006"),
        "relative-through-dots": ("./c/../d/", f"{M}/a/d/?port=16006"),
        "relative-with-colon": ("./c:d", f"{M}/a/c:d?port=16006"),
        "relative-with-odd-bytes": ("c[%zz d", f"{M}/a/c[%zz d?port=16006"),
        "relative-query": ("?d=1", f"{M}/a/b?d=1&port=16006"),
        "relative-fragment": ("#f", f"{M}/a/b?x=1&port=16006#f"),
        "empty": ("", f"{M}/a/b?x=1&port=16006"),
    },
)
def test_in_the_query_form_every_url_has_the_port(url: str, mapped: str) -> None:
    assert QUERY.to_visitor(url) == mapped
    assert QUERY.to_visitor(mapped) == mapped


@pytest.mark.parametrize("url", FOREIGN)
def test_in_the_query_form_all_else_stays(url: str) -> None:
    assert QUERY.to_visitor(url) == url
    assert WHOLE_APP.to_visitor(url) == url


@pytest.mark.parametrize(
    ("path", "url", "mapped"),
    [
        ("/a/b", "/x", "/x?port=16006"),
        ("/a/b", "c", "/a/c?port=16006"),
        ("/a/b", "http://localhost:16006//evil.com/", f"{A}/.//evil.com/?port=16006"),
        ("/a/b", "http://localhost:16006/\\evil.com/", f"{A}/./\\evil.com/?port=16006"),
        ("//evil.com/b", "c", "/.//evil.com/c?port=16006"),
        ("//[/b", "c", "/.//[/c?port=16006"),
        ("//evil.com/b", "?c", "/.//evil.com/b?c&port=16006"),
        ("/a/b", "..//evil.com", "/.//evil.com?port=16006"),
    ],
)
def test_with_the_whole_app_as_the_mount_it_stays_on_this_site(
    path: str, url: str, mapped: str
) -> None:
    urls = a_query_view(path, prefix="")
    assert urls.to_visitor(url) == mapped
    assert urls.to_visitor(mapped) == mapped


# --- Redirects that are followed here ------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/x?y=1", "/x?y=1"),
        ("http://localhost:16006/x", "/x"),
        ("http://127.0.0.1:16006", "/"),
        ("c", "/a/c"),
        ("?c", "/a/b?c"),
        ("", "/a/b?x=1"),
        ("/x#fragment?y", "/x"),
        ("/a b\xe4", "/a%20b%E4"),
        (f"{M}/x?a&port=16006", "/x?a"),
        (f"{M}?port=16006", "/"),
        (M, "/"),
        (f"{M}/x?port=15000", None),
        (f"{M}/x?port=16006&port=15000", None),
        ("/x?port=80", "/x?port=80"),
        ("http://localhost:16006//x", "//x"),
        ("http://localhost/x", "/x"),
        ("//example.com/", None),
        ("/\\example.com/", None),
        ("http://localhost:16006@example.com/", None),
        ("javascript:x", None),
        ("http://app.test/alice/vision/", None),
    ],
)
def test_the_request_target_of_a_redirect(location: str, target: str | None) -> None:
    assert QUERY.redirect_path(location) == target


def test_a_view_of_another_path() -> None:
    urls = QUERY.at("/deep/er/x")
    assert urls.to_visitor("c") == f"{M}/deep/er/c?port=16006"
    assert QUERY.target.path_qs == "/a/b?x=1"


# --- Referer -------------------------------------------------------------------------------------

LOCAL = "http://localhost:16006"


@table(
    "referer, told",
    {
        "page-of-the-service": (f"http://app.test{P}/lab?x=1", f"{LOCAL}/lab?x=1"),
        "without-slash": (f"http://app.test{P}", f"{LOCAL}/"),
        "without-slash-with-query": (f"http://app.test{P}?x", f"{LOCAL}/?x"),
        "another-service": (f"http://app.test{P}7/secret", f"{LOCAL}/"),
        "query-form": ("http://app.test/alice/vision/?port=16006", f"{LOCAL}/"),
        "page-of-the-app": ("http://app.test/settings?token=1", f"{LOCAL}/"),
        "root-of-the-app": ("http://app.test/", f"{LOCAL}/"),
        "origin-only": ("http://app.test", f"{LOCAL}/"),
        "longer-host": ("http://app.test.evil/x", "http://app.test.evil/x"),
        "other-scheme": ("https://app.test/x", "https://app.test/x"),
        "other-port": ("http://app.test:81/x", "http://app.test:81/x"),
        "foreign": ("https://example.com/x?y", "https://example.com/x?y"),
        "empty": ("", ""),
    },
)
def test_the_referer_of_our_own_pages_becomes_the_services(referer: str, told: str) -> None:
    assert PATH.page_to_service(referer) == told


@pytest.mark.parametrize(
    ("referer", "told"),
    [
        (f"http://app.test{M}/x?a=1&port=16006&b", f"{LOCAL}/x?a=1&b"),
        (f"http://app.test{M}/?port=16006", f"{LOCAL}/"),
        (f"http://app.test{M}/x?port=15000&secret=1", f"{LOCAL}/"),
        (f"http://app.test{M}/x?port=16006&port=16006", f"{LOCAL}/"),
        ("http://app.test/bob/x?port=16006", f"{LOCAL}/"),
    ],
)
def test_the_referer_in_the_query_form(referer: str, told: str) -> None:
    assert QUERY.page_to_service(referer) == told


# --- Refresh and Link ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "mapped"),
    [
        ("5; url=/next", f"5; url={P}/next"),
        ("0;URL=/next", f"0;URL={P}/next"),
        ("5,/next", f"5,{P}/next"),
        ("5; /next", f"5; {P}/next"),
        ("5 /next", f"5 {P}/next"),
        ("5 ; url = /next", f"5 ; url = {P}/next"),
        ("5; url='/next'", f"5; url='{P}/next'"),
        ('5; url="/next"', f'5; url="{P}/next"'),
        ('5; "/next"', f'5; "{P}/next"'),
        ('5; url="/next', f'5; url="{P}/next'),
        ('5; url="/next" x', f'5; url="{P}/next" x'),
        ("5; url=http://localhost:16006/x", f"5; url={A}{P}/x"),
        ("5; url=next", "5; url=next"),
        ("5; urls=/x", "5; urls=/x"),
        ("5", "5"),
        ("5;", "5;"),
        ("", ""),
    ],
)
def test_refresh(value: str, mapped: str) -> None:
    """The grammar is browsers': the HTML standard's "shared declarative refresh steps"."""
    assert refresh_to_visitor(PATH, value) == mapped
    assert refresh_to_visitor(PATH, mapped) == mapped


@pytest.mark.parametrize(
    ("value", "mapped"),
    [
        ("</a>; rel=next, </b>; rel=prev", f"<{P}/a>; rel=next, <{P}/b>; rel=prev"),
        ("<http://localhost:16006/a>", f"<{A}{P}/a>"),
        ("<https://example.com/a>", "<https://example.com/a>"),
        ("<>", "<>"),
        ("</a", "</a"),
        ("", ""),
        ("<<</a>", f"<<<{P}/a>"),
    ],
)
def test_link(value: str, mapped: str) -> None:
    assert link_to_visitor(PATH, value) == mapped
    assert link_to_visitor(PATH, mapped) == mapped


@pytest.mark.parametrize(
    "value",
    [
        "0" + " " * 60000 + "x",
        "0;url=" + " " * 60000 + "x" + " " * 60000 + "y",
        "0;url='" + " " * 60000 + "y",
        " " * 60000 + "x",
        "0" + ";" * 60000,
        "url" * 20000,
        "<" * 60000,
        "</a>" * 15000,
        "/" * 60000,
        "../" * 20000,
        "a/" * 30000,
        "http:" * 12000,
    ],
    ids=lambda value: value[:12] or "empty",
)
def test_an_odd_value_costs_linear_time(value: str) -> None:
    with costs_little():
        for urls in (PATH, QUERY):
            urls.to_visitor(value)
            refresh_to_visitor(urls, value)
            link_to_visitor(urls, value)
            urls.redirect_path(value)
            urls.page_to_service(value)
