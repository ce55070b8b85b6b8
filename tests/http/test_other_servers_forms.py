"""Strays and host names on the servers that are not gunicorn.

They differ in what they show of the request target, of Host, and in how they take a body that
nobody wants.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, ask, request_bytes
from tests.support.notes import Notes
from tests.support.ports import free_port
from tests.support.received import OK, Received, recording
from tests.support.servers import Server, running
from tests.support.service import answers
from tests.support.urls import path_form
from tests.support.websocket import Visitor, echoing, handshake

from .common import read_until

NAVIGATES = [("Sec-Fetch-Mode", "navigate")]
PAGE = b'<script id="jupyter-config-data">{"baseUrl": "/"}</script>'


class Host(NamedTuple):
    port: int
    notes: Notes
    name: str


@pytest.fixture(scope="module", params=["werkzeug", "waitress", "cheroot", "gevent"])
def running_server(request: pytest.FixtureRequest) -> Iterator[tuple[Server, str]]:
    port = free_port()
    patched = ["gevent.monkey", "--module"] if request.param == "gevent" else []
    command = [sys.executable, "-m", *patched, "tests.support.serve", request.param, str(port)]
    with running([*command, "pageapp:hosted"], port) as server:
        yield server, request.param
        output = server.output()  # servers tell of answers that broke off, in their own ways
        for sign in ("AssertionError", "ValueError", "TypeError", "KeyError"):
            assert sign not in output


@pytest.fixture
def server(running_server: tuple[Server, str]) -> Host:
    return Host(running_server[0].port, Notes(running_server[0]), running_server[1])


def of_page(port: int) -> list[tuple[str, str]]:
    return [("Referer", f"http://app.test{path_form(port, '/lab')}")]


@pytest.mark.parametrize(
    "target",
    ["/static/app.js", "/a%2Fb?x=%zz&y", "/a%20b/%C3%A4;~@:+?", "/x?", "/a//b/", "/%2541"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stray_moves_byte_for_byte(
    server: Host, service: ServiceFactory, method: str, target: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    body = b"x" * 100_000 if method == "POST" else b""
    fields = of_page(upstream.port)
    with Client(server.port) as client:
        client.send(request_bytes(method, target, headers=fields, body=body))
        moved = client.reply()
        assert moved.status == 307
        location = moved.value("Location") or ""
        # gevent shows no raw target; what it decoded is quoted anew.
        expected = path_form(upstream.port, target)
        assert location == expected or server.name == "gevent"
        if moved.value("Connection") == "close":
            return
        client.send(request_bytes(method, location, headers=fields, body=body))
        assert client.reply().status == 200
    assert seen[0].body == body
    if server.name != "gevent":
        assert seen[0].target == target


@pytest.mark.parametrize("status", [200, 302, 403, 410])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_link_back_into_the_app_works(
    server: Host, service: ServiceFactory, status: int, method: str
) -> None:
    upstream = service(answers(OK))
    path = f"/status/{status}"
    reply = ask(server.port, method, path, headers=[*of_page(upstream.port), *NAVIGATES])
    assert (reply.status, reply.value("X-From"), reply.complete) == (status, "app", True)
    assert reply.text == ("" if method == "HEAD" else "the app's own page")
    server.notes.wait_for(f"app {method} {path}", f"app closed {path}")
    assert upstream.connections == 0


def test_the_apps_answer_streams_as_ever(server: Host, service: ServiceFactory) -> None:
    upstream = service(answers(OK))
    with Client(server.port) as client:
        fields = [*of_page(upstream.port), *NAVIGATES]
        client.send(request_bytes("GET", "/stream", headers=fields))
        read_until(client, b"first")
        ask(server.port, "GET", "/go")
        read_until(client, b"second")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_404_of_the_app_becomes_the_move(
    server: Host, service: ServiceFactory, method: str
) -> None:
    upstream = service(answers(OK))
    fields = [*of_page(upstream.port), *NAVIGATES]
    reply = ask(server.port, method, "/status/404", headers=fields)
    location = path_form(upstream.port, "/status/404")
    assert (reply.status, reply.value("Location")) == (307, location)
    asked = f"authorizer stray {upstream.port} /status/404"
    server.notes.wait_for(f"app {method} /status/404", "app closed /status/404", asked)


def test_a_handshake_goes_to_what_was_opened_last(server: Host, service: ServiceFactory) -> None:
    refusing, upstream = service(answers(OK)), service(echoing)
    prefixes = [path_form(one.port, "") for one in (refusing, upstream)]
    cookies = [f"portproxy.{i}={1764000000000 - i}{prefix}" for i, prefix in enumerate(prefixes)]
    with Visitor(server.port) as visitor:
        visitor.send(handshake("/status/404?x", cookie="; ".join(["user=alice", *cookies])))
        visitor.switched()
        visitor.says_and_hears()
    path = "/status/404"
    asked = [f"authorizer stray {one.port} {path}?x" for one in (refusing, upstream)]
    server.notes.wait_for(f"app GET {path}", *asked, f"app closed {path}")


@pytest.mark.parametrize("target", ["/", "/x%2Fy?z=%zz", "/alice/vision/?port=1", "/a//b"])
def test_the_host_form(server: Host, service: ServiceFactory, target: str) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    for host in (f"{upstream.port}.ports.test", f"{upstream.port}.PORTS.test:8000"):
        assert ask(server.port, "GET", target, host=host).body == b"hi"
    for request in seen:
        if server.name != "gevent":
            assert request.target == target
        assert request.values("Host") == [f"localhost:{upstream.port}"]
    assert not any(line.startswith("app") for line in server.notes.new())


@pytest.mark.parametrize(
    ("label", "status"), [("www", 400), ("5000", 403), ("a.1", 400), ("16006x", 400)]
)
def test_a_name_without_a_port_is_never_the_app(server: Host, label: str, status: int) -> None:
    for path in ("/login", "/status/200"):
        assert ask(server.port, "GET", path, host=f"{label}.ports.test").status == status
    assert server.notes.new() == []


def test_a_corrected_page(server: Host, service: ServiceFactory) -> None:
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
    upstream = service(answers(head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(PAGE), PAGE)))
    body = PAGE.replace(b'"/"', f'"{path_form(upstream.port, "/")}"'.encode())
    reply = ask(server.port, "GET", path_form(upstream.port, "/lab"), headers=NAVIGATES)
    assert (reply.body, reply.complete) == (body, True)
    assert reply.values("Content-Length") == [str(len(body))]


def test_a_page_that_is_cut_looks_cut(server: Host, service: ServiceFactory) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n"
    for body in (PAGE, b""):
        upstream = service(answers(head + body, keep_open=False))
        with Client(server.port) as client:
            target = path_form(upstream.port, "/lab")
            client.send(request_bytes("GET", target, headers=NAVIGATES))
            reply = client.reply()
            assert (reply.status, reply.complete) == (200, False)
            assert PAGE.startswith(reply.body)
            assert not client.fill()
