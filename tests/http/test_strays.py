"""Strays end to end: what a service's page asks the app for finds its way, nothing else does."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.received import OK, Received, recording
from tests.support.servers import Server
from tests.support.service import Service, answers
from tests.support.urls import MOUNT, path_form, query_form
from tests.support.variants import Host, noted
from tests.support.websocket import Visitor, echoing, handshake

from .common import read_until

NAVIGATES = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Site", "same-origin")]
MISSING = "the app has no such page\n"
HINT = re.compile(r"portproxy\.hint[0-5]=[0-9]{13}/")


@pytest.fixture
def strays(variants: Mapping[str, Server]) -> Host:
    return noted(variants["plain"])


def of_page(upstream: Service, path: str = "/lab") -> list[tuple[str, str]]:
    """The fields by which a request is known as one of this service's page."""
    return [("Referer", f"http://app.test{path_form(upstream.port, path)}")]


# --- What a page loads and sends -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "framing"),
    [("GET", ""), ("HEAD", ""), ("OPTIONS", ""), ("DELETE", "length"), ("PUT", "chunked")],
)
def test_a_stray_moves_into_the_prefix_and_brings_its_body_along(
    strays: Host, service: ServiceFactory, method: str, framing: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    body = bytes(range(256)) * 1000 if framing else b""
    fields, sent = of_page(upstream), body
    if framing == "length":
        fields.append(("Content-Length", str(len(body))))
    elif framing == "chunked":
        fields.append(("Transfer-Encoding", "chunked"))
        sent = chunk(body) + chunk(b"")
    target = "/api/x%2Fy?a=%zz&b"
    with Client(strays.port) as client:  # one connection: what was not read would be a request
        client.send(request_bytes(method, target, headers=fields) + sent)
        moved = client.reply(method=method)
        assert (moved.status, moved.reason) == (307, "Temporary Redirect")
        assert moved.value("Location") == path_form(upstream.port, target)
        assert moved.value("Cache-Control") == "no-store"
        assert upstream.connections == 0
        strays.notes.wait_for(f"authorizer stray {upstream.port} {target}")
        client.send(request_bytes(method, moved.value("Location") or "", headers=fields) + sent)
        assert client.reply(method=method).status == 200
    strays.notes.wait_for(f"authorizer path {upstream.port} {target}")
    [request] = seen
    assert (request.method, request.target, request.body) == (method, target, body)
    assert request.values("Referer") == [f"http://localhost:{upstream.port}/lab"]


@pytest.mark.parametrize("path", ["/status/200", f"{MOUNT}/api", "/"])
def test_what_a_page_loads_is_its_services_even_where_the_app_has_such_a_page(
    strays: Host, service: ServiceFactory, path: str
) -> None:
    upstream = service(answers(OK))
    fields = [*of_page(upstream), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Site", "same-origin")]
    reply = ask(strays.port, "GET", path, headers=fields)
    assert (reply.status, reply.value("Location")) == (307, path_form(upstream.port, path))
    strays.notes.wait_for(f"authorizer stray {upstream.port} {path}")


PAGE = "http://app.test/alice/vision/proxy/{}/"


@pytest.mark.parametrize(
    "fields",
    [
        [("Referer", "http://app.test/alice/vision/")],
        [("Referer", "http://other.app.test/alice/vision/proxy/{}/")],
        [("Referer", PAGE), ("Sec-Fetch-Site", "cross-site")],
        [],
    ],
    ids=["app", "sibling", "cross-site", "none"],
)
def test_all_else_is_the_apps(
    strays: Host, service: ServiceFactory, fields: list[tuple[str, str]]
) -> None:
    upstream = service(answers(OK))
    headers = [(name, value.format(upstream.port)) for name, value in fields]
    for method in ("GET", "POST"):
        reply = ask(strays.port, method, "/static/x", headers=headers)
        assert (reply.status, reply.text) == (404, MISSING)
        assert strays.notes.new() == [f"app {method} /static/x"]
    assert upstream.connections == 0


# --- Navigations: the app first ------------------------------------------------------------------


def navigate(host: Host, upstream: Service, path: str, method: str = "GET") -> Reply:
    return ask(host.port, method, path, headers=[*of_page(upstream), *NAVIGATES])


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("GET", 200),
        ("HEAD", 200),
        ("GET", 204),
        ("GET", 302),
        ("GET", 403),
        ("GET", 410),
        ("GET", 503),
    ],
)
def test_a_link_back_into_the_app_works(
    strays: Host, service: ServiceFactory, method: str, status: int
) -> None:
    upstream = service(answers(OK))
    path = f"/status/{status}"
    there = ask(strays.port, method, path)
    strays.notes.wait_for(f"app {method} {path}", f"app closed {path}")
    reply = navigate(strays, upstream, path, method)
    assert (reply.status, reply.reason) == (status, "Of The App")
    fields = ("Content-Type", "Location", "X-From", "Set-Cookie", "Transfer-Encoding")
    assert [reply.values(name) for name in fields] == [there.values(name) for name in fields]
    assert reply.body == there.body
    strays.notes.wait_for(f"app {method} {path}", f"app closed {path}")
    assert upstream.connections == 0


