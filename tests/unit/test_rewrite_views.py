"""URLs in headers as other views have them: host form, external identity, full paths, strays."""

from __future__ import annotations

import pytest

from wsgi_portproxy.locate.address import address_of
from wsgi_portproxy.rewrite.csp import csp_to_visitor
from wsgi_portproxy.rewrite.url_headers import referrer_policy_to_visitor
from wsgi_portproxy.rewrite.urls import UrlMapper

from .given import a_query_view, a_target, a_view, costs_little, told_at

A = "http://app.test"
P = "/alice/vision/proxy/16006"
LOCAL = "http://localhost:16006"
OWN = "https://16006.p.test"

HOST = UrlMapper(a_target("/a/b?x=1", prefix="", form="host"), told_at(16006), address_of(OWN))
HOST_BELOW = HOST._replace(target=a_target("/a/b", prefix="/apps", form="host"))
HOST_EXTERNAL = HOST._replace(told=HOST.visited)
PATH = a_view("/a/b?x=1")
EXTERNAL = a_view("/a/b")._replace(told=address_of("http://app.test"))
ON_HTTPS = PATH._replace(visited=address_of("https://app.test"))
QUERY_EXTERNAL = EXTERNAL._replace(target=a_query_view("/a/b").target)
FULL = PATH._replace(base=P)
QUERY_FULL = a_query_view("/a/b?x=1")._replace(base="/alice/vision")

# --- Location ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "mapped"),
    [
        *((url, url) for url in ("/", "/login?next=/x#f", "x", "../x", "?a=1", "#f", "")),
        (f"{LOCAL}/x?a", f"{OWN}/x?a"),
        (LOCAL, f"{OWN}/"),
        (f"{LOCAL}?a", f"{OWN}/?a"),
        (f"{LOCAL}//evil.com/x", f"{OWN}//evil.com/x"),
        (f"{LOCAL}/\\evil.com/x", f"{OWN}/\\evil.com/x"),
        ("//evil.com/x", "//evil.com/x"),
        (f"{OWN}/x", f"{OWN}/x"),
        ("//other.example/x", "//other.example/x"),
        ("/\\other.example/x", "/\\other.example/x"),
    ],
)
def test_in_the_host_form_only_the_origin_is_another(url: str, mapped: str) -> None:
    assert HOST.to_visitor(url) == mapped
    assert HOST.to_visitor(mapped) == mapped


@pytest.mark.parametrize(
    ("urls", "url", "mapped"),
    [
        # Below a SCRIPT_NAME.
        (HOST_BELOW, "/", "/apps/"),
        (HOST_BELOW, "/apps/x", "/apps/x"),
        (HOST_BELOW, "/appsx", "/apps/appsx"),
        (HOST_BELOW, f"{LOCAL}//evil.com/x", f"{OWN}/apps//evil.com/x"),
        (HOST_BELOW, "x", "x"),
        # With the external identity the visitor's host means the service.
        (EXTERNAL, "http://app.test/x", f"{A}{P}/x"),
        (EXTERNAL, "HTTPS://APP.TEST/x", f"{A}{P}/x"),
        (EXTERNAL, f"{A}{P}/x", f"{A}{P}/x"),
        (EXTERNAL, f"{LOCAL}/x", f"{A}{P}/x"),
        (EXTERNAL, "http://app.test:8000/x", "http://app.test:8000/x"),
        (EXTERNAL, "http://app.test.evil/x", "http://app.test.evil/x"),
        (EXTERNAL, "http://user@app.test/x", "http://user@app.test/x"),
        (QUERY_EXTERNAL, "http://app.test/x", f"{A}/alice/vision/x?port=16006"),
        (HOST_EXTERNAL, f"{OWN}/x", f"{OWN}/x"),
        (HOST_EXTERNAL, f"{OWN}//evil.com", f"{OWN}//evil.com"),
        (HOST_EXTERNAL, "https://16007.p.test/x", "https://16007.p.test/x"),
        # One that was told its full path writes the visitor's URLs.
        (FULL, f"{LOCAL}{P}/lab", f"{A}{P}/lab"),
        (FULL, P, P),
        (FULL, "/login", f"{P}/login"),
        (FULL, "x", "x"),
    ],
)
def test_in_other_views(urls: UrlMapper, url: str, mapped: str) -> None:
    assert urls.to_visitor(url) == mapped
    assert urls.to_visitor(mapped) == mapped


# --- What the service is asked for ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("urls", "asked"),
    [
        (PATH, "/a/b?x=1"),
        (HOST, "/a/b?x=1"),
        (HOST_BELOW, "/a/b"),
        (FULL, f"{P}/a/b?x=1"),
        (QUERY_FULL, "/alice/vision/a/b?x=1"),
        (HOST_BELOW._replace(base="/apps"), "/apps/a/b"),
        (FULL.at("/c"), f"{P}/c"),
    ],
)
def test_the_request_target(urls: UrlMapper, asked: str) -> None:
    assert urls.request_target == asked


