"""Strays by their Referer: which requests that name no port belong to a service's page."""

from __future__ import annotations

from typing import Any

import pytest

from wsgi_portproxy.errors import NotFound
from wsgi_portproxy.locate.locator import Locator
from wsgi_portproxy.locate.mount import Mount
from wsgi_portproxy.locate.strays import Strays, asks_app_first
from wsgi_portproxy.locate.target import Form, Target
from wsgi_portproxy.locate.visit import Visit

from .given import a_visit, costs_little, environ, table, target_of, words

LOCATOR = Locator(Mount("/{username}/{project}"))
STRAYS = Strays(LOCATOR)
IN_PLACE = Strays(Locator(Mount("/{username}/{project}"), redirect_browsers=False))
WHOLE_APP = Locator(Mount(""))

P = "/alice/vision/proxy/16006"
PAGE = f"http://app.test{P}/lab/tree?x=1"
PARAMS = {"username": "alice", "project": "vision"}


def by_referer(
    url: str = "/static/app.js", referer: str = PAGE, strays: Strays = STRAYS, **fields: Any
) -> Target | None:
    return strays.by_referer(Visit(environ(url, HTTP_REFERER=referer, **fields)))


def location(target: Target | None, locator: Locator = LOCATOR, **fields: Any) -> str:
    assert target is not None
    moved = locator.canonical_location(target, Visit(environ("/", **fields)))
    assert moved is not None
    assert moved[0] == 307
    return moved[1]


# --- By the Referer ------------------------------------------------------------------------------


URLS = words(r"""
    / /static/app.js /api/kernels?1700000000 /x? /a%2Fb%20c%zz?y=%C3%A4&port //double//slash//
    /;a~@:+|\x /a/../b/./c /alice/vision/x /proxy/16006/x
""")


@pytest.mark.parametrize("url", URLS)
def test_what_a_page_asks_for_is_its_services_byte_for_byte(url: str) -> None:
    for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS"):
        target = by_referer(url, method=method)
        assert target == Target(16006, url, P, PARAMS, Form.PATH, False, True)
        assert location(target) == P + url


@pytest.mark.parametrize(
    ("rest", "prefix"),
    [
        *((f"{P}{rest}", P) for rest in words("/ ?x /a/b.css /x?port=abc&port=1 /proxy/17000/")),
        (P, P),
        (f"{P}/x#/proxy/1/", P),
        ("/%61lice/v|/proxy/16006/", "/%61lice/v%7C/proxy/16006"),
    ],
)
@pytest.mark.parametrize("origin", ["http://app.test", "HTTP://APP.test"])
def test_pages_of_a_service(origin: str, rest: str, prefix: str) -> None:
    target = by_referer("/x", origin + rest)
    assert target is not None
    assert (target.port, target.prefix, target.path_qs) == (16006, prefix, "/x")


NO_PAGES = words(f"""
    about:client {P}/ //app.test{P}/ http://app.test http://app.test/
    http://app.test/alice/vision/ http://app.test/login?next={P}/ http://app.test/x{P}/
    http://app.test/alice/proxy/16006/ http://app.test/alice/vision/proxy/README.md
    http://app.test/alice/vision/proxy/016006/ http://app.test/alice/vision/proxy/9999999/
    http://app.test/alice/vision/proxy/%31/ http://app.test/alice/../proxy/16006/
    http://app.test/al%2Fice/vision/proxy/16006/ http://app.test/%ff/vision/proxy/16006/
    http://app.test{P}/../../../../x http://app.test/alice/vision/?port=16006
    http://evil.com{P}/ http://other.app.test{P}/ http://test{P}/ http://app.test.evil.com{P}/
    http://app.test@evil.com{P}/ http://user@app.test{P}/ https://app.test{P}/
    http://app.test:8000{P}/ http://app.test\\{P}/
""")


@pytest.mark.parametrize(
    "referer", ["", f" http://app.test{P}/", f"http://app.test/ {P}/", *NO_PAGES]
)
def test_what_is_no_page_of_a_service_leaves_the_request_to_the_app(referer: str) -> None:
    assert by_referer("/static/app.js", referer) is None
    assert STRAYS.by_hint(a_visit("/static/app.js", HTTP_REFERER=referer), websocket=True) == []