def test_the_apps_answer_streams_as_ever(strays: Host, service: ServiceFactory) -> None:
    upstream = service(answers(OK))
    with Client(strays.port) as client:
        client.send(request_bytes("GET", "/stream", headers=[*of_page(upstream), *NAVIGATES]))
        read_until(client, b"first")
        ask(strays.port, "GET", "/go")
        read_until(client, b"second")
        read_until(client, b"0\r\n\r\n")
    strays.notes.wait_for("app GET /stream", "app GET /go", "app closed /stream")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_404_of_the_app_becomes_the_move(
    strays: Host, service: ServiceFactory, method: str
) -> None:
    upstream = service(answers(OK))
    path = "/status/404?x=1"
    reply = navigate(strays, upstream, path, method)
    assert (reply.status, reply.value("Location")) == (307, path_form(upstream.port, path))
    assert reply.value("X-From") is None
    assert not any("sessionid" in cookie for cookie in reply.values("Set-Cookie"))
    assert upstream.connections == 0
    strays.notes.wait_for(
        f"app {method} /status/404",
        "app closed /status/404",
        f"authorizer stray {upstream.port} {path}",
    )


def test_a_form_that_a_page_sends_is_its_services(strays: Host, service: ServiceFactory) -> None:
    """Its fields are for who made the form, and are not shown to the app."""
    upstream = service(answers(OK))
    fields = [*of_page(upstream), *NAVIGATES, ("Origin", "http://app.test")]
    reply = ask(strays.port, "POST", "/login", headers=fields, body=b"password=secret")
    assert (reply.status, reply.value("Location")) == (307, path_form(upstream.port, "/login"))
    strays.notes.wait_for(f"authorizer stray {upstream.port} /login")


# --- Who may not ---------------------------------------------------------------------------------


@pytest.mark.promise("A stray is judged like any request")
@pytest.mark.parametrize(
    ("cookie", "status"), [("user=bob", 403), ("", 302), ("user=eve", 503)], ids=["bob", "-", "eve"]
)
@pytest.mark.parametrize("fields", [[], NAVIGATES], ids=["asset", "navigation"])
def test_a_stray_is_authorized_once_and_refused_as_any_request(
    strays: Host,
    service: ServiceFactory,
    cookie: str,
    status: int,
    fields: list[tuple[str, str]],
) -> None:
    upstream = service(answers(OK))
    headers = [*of_page(upstream), *fields]
    reply = ask(strays.port, "GET", "/x", headers=headers, cookie=cookie)
    assert reply.status == status
    # A login leads back to where the stray belongs: there is no Referer then.
    back = f"/login?next={path_form(upstream.port, '/x')}"
    assert reply.value("Location") == (back if status == 302 else None)
    asked = [line for line in strays.notes.new() if line.startswith("authorizer")]
    assert asked == [f"authorizer stray {upstream.port} /x"]
    assert upstream.connections == 0


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([("Origin", "http://evil.com")], 403),
        ([("Origin", "null"), ("Sec-Fetch-Site", "cross-site")], 404),
        ([("Origin", "null"), ("Sec-Fetch-Site", "same-origin")], 307),
        ([("Origin", "http://app.test"), ("Service-Worker", "script")], 403),
        ([("Origin", "http://app.test")], 307),
    ],
    ids=["foreign", "null-cross-site", "null-same-origin", "service-worker", "own"],
)
def test_the_same_origin_check_counts_for_strays(
    strays: Host, service: ServiceFactory, fields: list[tuple[str, str]], status: int
) -> None:
    upstream = service(answers(OK))
    reply = ask(strays.port, "POST", "/x", headers=[*of_page(upstream), *fields], body=b"x")
    assert reply.status == status
    assert upstream.connections == 0


def test_a_stray_of_a_port_that_is_not_open_is_refused(strays: Host) -> None:
    fields = [("Referer", "http://app.test/alice/vision/proxy/5000/")]
    reply = ask(strays.port, "GET", "/x", headers=fields)
    assert (reply.status, reply.text.splitlines()[0]) == (
        403,
        "Port 5000 is outside allowed range (10000-20000)",
    )
    assert strays.notes.new() == []


# --- Where the page of a refusal is the app's ----------------------------------------------------


@pytest.mark.parametrize("url", ["/alice/vision/proxy/{}/lab", "/alice/vision/?port={}"])
def test_a_refusal_at_a_services_url_keeps_its_page_from_straying(
    strays: Host, service: ServiceFactory, url: str
) -> None:
    """Its style sheet and its login form are the app's, and its URL would be their Referer."""
    reply = ask(strays.port, "GET", url.format(service(answers(OK)).port), cookie="")
    assert reply.status == 302
    assert (reply.value("Location") or "").startswith("/login?next=/alice/vision/")
    assert reply.values("Referrer-Policy") == ["strict-origin"]


