"""Strays below a SCRIPT_NAME, of pages in the query form, and switched off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import ask
from tests.support.notes import Notes
from tests.support.received import OK, Received, recording
from tests.support.servers import Server, gunicorn
from tests.support.service import answers
from tests.support.urls import path_form, query_form
from tests.support.websocket import Visitor, echoing, handshake

NAVIGATES = [("Sec-Fetch-Mode", "navigate")]


@pytest.fixture(scope="module")
def below() -> Iterator[Server]:
    with gunicorn("tests.support.pageapp:mounted") as server:
        yield server


@pytest.fixture(scope="module")
def in_place() -> Iterator[Server]:
    with gunicorn("tests.support.pageapp:in_place") as server:
        yield server


@pytest.fixture(scope="module")
def without() -> Iterator[Server]:
    with gunicorn("tests.support.pageapp:without_strays") as server:
        yield server


@pytest.mark.parametrize("fields", [[], NAVIGATES], ids=["asset", "navigation"])
def test_below_a_script_name(
    below: Server, service: ServiceFactory, fields: list[tuple[str, str]]
) -> None:
    upstream = service(answers(OK))
    prefix = f"/apps{path_form(upstream.port, '')}"
    headers = [("Referer", f"http://app.test{prefix}/lab"), *fields]
    reply = ask(below.port, "GET", "/apps/static/x?y", headers=headers)
    assert (reply.status, reply.value("Location")) == (307, f"{prefix}/static/x?y")
    [cookie] = reply.values("Set-Cookie")
    assert cookie.startswith(f"portproxy.{upstream.port}=")
    assert f"{path_form(upstream.port, '')}; Path=/apps/; HttpOnly" in cookie


def test_a_login_leads_back_below_the_script_name(below: Server, service: ServiceFactory) -> None:
    upstream = service(answers(OK))
    prefix = f"/apps{path_form(upstream.port, '')}"
    headers = [("Referer", f"http://app.test{prefix}/lab")]
    reply = ask(below.port, "GET", "/apps/a%2Fb?x=1&y", headers=headers, cookie="")
    back = f"/login?next={prefix}/a/b%3Fx%3D1%26y"
    assert (reply.status, reply.value("Location")) == (302, back)


def test_a_page_beside_the_script_name_is_another_apps(
    below: Server, service: ServiceFactory
) -> None:
    upstream = service(answers(OK))
    headers = [("Referer", f"http://app.test{path_form(upstream.port, '/lab')}")]
    reply = ask(below.port, "GET", "/apps/static/x", headers=headers)
    assert (reply.status, reply.text) == (404, "the app has no such page\n")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_of_a_page_in_the_query_form_the_port_is_added(
    in_place: Server, service: ServiceFactory, method: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    page = query_form(upstream.port, "/a/")
    assert ask(in_place.port, "GET", page, headers=NAVIGATES).status == 200  # served in place
    headers = [("Referer", f"http://app.test{page}")]
    for path, expected in [("/alice/vision/a/x.js?v=1", "/a/x.js?v=1"), ("/x.js", "/x.js")]:
        moved = ask(in_place.port, method, path, headers=headers, body=b"x")
        assert (moved.status, moved.value("Location")) == (307, query_form(upstream.port, expected))
        ask(in_place.port, method, moved.value("Location") or "", headers=headers, body=b"x")
        assert seen[-1].target == expected


def test_of_a_page_in_the_query_form_handshakes_find_their_way_too(
    in_place: Server, service: ServiceFactory
) -> None:
    page, upstream = service(answers(OK)), service(echoing)
    reply = ask(in_place.port, "GET", query_form(page.port, "/a/"), headers=NAVIGATES)
    [hint] = reply.values("Set-Cookie")
    assert hint.startswith(f"portproxy.{page.port}=")
    cookie = f"user=alice; {hint.partition(';')[0]}".replace(str(page.port), str(upstream.port))
    with Visitor(in_place.port) as visitor:
        visitor.send(handshake("/ws", cookie=cookie))
        visitor.switched()
        visitor.says_and_hears()


def test_switched_off_nothing_is_a_services_that_does_not_say_so(
    without: Server, service: ServiceFactory
) -> None:
    upstream = service(answers(OK))
    notes = Notes(without)
    page = path_form(upstream.port, "/")
    reply = ask(without.port, "GET", page, headers=NAVIGATES)
    assert (reply.status, reply.values("Set-Cookie")) == (200, [])
    headers = [("Referer", f"http://app.test{page}")]
    for fields in (headers, [*headers, *NAVIGATES]):
        reply = ask(without.port, "GET", "/static/x", headers=fields)
        assert (reply.status, reply.text) == (404, "the app has no such page\n")
    notes.wait_for(f"authorizer path {upstream.port} /", "app GET /static/x", "app GET /static/x")
    assert ask(without.port, "GET", page, cookie="").values("Referrer-Policy") == []


def test_switched_off_no_handshake_is_offered(without: Server, service: ServiceFactory) -> None:
    upstream = service(echoing)
    cookie = f"user=alice; portproxy.{upstream.port}=1764000000000{path_form(upstream.port, '')}"
    fields = [
        (name, value)
        for name, _, value in (
            line.partition(": ") for line in handshake("/ws").decode().split("\r\n")[2:] if line
        )
        if name != "Cookie"
    ]
    reply = ask(without.port, "GET", "/ws", headers=fields, cookie=cookie)
    assert (reply.status, upstream.connections) == (404, 0)
