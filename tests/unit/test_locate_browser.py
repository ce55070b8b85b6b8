"""Which requests are a browser's navigation, where it is then sent, and what an Accept asks for."""

from __future__ import annotations

from typing import Any

import pytest

from wsgi_portproxy.locate import Locator, is_navigation, preferred_type
from wsgi_portproxy.mount import Mount

from .given import costs_little, environ

LOCATOR = Locator(Mount("/{username}/{project}"))

CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 "
    "Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"
SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.6 Safari/605.1.15"
)

# What browsers send with a navigation (MDN, "List of default Accept values", and measured).
PAGES = {
    "chrome": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
    "image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
    "firefox-66-to-131": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,"
    "image/webp,image/png,image/svg+xml,*/*;q=0.8",
    "firefox-and-safari": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "edge-18": "text/html, application/xhtml+xml, application/xml; q=0.9, */*; q=0.8",
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
    "video": "video/webm,video/ogg,video/*;q=0.9,application/ogg;q=0.7,audio/*;q=0.6,*/*;q=0.5",
    "event-stream": "text/event-stream",
    "problem-json": "application/problem+json",
    "html-refused": "text/html;q=0, */*",
    "html-last": "application/json, text/html;q=0.5",
    "none": "",
    "garbage": "text html, ;;",
}


