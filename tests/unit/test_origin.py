"""Whose page made a request, by Origin and Sec-Fetch-Site."""

from __future__ import annotations

from typing import Any

import pytest

from wsgi_portproxy.errors import ForeignOrigin, Refused
from wsgi_portproxy.locate.origin import own_address
from wsgi_portproxy.locate.target import Form
from wsgi_portproxy.locate.visit import Visit
from wsgi_portproxy.policy.same_origin import check_same_origin

from .given import a_target, environ, table, words

UNSAFE = ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"]
SAFE = ["GET", "HEAD", "OPTIONS"]


def check(*, websocket: bool = False, form: Form = Form.PATH, **fields: Any) -> None:
    check_same_origin(Visit(environ(**fields)), a_target(websocket=websocket, form=form))


def is_foreign(**fields: Any) -> bool:
    try:
        check(**fields)
    except ForeignOrigin:
        return True
    return False


def test_a_foreign_request_is_403() -> None:
    with pytest.raises(ForeignOrigin) as caught:
        check(method="POST", HTTP_ORIGIN="http://evil.com")
    assert caught.value.status == 403
    assert "evil" not in caught.value.message + caught.value.hint


# Other hosts, schemes and ports, two at once, us in the place of something else; no origins at all.
FOREIGN = words(r"""
    http://evil.com https://app.test http://app.test:8080 http://other.test http://x.app.test
    http://test http://app.test.evil http://app.tes null http://user@app.test
    http://app.test@evil.com http://app.test:80@evil.com http://app.test,http://app.test
    http://app.test/ http://app.test?x http://app.test#x http://app.test\@evil.com app.test
    //app.test file:// chrome-extension://abcdef ws://app.test http://app.test.
    http://localhost:16006
""")
SPACED = ["http://app.test, http://app.test", "http://evil.com http://app.test", "http://app.test "]


@pytest.mark.parametrize("origin", ["", "http://app.test\0", *SPACED, *FOREIGN])
def test_a_foreign_origin(origin: str) -> None:
    for method in UNSAFE:
        assert is_foreign(method=method, HTTP_ORIGIN=origin)
    assert is_foreign(websocket=True, HTTP_ORIGIN=origin)


@pytest.mark.parametrize(
    "origin", ["http://app.test", "HTTP://APP.TEST", "http://app.test:80", "http://App.Test:80"]
)
@pytest.mark.parametrize("host", ["app.test", "APP.test", "app.test:80"])
def test_our_own_origin(origin: str, host: str) -> None:
    for fields in ({"method": "POST"}, {"websocket": True}):
        assert not is_foreign(HTTP_ORIGIN=origin, HTTP_HOST=host, **fields)


def test_clients_that_are_no_browsers_pass() -> None:
    for method in (*SAFE, *UNSAFE):
        assert not is_foreign(method=method)
    assert not is_foreign(websocket=True)


def test_a_foreign_origin_may_read_what_it_could_link_to() -> None:
    """Whether a page may read the answer is said by the service's CORS fields."""
    for method in SAFE:
        assert not is_foreign(method=method, HTTP_ORIGIN="http://evil.com")


@pytest.mark.parametrize("method", UNSAFE)
def test_a_form_of_a_page_that_hides_its_referer_is_ours(method: str) -> None:
    """Browsers send `null` for it, and say in the other field that it is the same origin."""
    fields = {"HTTP_ORIGIN": "null", "HTTP_SEC_FETCH_SITE": "same-origin"}
    assert not is_foreign(method=method, **fields)
    assert is_foreign(websocket=True, **fields)  # of a handshake no policy hides the Origin
    for site in ("cross-site", "same-site", "none"):
        assert is_foreign(method=method, **{**fields, "HTTP_SEC_FETCH_SITE": site})
    assert is_foreign(method=method, **{**fields, "HTTP_ORIGIN": "http://evil.com"})


# --- Sec-Fetch-Site ------------------------------------------------------------------------------

NAVIGATION = {"HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_DEST": "document"}


