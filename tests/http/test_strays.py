"""Strays end to end: what a service's page asks the app for finds its way, nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.notes import Notes
from tests.support.received import OK, Received, recording
from tests.support.servers import Server, gunicorn
from tests.support.service import Service, answers
from tests.support.urls import MOUNT, path_form

from .common import read_until

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"]
NAVIGATES = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Site", "same-origin")]
MISSING = "the app has no such page\n"


class Host(NamedTuple):
    server: Server
    port: int
    notes: Notes


@pytest.fixture(scope="module")
def plain_server() -> Iterator[Server]:
    with gunicorn("tests.support.pageapp:plain") as server:
        yield server
        output = server.output()  # eve's is the only failure, and is told each time
        assert output.count("Traceback") == output.count("RuntimeError: a database is down")


@pytest.fixture
def strays(plain_server: Server) -> Host:
    return Host(plain_server, plain_server.port, Notes(plain_server))


def of_page(upstream: Service, path: str = "/lab") -> list[tuple[str, str]]:
    """The fields by which a request is known as one of this service's page."""
    return [("Referer", f"http://app.test{path_form(upstream.port, path)}")]


# --- What a page loads and sends -----------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("framing", ["none", "length", "chunked"])
def test_a_stray_moves_into_the_prefix_and_brings_its_body_along(
    strays: Host, service: ServiceFactory, method: str, framing: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    body = bytes(range(256)) * 1000 if framing != "none" else b""
    fields = of_page(upstream)
    if framing == "length":
        fields.append(("Content-Length", str(len(body))))
    elif framing == "chunked":
        fields.append(("Transfer-Encoding", "chunked"))
    sent = chunk(body) + chunk(b"") if framing == "chunked" else body
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


def test_what_moved_leads_on(strays: Host, service: ServiceFactory) -> None:
    """A style sheet's fonts have the style sheet as their Referer."""
    upstream = service(answers(OK))
    reply = ask(strays.port, "GET", "/static/a.css", headers=of_page(upstream))
    assert reply.status == 307
    css = reply.value("Location") or ""
    assert css == path_form(upstream.port, "/static/a.css")
    fields = [("Referer", f"http://app.test{css}")]
    reply = ask(strays.port, "GET", "/static/font.woff2", headers=fields)
    assert reply.value("Location") == path_form(upstream.port, "/static/font.woff2")


@pytest.mark.parametrize("path", ["/status/200", "/login", f"{MOUNT}/api", "/"])
def test_what_a_page_loads_is_its_services_even_where_the_app_has_such_a_page(
    strays: Host, service: ServiceFactory, path: str
) -> None:
    upstream = service(answers(OK))
    fields = [*of_page(upstream), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Site", "same-origin")]
    reply = ask(strays.port, "GET", path, headers=fields)
    assert (reply.status, reply.value("Location")) == (307, path_form(upstream.port, path))
    strays.notes.wait_for(f"authorizer stray {upstream.port} {path}")


@pytest.mark.parametrize(
    "fields",
    [
        [("Referer", "http://app.test/alice/vision/")],
        [("Referer", "http://evil.com/alice/vision/proxy/{}/")],
        [("Referer", "http://other.app.test/alice/vision/proxy/{}/")],
        [("Referer", "https://app.test/alice/vision/proxy/{}/")],
        [("Referer", "http://app.test/alice/vision/?port={}")],
        [("Referer", "http://app.test/alice/vision/proxy/{}/"), ("Sec-Fetch-Site", "cross-site")],
        [("Referer", "http://app.test/alice/vision/proxy/{}/"), ("Sec-Fetch-Site", "same-site")],
        [("Referer", "x" * 4000)],
        [],
    ],
    ids=["app", "foreign", "sibling", "scheme", "query", "cross-site", "same-site", "odd", "none"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_all_else_is_the_apps(
    strays: Host, service: ServiceFactory, fields: list[tuple[str, str]], method: str
) -> None:
    upstream = service(answers(OK))
    headers = [(name, value.format(upstream.port)) for name, value in fields]
    reply = ask(strays.port, method, "/static/x", headers=headers)
    assert (reply.status, reply.text) == (404, MISSING)
    assert strays.notes.new() == [f"app {method} /static/x"]
    assert upstream.connections == 0


# --- Navigations: the app first ------------------------------------------------------------------


def navigate(host: Host, upstream: Service, path: str, method: str = "GET") -> Reply:
    return ask(host.port, method, path, headers=[*of_page(upstream), *NAVIGATES])


@pytest.mark.parametrize("status", [200, 204, 302, 401, 403, 405, 410, 500, 503])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_link_back_into_the_app_works(
    strays: Host, service: ServiceFactory, status: int, method: str
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


def test_a_browser_on_plain_http_navigates_too(strays: Host, service: ServiceFactory) -> None:
    """It sends no Sec-Fetch there."""
    upstream = service(answers(OK))
    browser = [("Accept", "text/html,*/*;q=0.8"), ("User-Agent", "Mozilla/5.0")]
    for path, status in [("/status/200", 200), ("/status/404", 307)]:
        reply = ask(strays.port, "GET", path, headers=[*of_page(upstream), *browser])
        assert reply.status == status
        assert f"app GET {path}" in strays.notes.new()


def test_a_form_that_a_page_sends_is_its_services(strays: Host, service: ServiceFactory) -> None:
    """Its fields are for who made the form, and are not shown to the app."""
    upstream = service(answers(OK))
    fields = [*of_page(upstream), *NAVIGATES, ("Origin", "http://app.test")]
    reply = ask(strays.port, "POST", "/login", headers=fields, body=b"password=secret")
    assert (reply.status, reply.value("Location")) == (307, path_form(upstream.port, "/login"))
    strays.notes.wait_for(f"authorizer stray {upstream.port} /login")


# --- Who may not ---------------------------------------------------------------------------------


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
        ([("Origin", "null")], 403),
        ([("Origin", "null"), ("Sec-Fetch-Site", "cross-site")], 404),
        ([("Origin", "null"), ("Sec-Fetch-Site", "same-origin")], 307),
        ([("Origin", "http://app.test"), ("Service-Worker", "script")], 403),
        ([("Origin", "http://app.test")], 307),
    ],
    ids=["foreign", "null", "null-cross-site", "null-same-origin", "service-worker", "own"],
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


def test_a_stray_that_climbs_is_not_found(strays: Host, service: ServiceFactory) -> None:
    upstream = service(answers(OK))
    for path in ("/../x", "/%2e%2e/x", "/a/..%2f..%2fx"):
        assert ask(strays.port, "GET", path, headers=of_page(upstream)).status == 404
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


@pytest.mark.parametrize(
    ("policy", "mapped"),
    [
        ("no-referrer", "same-origin"),
        ("strict-origin", "strict-origin-when-cross-origin"),
        ("unsafe-url", "unsafe-url"),
    ],
)
def test_a_services_policy_does_not_hide_its_pages_from_this_site(
    strays: Host, service: ServiceFactory, policy: str, mapped: str
) -> None:
    response = OK.replace(b"\r\n\r\n", f"\r\nReferrer-Policy: {policy}\r\n\r\n".encode(), 1)
    upstream = service(answers(response))
    reply = ask(strays.port, "GET", path_form(upstream.port, "/"))
    assert reply.values("Referrer-Policy") == [mapped]
