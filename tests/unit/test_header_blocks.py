"""The headers of requests and responses: none has another visitor's, or what it may not have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from wsgi_portproxy.errors import BadRequest
from wsgi_portproxy.locate.address import address_of
from wsgi_portproxy.locate.target import Form, Target
from wsgi_portproxy.rewrite.response_headers import ResponseHeaders
from wsgi_portproxy.settings import Withhold
from wsgi_portproxy.upstream.request import RequestHeaders, UpstreamRequest

from .given import COOKIES, a_target, a_view, environ, told_at

URLS = a_view("/a/b")
# One request, and others that differ from it in one thing each.
SAME: dict[str, Any] = {
    "HTTP_COOKIE": "theme=dark",
    "HTTP_USER_AGENT": "Mozilla/5.0",
    "HTTP_ORIGIN": "http://app.test",
    "HTTP_AUTHORIZATION": "token a",
    "REMOTE_ADDR": "203.0.113.9",
}
OTHERS: dict[str, dict[str, Any]] = {
    "cookie": {"HTTP_COOKIE": "theme=light"},
    "authorization": {"HTTP_AUTHORIZATION": "token b"},
    "address": {"REMOTE_ADDR": "203.0.113.10"},
    "type": {"CONTENT_TYPE": "text/plain"},
    "via": {"HTTP_VIA": "1.1 p"},
    "connection": {"HTTP_CONNECTION": "Authorization"},
    "another-field": {"HTTP_X_A": "1"},
}
VIEWS = {
    "same": URLS,
    "port": URLS._replace(told=told_at(16007), target=replace(URLS.target, port=16007)),
    "project": URLS._replace(target=replace(URLS.target, prefix="/bob/vision/proxy/16006")),
    "form": URLS._replace(target=replace(URLS.target, form=Form.HOST, prefix="")),
    "websocket": URLS._replace(target=replace(URLS.target, websocket=True)),
    "origin": URLS._replace(visited=address_of("http://other.test")),
    "external": URLS._replace(told=URLS.visited),
    "scheme": URLS._replace(told=address_of("https://localhost:16006")),
    "base": URLS._replace(base=URLS.target.prefix),
}


def new() -> RequestHeaders:
    return RequestHeaders(COOKIES, Withhold())


def made(**changes: Any) -> dict[str, Any]:
    return environ(**{**SAME, **changes})


@pytest.mark.parametrize("name", [*OTHERS, *VIEWS])
def test_what_differs_in_one_thing_has_other_headers(name: str) -> None:
    """By the same object, in turns: nothing is kept from one request to the next."""
    fields = new()
    one = (made(), URLS)
    other = (made(**OTHERS.get(name, {})), VIEWS.get(name, URLS))
    expected = new().of(*one), new().of(*other)
    assert (expected[0] == expected[1]) is (name == "same")
    for _ in range(2):
        assert (fields.of(*one), fields.of(*other)) == expected


def test_a_head_as_it_goes_onto_the_wire() -> None:
    request = UpstreamRequest(1, "GET", "/x?y", [("Host", "localhost:1"), ("A", "")])
    assert request.head() == b"GET /x?y HTTP/1.1\r\nHost: localhost:1\r\nA: \r\n\r\n"


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "a\r\nX: 1"])
def test_what_would_be_another_field_is_refused(bad: str) -> None:
    for field in ((f"X{bad}", "1"), ("X", f"1{bad}")):
        with pytest.raises(BadRequest):
            UpstreamRequest(1, "GET", "/", [("Host", "localhost:1"), field]).head()
    for line in (("GET", f"/{bad}"), (f"GET{bad}", "/")):
        with pytest.raises(BadRequest):
            UpstreamRequest(1, *line, [("Host", "localhost:1")]).head()


# --- What a deployment names ---------------------------------------------------------------------


def test_a_deployment_withholds_fields_of_its_own() -> None:
    names = ["X-Corp-User", "x-sso_*"]
    withholding = RequestHeaders(COOKIES, Withhold(headers=names))
    asking = made(HTTP_X_CORP_USER="1", HTTP_X_SSO_ID="2", HTTP_X_SSO="3", HTTP_X_CORP_USER_ID="4")
    fields = dict(withholding.of(asking, URLS))
    assert {name for name in fields if name[:3] in ("X-S", "X-C")} == {"X-Sso", "X-Corp-User-Id"}
    assert "X-Corp-User" in dict(new().of(asking, URLS))  # which another does not


def test_a_deployment_drops_fields_of_services() -> None:
    fields = [("X_Corp.Id", "1"), ("Location", "/x"), ("Content-Length", "2"), ("X-Kept", "3")]
    dropping = ResponseHeaders(COOKIES, ["X-Corp-*", "Location", "Content-Length", "Set-Cookie"])
    given = [*fields, ("Set-Cookie", "a=1")]
    answer = dropping.of(given, URLS, environ())
    assert answer == [("X-Kept", "3"), ("Content-Length", "2"), ("Cache-Control", "private")]
    others = ResponseHeaders(COOKIES).of(given, URLS, environ())
    assert len(others) == len(given) + 1


def test_a_wrong_name_is_told_with_its_setting() -> None:
    with pytest.raises(ValueError, match=r"^headers takes"):
        RequestHeaders(COOKIES, Withhold(headers=["X User"]))
    with pytest.raises(ValueError, match=r"^response_headers takes"):
        ResponseHeaders(COOKIES, ["X User"])


@pytest.mark.parametrize(
    ("path", "target", "added"),
    [
        ("/alice/vision", a_target(prefix="/alice/vision", form="query"), True),
        ("/alice/vision/", a_target(prefix="/alice/vision", form="query"), False),
        ("/alice/vision/proxy/16006", a_target(), True),  # a handshake: all else is redirected
        ("/alice/vision/proxy/16006/x16006", a_target("/x16006"), False),
        ("/a/b/c/d/e/ws", a_target("/a/b/c/d/e/ws", form="stray"), True),
        ("/x", a_target("/x", prefix="", form=Form.HOST), False),
    ],
)
def test_a_cookie_without_a_path_is_kept_to_the_prefix(
    path: str, target: Target, added: bool
) -> None:
    """Browsers take the folder of the visitor's URL, which may lie above it."""
    urls = a_view()._replace(target=target)
    fields = ResponseHeaders(COOKIES).of([("Set-Cookie", "a=1")], urls, environ(path))
    assert ("Path=" in dict(fields)["Set-Cookie"]) is added
