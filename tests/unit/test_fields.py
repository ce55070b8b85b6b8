"""Fields that are kept: nobody is sent another's, and no more of them are kept than is said."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from typing import Any

import pytest

from wsgi_portproxy.errors import BadRequest
from wsgi_portproxy.locate.address import address_of
from wsgi_portproxy.locate.target import Form, Target
from wsgi_portproxy.respond.headers import ResponseFields
from wsgi_portproxy.upstream.request import Fields, RequestFields, fields_of

from .given import COOKIES, a_target, a_view, environ, table, told_at

VIEW = a_view("/a/b")
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
    "same": VIEW,
    "port": VIEW._replace(told=told_at(16007), target=replace(VIEW.target, port=16007)),
    "project": VIEW._replace(target=replace(VIEW.target, prefix="/bob/vision/proxy/16006")),
    "form": VIEW._replace(target=replace(VIEW.target, form=Form.HOST, prefix="")),
    "websocket": VIEW._replace(target=replace(VIEW.target, websocket=True)),
    "origin": VIEW._replace(visited=address_of("http://other.test")),
    "external": VIEW._replace(told=VIEW.visited),
    "scheme": VIEW._replace(told=address_of("https://localhost:16006")),
    "base": VIEW._replace(base=VIEW.target.prefix),
}


def new() -> RequestFields:
    return RequestFields(COOKIES, withhold_authorization=False)


def made(**changes: Any) -> dict[str, Any]:
    return environ(**{**SAME, **changes})


@pytest.mark.parametrize("name", [*OTHERS, *VIEWS])
def test_what_differs_in_one_thing_is_made_anew(name: str) -> None:
    """Each in turns with the first: asked first, asked second, and asked again."""
    one = (made(), VIEW)
    other = (made(**OTHERS.get(name, {})), VIEWS.get(name, VIEW))
    expected = {0: new().of(*one), 1: new().of(*other)}
    assert (expected[0] == expected[1]) is (name == "same")
    for order in itertools.product((0, 1), repeat=3):
        fields = new()
        for which in order:
            assert fields.of(*(one, other)[which]) == expected[which]


@table(
    "changes",
    {
        "path": {"PATH_INFO": "/alice/vision/c", "wsgi.input": None},
        "port-of-the-server": {"SERVER_PORT": "8001"},
    },
)
def test_what_asks_alike_has_the_same_fields(changes: dict[str, Any]) -> None:
    fields = new()
    kept = fields.of(made(), VIEW)
    assert fields.of(made(**changes), VIEW.at("/c")) is kept


@pytest.mark.parametrize(("long", "view"), [("x" * 9000, "same"), ("x", "websocket")])
def test_neither_what_is_long_nor_handshakes_are_kept(long: str, view: str) -> None:
    """They cost memory, and are seldom the same."""
    fields, asking = new(), made(HTTP_X_A=long)
    one, other = fields.of(asking, VIEWS[view]), fields.of(asking, VIEWS[view])
    assert one == other
    assert one is not other


def test_so_many_are_kept_and_no_more() -> None:
    fields = new()
    first = fields.of(made(), VIEW)
    references = sys.getrefcount(first)
    for number in range(300):
        fields.of(made(HTTP_X_A=str(number)), VIEW)
    assert sys.getrefcount(first) < references
    assert fields.of(made(), VIEW) == first


def test_fields_as_they_go_onto_the_wire() -> None:
    fields = fields_of([("Host", "localhost:1"), ("A", "")])
    assert fields.text == "Host: localhost:1\r\nA: \r\n"
    added = fields.adding(("Content-Length", "3"))
    assert added == Fields([*fields.headers, ("Content-Length", "3")], added.text)
    assert added.text == fields.text + "Content-Length: 3\r\n"


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "a\r\nX: 1"])
def test_what_would_be_another_field_is_refused(bad: str) -> None:
    for field in ((f"X{bad}", "1"), ("X", f"1{bad}")):
        with pytest.raises(BadRequest):
            fields_of([("Host", "localhost:1"), field])
    with pytest.raises(BadRequest):
        new().of(made(HTTP_X_A=f"1{bad}"), VIEW)


# --- What a deployment names ---------------------------------------------------------------------


def test_a_deployment_withholds_fields_of_its_own() -> None:
    names = ["X-Corp-User", "x-sso_*"]
    withholding = RequestFields(COOKIES, withhold_authorization=False, withhold_headers=names)
    asking = made(HTTP_X_CORP_USER="1", HTTP_X_SSO_ID="2", HTTP_X_SSO="3", HTTP_X_CORP_USER_ID="4")
    for _ in range(2):  # made, and kept
        fields = dict(withholding.of(asking, VIEW).headers)
        assert {name for name in fields if name[:3] in ("X-S", "X-C")} == {
            "X-Sso",
            "X-Corp-User-Id",
        }
    assert "X-Corp-User" in dict(new().of(asking, VIEW).headers)  # which another does not


def test_a_deployment_drops_fields_of_services() -> None:
    fields = [("X_Corp.Id", "1"), ("Location", "/x"), ("Content-Length", "2"), ("X-Kept", "3")]
    dropping = ResponseFields(
        COOKIES, drop_response_headers=["X-Corp-*", "Location", "Content-Length", "Set-Cookie"]
    )
    given = [*fields, ("Set-Cookie", "a=1")]
    answer = dropping.of(given, VIEW, environ())
    assert answer == [("X-Kept", "3"), ("Content-Length", "2"), ("Cache-Control", "private")]
    others = ResponseFields(COOKIES).of(given, VIEW, environ())
    assert len(others) == len(given) + 1


def test_a_wrong_name_is_told_with_its_setting() -> None:
    with pytest.raises(ValueError, match="withhold_headers takes"):
        RequestFields(COOKIES, withhold_authorization=False, withhold_headers=["X User"])
    with pytest.raises(TypeError, match="drop_response_headers must be"):
        ResponseFields(COOKIES, drop_response_headers="X-User")


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
    view = a_view()._replace(target=target)
    fields = ResponseFields(COOKIES).of([("Set-Cookie", "a=1")], view, environ(path))
    assert ("Path=" in dict(fields)["Set-Cookie"]) is added