def test_without_a_referer_it_is_the_apps() -> None:
    assert STRAYS.by_referer(Visit(environ("/static/app.js"))) is None


def test_a_browser_that_says_where_a_request_comes_from_is_believed() -> None:
    """A Referer outlives a redirect through another site."""
    assert by_referer(HTTP_SEC_FETCH_SITE="same-origin") is not None
    for site in ("same-site", "cross-site", "none"):
        assert by_referer(HTTP_SEC_FETCH_SITE=site) is None


@pytest.mark.parametrize(
    ("fields", "origin"),
    [
        ({"HTTP_HOST": "App.Test:80"}, "http://app.test"),
        ({"HTTP_HOST": "app.test:443", "wsgi.url_scheme": "https"}, "https://app.test"),
        ({"HTTP_HOST": "[::1]:8000"}, "http://[::1]:8000"),
        ({"HTTP_HOST": ""}, "http://127.0.0.1:8000"),
    ],
)
def test_the_origin_is_the_one_that_browsers_write(fields: dict[str, Any], origin: str) -> None:
    assert by_referer(referer=f"{origin}{P}/", **fields) is not None
    assert by_referer(referer=f"{origin}0{P}/", **fields) is None


@pytest.mark.parametrize(
    "path", ["/..", "/../x", "/a/../../x", "/%2e%2e/x", "/..%2f..%2fx", "/..\\x", "/.//../x"]
)
def test_a_stray_that_climbs_out_of_the_root_is_not_found(path: str) -> None:
    """A browser never sends one, and a hop that resolves it would leave the prefix."""
    with pytest.raises(NotFound):
        by_referer(path)
    assert by_referer(path, "http://app.test/alice/vision/") is None


@pytest.mark.parametrize("target", ["*", "x", "0/x", ""])
def test_a_request_target_that_is_no_path_never_changes_the_port(target: str) -> None:
    """`/proxy/16006` and `0/x` would be `/proxy/160060/x`."""
    found = by_referer(target, method="OPTIONS")
    assert found is None or location(found).startswith(P + "/")
    hints = f"portproxy.16006=1764000000000{P}"
    for one in STRAYS.by_hint(Visit(environ(target, HTTP_COOKIE=hints)), websocket=True):
        assert one.path_qs.startswith("/")


def test_with_the_whole_app_as_the_mount() -> None:
    strays = Strays(WHOLE_APP)
    target = by_referer("//evil.com/x", "http://app.test/proxy/16006/", strays)
    assert target == Target(16006, "//evil.com/x", "/proxy/16006", {}, Form.PATH, False, True)
    assert location(target, WHOLE_APP) == "/proxy/16006//evil.com/x"


def test_another_word_for_the_path_form() -> None:
    strays = Strays(Locator(Mount("/{user}"), path_segment="ports"))
    assert by_referer("/x", "http://app.test/al/ports/16006/", strays) is not None
    assert by_referer("/x", "http://app.test/al/proxy/16006/", strays) is None


# --- Below a SCRIPT_NAME -------------------------------------------------------------------------


def below(url: str, referer: str, strays: Strays = STRAYS) -> Target | None:
    return by_referer(url, referer, strays, script_name="/apps")


@pytest.mark.parametrize("server", ["gunicorn", "gevent"])
def test_below_a_script_name(server: str) -> None:
    page = f"http://app.test/apps{P}/lab"
    target = by_referer("/apps/static/x?y", page, script_name="/apps", server=server)
    assert target == Target(16006, "/static/x?y", f"/apps{P}", PARAMS, Form.PATH, False, True)
    assert location(target) == f"/apps{P}/static/x?y"


@pytest.mark.parametrize(
    "referer",
    [
        f"http://app.test{P}/",
        f"http://app.test/appsx{P}/",
        f"http://app.test/apps/apps{P}/",
        "http://app.test/apps",
    ],
)
def test_a_page_beside_the_script_name_is_another_apps(referer: str) -> None:
    assert below("/apps/static/x", referer) is None