def test_a_services_policy_does_not_hide_its_pages_from_this_site(
    strays: Host, service: ServiceFactory
) -> None:
    upstream = service(answers(OK.replace(b"\r\n", b"\r\nReferrer-Policy: no-referrer\r\n", 1)))
    reply = ask(strays.port, "GET", path_form(upstream.port, "/"))
    assert reply.values("Referrer-Policy") == ["same-origin"]


# --- Below a SCRIPT_NAME, of pages in the query form, and switched off ---------------------------


@pytest.mark.parametrize("fields", [[], NAVIGATES], ids=["asset", "navigation"])
def test_below_a_script_name(
    variants: Mapping[str, Server], service: ServiceFactory, fields: list[tuple[str, str]]
) -> None:
    below, upstream = variants["pages_mounted"], service(answers(OK))
    prefix = f"/apps{path_form(upstream.port, '')}"
    headers = [("Referer", f"http://app.test{prefix}/lab"), *fields]
    reply = ask(below.port, "GET", "/apps/static/x?y", headers=headers)
    assert (reply.status, reply.value("Location")) == (307, f"{prefix}/static/x?y")
    [cookie] = reply.values("Set-Cookie")
    assert HINT.match(cookie)
    assert f"{path_form(upstream.port, '')}; Path=/apps/; HttpOnly" in cookie
    # A login leads back there, too.
    reply = ask(below.port, "GET", "/apps/a%2Fb?x=1&y", headers=headers, cookie="")
    back = f"/login?next={prefix}/a/b%3Fx%3D1%26y"
    assert (reply.status, reply.value("Location")) == (302, back)


def test_of_a_page_in_the_query_form_the_port_is_added(
    variants: Mapping[str, Server], service: ServiceFactory
) -> None:
    seen: list[Received] = []
    in_place, upstream = variants["in_place"], service(recording(seen))
    page = query_form(upstream.port, "/a/")
    assert ask(in_place.port, "GET", page, headers=NAVIGATES).status == 200  # served in place
    headers = [("Referer", f"http://app.test{page}")]
    for path, expected in [("/alice/vision/a/x.js?v=1", "/a/x.js?v=1"), ("/x.js", "/x.js")]:
        moved = ask(in_place.port, "POST", path, headers=headers, body=b"x")
        assert (moved.status, moved.value("Location")) == (307, query_form(upstream.port, expected))
        ask(in_place.port, "POST", moved.value("Location") or "", headers=headers, body=b"x")
        assert seen[-1].target == expected


def test_of_a_page_in_the_query_form_handshakes_find_their_way_too(
    variants: Mapping[str, Server], service: ServiceFactory
) -> None:
    in_place, page, upstream = variants["in_place"], service(answers(OK)), service(echoing)
    reply = ask(in_place.port, "GET", query_form(page.port, "/a/"), headers=NAVIGATES)
    [hint] = reply.values("Set-Cookie")
    assert HINT.match(hint)
    assert f"{path_form(page.port, '')}; Path=/; HttpOnly" in hint
    cookie = f"user=alice; {hint.partition(';')[0]}".replace(str(page.port), str(upstream.port))
    with Visitor(in_place.port) as visitor:
        visitor.send(handshake("/ws", cookie=cookie))
        visitor.switched()
        visitor.says_and_hears()


def test_switched_off_nothing_is_a_services_that_does_not_say_so(
    variants: Mapping[str, Server], service: ServiceFactory
) -> None:
    without, upstream = noted(variants["without_strays"]), service(answers(OK))
    page = path_form(upstream.port, "/")
    reply = ask(without.port, "GET", page, headers=NAVIGATES)
    assert (reply.status, reply.values("Set-Cookie")) == (200, [])
    headers = [("Referer", f"http://app.test{page}")]
    for fields in (headers, [*headers, *NAVIGATES]):
        reply = ask(without.port, "GET", "/static/x", headers=fields)
        assert (reply.status, reply.text) == (404, MISSING)
    without.notes.wait_for(
        f"authorizer path {upstream.port} /", "app GET /static/x", "app GET /static/x"
    )
    assert ask(without.port, "GET", page, cookie="").values("Referrer-Policy") == []


def test_switched_off_no_handshake_is_offered(
    variants: Mapping[str, Server], service: ServiceFactory
) -> None:
    upstream = service(echoing)
    cookie = f"user=alice; portproxy.hint0=1764000000000{path_form(upstream.port, '')}"
    with Client(variants["without_strays"].port) as client:
        client.send(handshake("/ws", cookie=cookie))
        assert (client.reply().status, upstream.connections) == (404, 0)