@pytest.mark.parametrize(
    ("site", "unsafe", "safe"),  # whether such a method passes; of a WebSocket as of an unsafe one
    [
        ("same-origin", True, True),
        (" Same-Origin ", True, True),
        ("none", True, True),
        ("same-site", False, True),
        ("cross-site", False, False),
        ("CROSS-SITE", False, False),
        ("cross-site, same-origin", False, False),
        ("", False, False),
    ],
)
def test_the_site_that_asked(site: str, unsafe: bool, safe: bool) -> None:
    for method in SAFE:
        assert is_foreign(method=method, HTTP_SEC_FETCH_SITE=site) is not safe
    for method in UNSAFE:
        assert is_foreign(method=method, HTTP_SEC_FETCH_SITE=site) is not unsafe
        # Both are looked at: a right one does not excuse a wrong one.
        fields = {"HTTP_SEC_FETCH_SITE": site, "HTTP_ORIGIN": "http://app.test"}
        assert is_foreign(method=method, **fields) is not unsafe
        assert is_foreign(method=method, **{**fields, "HTTP_ORIGIN": "http://evil.com"})
    assert is_foreign(websocket=True, HTTP_SEC_FETCH_SITE=site) is not unsafe


@table(
    "fields, passes",
    {
        "link": ({}, True),
        "iframe": ({"HTTP_SEC_FETCH_DEST": "iframe"}, False),
        "embed": ({"HTTP_SEC_FETCH_DEST": "embed"}, False),
        "odd-destination": ({"HTTP_SEC_FETCH_DEST": ""}, False),
        "fetch": ({"HTTP_SEC_FETCH_MODE": "cors"}, False),
        "image": ({"HTTP_SEC_FETCH_MODE": "no-cors"}, False),
        "head": ({"method": "HEAD"}, False),
        "preflight": ({"method": "OPTIONS"}, False),
        "form": ({"method": "POST"}, False),
        "websocket": ({"websocket": True}, False),
    },
)
def test_from_another_site_only_a_followed_link_passes(
    fields: dict[str, Any], passes: bool
) -> None:
    assert is_foreign(HTTP_SEC_FETCH_SITE="cross-site", **{**NAVIGATION, **fields}) is not passes


def test_an_older_browser_says_no_destination() -> None:
    assert not is_foreign(HTTP_SEC_FETCH_SITE="cross-site", HTTP_SEC_FETCH_MODE="navigate")
    assert is_foreign(HTTP_SEC_FETCH_SITE="cross-site", HTTP_SEC_FETCH_DEST="document")


# --- Service workers -----------------------------------------------------------------------------


def test_a_service_worker_has_its_place_in_the_path_form_only() -> None:
    """In the query form its scope would be the app's own pages."""
    for value in ("script", ""):
        with pytest.raises(Refused):
            check(form=Form.QUERY, HTTP_SERVICE_WORKER=value)
        check(form=Form.PATH, HTTP_SERVICE_WORKER=value)
        check(form=Form.HOST, HTTP_SERVICE_WORKER=value)


# --- What our own origin is ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "origin"),
    [
        ({}, "http://app.test"),
        ({"HTTP_HOST": "App.Test:80"}, "http://app.test"),
        ({"HTTP_HOST": "app.test:8000"}, "http://app.test:8000"),
        ({"HTTP_HOST": "[::1]:8000"}, "http://[::1]:8000"),
        ({"wsgi.url_scheme": "https"}, "https://app.test"),
        ({"wsgi.url_scheme": "https", "HTTP_HOST": "app.test:443"}, "https://app.test"),
        ({"wsgi.url_scheme": "https", "HTTP_HOST": "app.test:80"}, "https://app.test:80"),
        ({"HTTP_HOST": ""}, "http://127.0.0.1:8000"),
    ],
)
def test_our_own_origin_by_scheme_and_host(fields: dict[str, Any], origin: str) -> None:
    assert own_address(environ(**fields)).origin == origin


@pytest.mark.parametrize("host", ["user@app.test", "app.test/x", "app.test?x", "a b", "a,b", "a#b"])
def test_an_odd_host_is_no_origin_of_anybody(host: str) -> None:
    assert is_foreign(method="POST", HTTP_HOST=host, HTTP_ORIGIN=f"http://{host}")
    assert is_foreign(method="POST", HTTP_HOST=host, HTTP_ORIGIN="http://app.test")


def test_without_a_host_the_servers_name_is_ours() -> None:
    made = environ(method="POST", HTTP_ORIGIN="http://127.0.0.1:8000")
    del made["HTTP_HOST"]
    check_same_origin(Visit(made), a_target())
