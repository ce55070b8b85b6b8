"""Which requests are a browser's navigation, where it is then sent, and what an Accept asks for."""

from __future__ import annotations

from typing import Any

import pytest

from wsgi_portproxy.locate.browser import is_navigation, preferred_type
from wsgi_portproxy.locate.locator import Locator
from wsgi_portproxy.locate.mount import Mount
from wsgi_portproxy.locate.visit import Visit

from .given import costs_little, environ, table, target_of

LOCATOR = Locator(Mount("/{username}/{project}"))
IN_PLACE = Locator(Mount("/{username}/{project}"), redirect_browsers=False)

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0"
NAVIGATES: dict[str, Any] = {"HTTP_SEC_FETCH_MODE": "navigate"}

# What browsers send with a navigation (MDN, "List of default Accept values", and measured).
PAGES = {
    "chrome": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
    "image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
    "firefox-and-safari": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "internet-explorer-11": "text/html, application/xhtml+xml, image/jxr, */*",
    "lynx": "text/html, text/plain, text/sgml, text/css, application/xhtml+xml, */*;q=0.01",
    "turbo": "text/html, application/xhtml+xml",
}
# What they send with everything else, and what programs send.
NO_PAGES = {
    "fetch": "*/*",
    "axios": "application/json, text/plain, */*",
    "jquery-json": "application/json, text/javascript, */*; q=0.01",
    "image": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "stylesheet": "text/css,*/*;q=0.1",
    "event-stream": "text/event-stream",
    "html-refused": "text/html;q=0, */*",
    "html-last": "application/json, text/html;q=0.5",
    "none": "",
    "garbage": "text html, ;;",
}


@table("accept", PAGES)
def test_without_sec_fetch_a_browser_that_prefers_html_navigates(accept: str) -> None:
    """Browsers send Sec-Fetch to https and localhost only."""
    fields: dict[str, Any] = {"HTTP_USER_AGENT": CHROME, "HTTP_ACCEPT": accept}
    for method in ("GET", "HEAD"):
        assert is_navigation(environ(method=method, **fields))
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert not is_navigation(environ(method=method, **fields))


@table("accept", NO_PAGES)
def test_without_sec_fetch_other_requests_of_browsers_do_not(accept: str) -> None:
    assert not is_navigation(environ(HTTP_USER_AGENT=CHROME, HTTP_ACCEPT=accept))


def test_programs_do_not_navigate_whatever_they_accept() -> None:
    for agent in ("", "curl/8.5.0", "Wget/1.21", "Lynx/2.9", "x Mozilla/5.0"):
        assert not is_navigation(environ(HTTP_USER_AGENT=agent, HTTP_ACCEPT=PAGES["chrome"]))
    assert not is_navigation(environ(HTTP_ACCEPT=PAGES["chrome"]))
    assert not is_navigation(environ(HTTP_USER_AGENT=CHROME))


@pytest.mark.parametrize(
    ("mode", "method", "expected"),
    [
        ("navigate", "GET", True),
        ("navigate", "HEAD", True),
        ("navigate", "POST", True),  # a form
        ("cors", "GET", False),
        ("no-cors", "GET", False),
        ("", "GET", False),
    ],
)
@pytest.mark.parametrize("accept", [PAGES["chrome"], "*/*"], ids=["html", "any"])
def test_with_sec_fetch_only_its_mode_counts(
    mode: str, method: str, expected: bool, accept: str
) -> None:
    """A page's own fetch() may ask for text/html too."""
    fields: dict[str, Any] = {
        "HTTP_USER_AGENT": CHROME,
        "HTTP_ACCEPT": accept,
        "HTTP_SEC_FETCH_MODE": mode,
    }
    assert is_navigation(environ(method=method, **fields)) is expected


# --- Where it is sent ----------------------------------------------------------------------------