def test_a_redirect_of_a_service_with_its_full_path_is_followed_below_it() -> None:
    for location, target in [
        ("/alice/vision/c", "/alice/vision/c"),
        ("c", "/alice/vision/a/c"),
        ("/alice/vision/c?y&port=16006", "/alice/vision/c?y"),
    ]:
        path = QUERY_FULL.redirect_path(location)
        assert path is not None
        assert QUERY_FULL.at(path).request_target == target


# --- Origin and Referer --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("urls", "origin", "told"),
    [
        (PATH, "http://app.test", LOCAL),
        (PATH, "http://APP.test:80", LOCAL),
        (PATH, "https://app.test", "https://app.test"),
        (HOST, f"{OWN}:443", LOCAL),
        (HOST, "null", "null"),
        (HOST, "https://16007.p.test", "https://16007.p.test"),
        (EXTERNAL, "http://app.test", "http://app.test"),
        (HOST_EXTERNAL, OWN, OWN),
    ],
)
def test_origin(urls: UrlMapper, origin: str, told: str) -> None:
    assert urls.origin_to_service(origin) == told


@pytest.mark.parametrize(
    ("urls", "referer", "told"),
    [
        (HOST, f"{OWN}/lab?x=1", f"{LOCAL}/lab?x=1"),
        (HOST, OWN, f"{LOCAL}/"),
        (HOST, "https://16007.p.test/secret", "https://16007.p.test/secret"),
        (HOST_BELOW, f"{OWN}/apps/lab?x=1", f"{LOCAL}/lab?x=1"),
        (HOST_BELOW, f"{OWN}/other/secret", f"{LOCAL}/"),
        (EXTERNAL, f"http://app.test{P}/lab?x", f"http://app.test{P}/lab?x"),
        (EXTERNAL, "http://app.test/settings?secret=1", "http://app.test/"),
        (EXTERNAL, "http://app.test", "http://app.test/"),
        (QUERY_EXTERNAL, "http://app.test/alice/vision/x?port=16006", "http://app.test/x"),
        (QUERY_EXTERNAL, "http://app.test/alice/vision/x?port=1&secret", "http://app.test/"),
        (FULL, f"http://app.test{P}/lab?x", f"{LOCAL}{P}/lab?x"),
        (FULL, f"http://app.test{P}", f"{LOCAL}{P}/"),
        (FULL, "http://app.test/secret", f"{LOCAL}/"),
        (QUERY_FULL, "http://app.test/alice/vision/x?port=16006", f"{LOCAL}/alice/vision/x"),
    ],
)
def test_referer(urls: UrlMapper, referer: str, told: str) -> None:
    assert urls.page_to_service(referer) == told


def test_the_origin_of_a_services_pages_as_it_sees_them() -> None:
    for urls in (PATH, HOST, FULL):
        assert urls.told.origin == LOCAL
    assert EXTERNAL.told.origin == "http://app.test"
    assert HOST_EXTERNAL.told.origin == OWN


# --- Content-Security-Policy ---------------------------------------------------------------------

HELMET = "default-src 'self';script-src-attr 'none';upgrade-insecure-requests"


@pytest.mark.parametrize(
    ("policy", "mapped"),
    [
        (HELMET, "default-src 'self';script-src-attr 'none'"),
        (
            "default-src 'self'; Upgrade-Insecure-Requests ; img-src *",
            "default-src 'self'; img-src *",
        ),
        ("upgrade-insecure-requests", ""),
        ("img-src *, upgrade-insecure-requests; font-src *", "img-src *, font-src *"),
        ("default-src 'self'", "default-src 'self'"),
        ("default-src 'self' upgrade-insecure-requests", None),
        ("x-upgrade-insecure-requests; default-src 'none'", None),
        ("", None),
    ],
)
def test_on_plain_http_no_page_is_sent_to_https(policy: str, mapped: str | None) -> None:
    assert csp_to_visitor(PATH, policy) == (policy if mapped is None else mapped)
    assert csp_to_visitor(ON_HTTPS, policy) == policy


# --- Referrer-Policy -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "mapped"),
    [
        ("no-referrer", "same-origin"),
        ("origin", "origin-when-cross-origin"),
        ("strict-origin", "strict-origin-when-cross-origin"),
        (" NO-REFERRER ", "same-origin"),
        *((kept, kept) for kept in ("same-origin", "no-referrer-when-downgrade", "unsafe-url", "")),
        ("no-referrer,strict-origin", "same-origin, strict-origin-when-cross-origin"),
        ("x-new, no-referrer", "x-new, same-origin"),
    ],
)
def test_a_policy_may_hide_the_page_from_others_but_not_from_this_site(
    policy: str, mapped: str
) -> None:
    assert referrer_policy_to_visitor(PATH, policy) == mapped
    assert referrer_policy_to_visitor(PATH, mapped) == mapped


def test_a_long_policy_costs_little() -> None:
    for value in ("," * 60000, "no-referrer," * 5000, " " * 60000, "origin" * 9999):
        with costs_little():
            referrer_policy_to_visitor(PATH, value)