@pytest.mark.parametrize("agent", [CHROME, FIREFOX, SAFARI], ids=["chrome", "firefox", "safari"])
@pytest.mark.parametrize("accept", PAGES.values(), ids=PAGES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_without_sec_fetch_a_browser_that_prefers_html_navigates(
    agent: str, accept: str, method: str
) -> None:
    """Browsers send Sec-Fetch to https and localhost only."""
    made = environ(method=method, HTTP_USER_AGENT=agent, HTTP_ACCEPT=accept)
    assert is_navigation(made)


@pytest.mark.parametrize("accept", NO_PAGES.values(), ids=NO_PAGES)
def test_without_sec_fetch_other_requests_of_browsers_do_not(accept: str) -> None:
    assert not is_navigation(environ(HTTP_USER_AGENT=CHROME, HTTP_ACCEPT=accept))


@pytest.mark.parametrize(
    "agent",
    ["", "curl/8.5.0", "python-requests/2.32", "Wget/1.21", "Go-http-client/1.1", "Lynx/2.9"],
)
def test_programs_do_not_navigate_whatever_they_accept(agent: str) -> None:
    assert not is_navigation(environ(HTTP_USER_AGENT=agent, HTTP_ACCEPT=PAGES["chrome"]))
    assert not is_navigation(environ(HTTP_ACCEPT=PAGES["chrome"]))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_without_sec_fetch_other_methods_do_not(method: str) -> None:
    made = environ(method=method, HTTP_USER_AGENT=CHROME, HTTP_ACCEPT=PAGES["chrome"])
    assert not is_navigation(made)


@pytest.mark.parametrize(
    ("mode", "method", "expected"),
    [
        ("navigate", "GET", True),
        ("navigate", "HEAD", True),
        ("navigate", "POST", True),  # a form
        ("cors", "GET", False),
        ("no-cors", "GET", False),
        ("same-origin", "GET", False),
        ("websocket", "GET", False),
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

NAVIGATES: dict[str, Any] = {"HTTP_SEC_FETCH_MODE": "navigate"}


def moved(url: str, *, promote: bool = True, **fields: Any) -> tuple[int, str] | None:
    made = environ(url, **fields)
    target = LOCATOR.locate(made)
    assert target is not None
    return LOCATOR.canonical_location(target, made, promote=promote)


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/alice/vision/?port=16006", "/alice/vision/proxy/16006/"),
        ("/alice/vision?port=16006", "/alice/vision/proxy/16006/"),
        ("/alice/vision/?port=16006&token=a%2Bb", "/alice/vision/proxy/16006/?token=a%2Bb"),
        ("/alice/vision/a/b?x&port=16006", "/alice/vision/proxy/16006/a/b?x"),
        ("/alice/vision/a%2Fb//?port=16006", "/alice/vision/proxy/16006/a%2Fb//"),
        ("/alice/vision//evil.com/?port=16006", "/alice/vision/proxy/16006//evil.com/"),
        ("/alice/vision/\\evil.com/?port=16006", "/alice/vision/proxy/16006/\\evil.com/"),
        ("/%61lice/v|/?port=16006", "/%61lice/v%7C/proxy/16006/"),
    ],
)
def test_a_navigation_moves_to_the_path_form(url: str, location: str) -> None:
    assert moved(url, **NAVIGATES) == (307, location)
    assert moved(url, promote=False, **NAVIGATES) is None
    assert moved(url) is None


def test_a_navigation_of_the_whole_app_stays_on_this_site() -> None:
    locator = Locator(Mount(""))
    for url, location in [
        ("/?port=16006", "/proxy/16006/"),
        ("//evil.com/x?port=16006", "/proxy/16006//evil.com/x"),
        ("/\\evil.com?port=16006", "/proxy/16006/\\evil.com"),
        ("/http://evil.com/?port=16006", "/proxy/16006/http://evil.com/"),
    ]:
        made = environ(url, **NAVIGATES)
        target = locator.locate(made)
        assert target is not None
        assert locator.canonical_location(target, made, promote=True) == (307, location)


def test_below_a_script_name_too() -> None:
    made = environ("/apps/alice/vision/?port=16006", script_name="/apps", **NAVIGATES)
    target = LOCATOR.locate(made)
    assert target is not None
    location = LOCATOR.canonical_location(target, made, promote=True)
    assert location == (307, "/apps/alice/vision/proxy/16006/")


@pytest.mark.parametrize("fields", [{}, NAVIGATES], ids=["program", "browser"])
@pytest.mark.parametrize("promote", [True, False])
def test_the_path_form_without_its_slash_gets_it(fields: dict[str, Any], promote: bool) -> None:
    url = "/alice/vision/proxy/16006"
    assert moved(url, promote=promote, **fields) == (308, url + "/")
    assert moved(url + "?x=1", promote=promote, **fields) == (308, url + "/?x=1")
    assert moved(url + "?", promote=promote, **fields) == (308, url + "/?")
    assert moved(url + "/x", promote=promote, **fields) is None


# --- What an Accept asks for ---------------------------------------------------------------------

TEXT, JSON, HTML = "text/plain", "application/json", "text/html"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        *((accept, HTML) for accept in PAGES.values()),
        ("", TEXT),
        ("*/*", TEXT),
        ("text/*", TEXT),
        ("text/plain", TEXT),
        ("image/png", TEXT),
        ("garbage", TEXT),
        (NO_PAGES["image"], TEXT),
        (NO_PAGES["stylesheet"], TEXT),
        ("application/json", JSON),
        ("APPLICATION/JSON", JSON),
        ("application/*", JSON),
        ("application/json, */*", JSON),
        ("application/json;q=0.9, text/plain;q=0.8, */*;q=0.1", JSON),
        ("application/problem+json", JSON),
        ("application/vnd.api+json, image/png", JSON),
        (NO_PAGES["axios"], JSON),
        (NO_PAGES["jquery-json"], JSON),
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


@pytest.mark.parametrize(
    "accept",
    [
        "," * 60000,
        "a/b" + ";x=y" * 15000 + "!",
        'a/b;x="' + "\\a" * 30000,
        "text/html," * 6000,
        "," + " " * 60000 + "!",
        "a/b;q=" + "1" * 60000,
    ],
    ids=["commas", "parameters", "quotes", "many", "spaces", "quality"],
)
def test_a_long_accept_costs_little(accept: str) -> None:
    with costs_little():
        preferred_type(accept)