def moved(url: str, *, locator: Locator = LOCATOR, **fields: Any) -> tuple[int, str] | None:
    made = environ(url, **fields)
    target = target_of(locator, Visit(made))
    assert target is not None
    return locator.canonical_location(target, Visit(made))


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/alice/vision/?port=16006", "/alice/vision/proxy/16006/"),
        ("/alice/vision?port=16006", "/alice/vision/proxy/16006/"),
        ("/alice/vision/a%2Fb//?x&port=16006", "/alice/vision/proxy/16006/a%2Fb//?x"),
        ("/alice/vision//evil.com/?port=16006", "/alice/vision/proxy/16006//evil.com/"),
        ("/%61lice/v|/?port=16006", "/%61lice/v%7C/proxy/16006/"),
    ],
)
def test_a_navigation_moves_to_the_path_form(url: str, location: str) -> None:
    assert moved(url, **NAVIGATES) == (307, location)
    assert moved(url, locator=IN_PLACE, **NAVIGATES) is None
    assert moved(url) is None


def test_a_navigation_of_the_whole_app_stays_on_this_site() -> None:
    for path in ("/", "//evil.com/x", "/\\evil.com", "/http://evil.com/"):
        made = moved(f"{path}?port=16006", locator=Locator(Mount("")), **NAVIGATES)
        assert made == (307, f"/proxy/16006{path}")


def test_below_a_script_name_too() -> None:
    made = moved("/apps/alice/vision/?port=16006", script_name="/apps", **NAVIGATES)
    assert made == (307, "/apps/alice/vision/proxy/16006/")


@pytest.mark.parametrize("fields", [{}, NAVIGATES], ids=["program", "browser"])
@pytest.mark.parametrize("locator", [LOCATOR, IN_PLACE], ids=["redirects", "does-not"])
def test_the_path_form_without_its_slash_gets_it(fields: dict[str, Any], locator: Locator) -> None:
    url = "/alice/vision/proxy/16006"
    for query in ("", "?x=1", "?"):
        assert moved(url + query, locator=locator, **fields) == (308, f"{url}/{query}")
    assert moved(url + "/x", locator=locator, **fields) is None


# --- What an Accept asks for ---------------------------------------------------------------------

TEXT, JSON, HTML = "text/plain", "application/json", "text/html"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        *((accept, HTML) for accept in PAGES.values()),
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        ("garbage", TEXT),
        (NO_PAGES["image"], TEXT),
        ("application/json", JSON),
        ("APPLICATION/JSON", JSON),
        ("application/*", JSON),
        ("application/json;q=0.9, text/plain;q=0.8, */*;q=0.1", JSON),
        ("application/problem+json", JSON),
        (NO_PAGES["axios"], JSON),
        ("text/plain, application/json;q=0.1", TEXT),
        ("application/json;q=0, */*", TEXT),
        ("text/html;q=0.3, application/json;q=0.2", HTML),
        ("text/html;q=0.2, application/json;q=0.3", JSON),
        ("text/html, application/json", HTML),
        ("application/json, text/html", JSON),
        ("*/*, text/html", HTML),
    ],
)
def test_what_an_accept_prefers(accept: str, expected: str) -> None:
    assert preferred_type(accept) == expected


LONG = "a/b, " * 2000  # beyond what is read


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (f"text/html, {LONG}, application/json", HTML),
        (f"{LONG}, text/html", TEXT),
        ("text/html;q=0.5, application/json;q=0.1" + f", {LONG}, application/json;q=0.9", HTML),
    ],
    ids=["begins", "ends", "both"],
)
def test_of_a_long_accept_the_beginning_counts(accept: str, expected: str) -> None:
    assert preferred_type(accept) == expected


@table(
    "accept",
    {
        "huge": "text/html;q=0.5," * 50_000,
        "huge-quotes": 'a/b;x="' + "\\a" * 400_000,
        "commas": "," * 60000,
        "parameters": "a/b" + ";x=y" * 15000 + "!",
        "quotes": 'a/b;x="' + "\\a" * 30000,
        "many": "text/html," * 6000,
        "spaces": "," + " " * 60000 + "!",
        "quality": "a/b;q=" + "1" * 60000,
    },
)
def test_a_long_accept_costs_little(accept: str) -> None:
    with costs_little():
        for number in range(5):  # each time another, so that none is remembered
            preferred_type(f"{accept}{number}")
            preferred_type(f"x/{number},{accept}")