def test_a_page_in_the_query_form_below_a_script_name() -> None:
    page = "http://app.test/apps/alice/vision/?port=16006"
    for url, moved in [
        ("/apps/alice/vision/x.css", "/apps/alice/vision/x.css?port=16006"),
        ("/apps/static/x.css", "/apps/alice/vision/static/x.css?port=16006"),
    ]:
        assert location(below(url, page, IN_PLACE)) == moved


# --- Pages in the query form (redirect_browsers=False) -------------------------------------------

QUERY_PAGE = "http://app.test/alice/vision/a/?x=1&port=16006"


@pytest.mark.parametrize(
    ("url", "moved"),
    [
        ("/static/app.js?v=2", "/alice/vision/static/app.js?v=2&port=16006"),
        ("/alice/vision/a/app.js", "/alice/vision/a/app.js?port=16006"),
        ("/alice/vision/", "/alice/vision/?port=16006"),
        ("/alice/vision?x", "/alice/vision/?x&port=16006"),
        ("/alice/visionary/x", "/alice/vision/alice/visionary/x?port=16006"),
        ("/", "/alice/vision/?port=16006"),
    ],
)
def test_what_a_page_in_the_query_form_asks_for_gets_its_port(url: str, moved: str) -> None:
    target = by_referer(url, QUERY_PAGE, IN_PLACE)
    assert target is not None
    assert (target.is_astray, target.prefix) == (True, "/alice/vision")
    assert location(target) == moved
    again = target_of(LOCATOR, Visit(environ(moved)))
    assert again is not None
    assert (again.port, again.path_qs) == (16006, target.path_qs)


@pytest.mark.parametrize("query", ["", *words("?x=port ?port ?port=abc ?port=1&port=2 ?ports=1")])
def test_a_page_with_no_port_in_its_query_is_the_apps(query: str) -> None:
    assert by_referer("/x.css", f"http://app.test/alice/vision/{query}", IN_PLACE) is None


def test_a_page_in_the_path_form_works_without_promotion_too() -> None:
    assert location(by_referer("/x", PAGE, IN_PLACE)) == f"{P}/x"


def test_of_the_whole_app_the_query_form_never_leads_to_another_site() -> None:
    strays = Strays(Locator(Mount(""), redirect_browsers=False))
    target = by_referer("//evil.com/x", "http://app.test/?port=16006", strays)
    assert location(target, WHOLE_APP) == "/.//evil.com/x?port=16006"


# --- Hostile Referers ----------------------------------------------------------------------------


@table(
    "referer",
    {
        "long": PAGE + "x" * 1_000_000,
        "slashes": PAGE + "/" * 1_000_000,
        "escapes": PAGE + "%2F" * 300_000,
        "dots": PAGE + "/.." * 300_000,
        "fragments": PAGE + "#" * 1_000_000,
        "words": "http://app.test/" + "proxy/" * 200_000,
        "ports-in-the-path": "http://app.test" + "/proxy/16006" * 100_000,
        "ports-in-the-query": "http://app.test/alice/vision/?" + "port=1&" * 150_000,
        "escaped-ports": "http://app.test/alice/vision/?" + "%70ort" * 150_000,
        "origins": "http://app.test" * 70_000 + P,
    },
)
def test_a_huge_referer_costs_little(referer: str) -> None:
    with costs_little():
        for strays in (STRAYS, IN_PLACE):
            by_referer("/x", referer, strays)


@table(
    "url",
    {"path": "/" + "x/" * 500_000, "dots": "/" + "%2e/" * 250_000, "query": "/a?" + "&" * 10**6},
)
def test_a_huge_url_costs_little(url: str) -> None:
    with costs_little():
        by_referer(url)
        by_referer(url, QUERY_PAGE, IN_PLACE)


# --- Who is asked first --------------------------------------------------------------------------


def test_only_a_link_that_is_followed_asks_the_app_first() -> None:
    """A form's fields are for who made the form."""
    for method, mode, app_first in [
        ("GET", "navigate", True),
        ("HEAD", "navigate", True),
        ("POST", "navigate", False),
        ("GET", "cors", False),
        ("GET", "no-cors", False),
        ("DELETE", "cors", False),
    ]:
        made = environ("/x", method=method, HTTP_SEC_FETCH_MODE=mode)
        assert asks_app_first(Visit(made)) is app_first, (method, mode)
