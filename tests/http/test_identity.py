"""What a service is told of its address, and which path it is asked for: settings by port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Reply, ask, without_copies
from tests.support.notes import Notes
from tests.support.received import OK, Received, recording
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, Service, answers
from tests.support.urls import path_form, query_form
from tests.support.websocket import Visitor, echoing, handshake

APP = "http://app.test:8000"
PREFIX = "/alice/vision/proxy/{port}"


@pytest.fixture(scope="module")
def external() -> Iterator[Server]:
    with gunicorn("tests.support.pageapp:external") as server:
        yield server


@pytest.fixture(scope="module")
def full_path() -> Iterator[Server]:
    with gunicorn("tests.support.pageapp:full_path") as server:
        yield server


@pytest.fixture(scope="module")
def by_project() -> Iterator[Server]:
    with gunicorn("tests.support.pageapp:by_project") as server:
        yield server


def answering(service: ServiceFactory, *fields: str) -> Service:
    """A service whose answers hold `fields`, in which `{port}` is its port."""

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            lines = ["HTTP/1.1 201 Created", *fields, "Content-Length: 2", "", "hi"]
            exchange.send("\r\n".join(lines).replace("{port}", str(upstream.port)).encode())

    upstream = service(script)
    return upstream


def told(request: Received) -> dict[str, list[str]]:
    names = ("Host", "Origin", "Referer", "X-Forwarded-Host", "X-Forwarded-Prefix")
    return {name: request.values(name) for name in names}


# --- Identity ------------------------------------------------------------------------------------


def test_local_identity_is_coherent(host: Server, service: ServiceFactory) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    prefix = path_form(upstream.port, "")
    fields = [("Origin", APP), ("Referer", f"{APP}{prefix}/lab?x")]
    ask(host.port, "POST", f"{prefix}/x", headers=fields, body=b"x", host="app.test:8000")
    local = f"localhost:{upstream.port}"
    assert told(seen[0]) == {
        "Host": [local],
        "Origin": [f"http://{local}"],
        "Referer": [f"http://{local}/lab?x"],
        "X-Forwarded-Host": [],
        "X-Forwarded-Prefix": [prefix],
    }


def test_external_identity_is_the_visitors(external: Server, service: ServiceFactory) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    prefix = path_form(upstream.port, "")
    referer = f"{APP}{prefix}/lab?x"
    fields = [("Origin", APP), ("Referer", referer)]
    ask(external.port, "POST", f"{prefix}/x", headers=fields, body=b"x", host="app.test:8000")
    assert told(seen[0]) == {
        "Host": ["app.test:8000"],
        "Origin": [APP],
        "Referer": [referer],
        "X-Forwarded-Host": ["app.test:8000"],
        "X-Forwarded-Prefix": [prefix],
    }
    name = f"{upstream.port}.ports.test"
    fields = [("Origin", f"http://{name}"), ("Referer", f"http://{name}/lab")]
    ask(external.port, "POST", "/x", headers=fields, body=b"x", host=name)
    assert told(seen[1]) == {
        "Host": [name],
        "Origin": [f"http://{name}"],
        "Referer": [f"http://{name}/lab"],
        "X-Forwarded-Host": [name],
        "X-Forwarded-Prefix": [],
    }


@pytest.mark.parametrize(
    "fields",
    [
        [("Origin", "http://evil.com")],
        [("Origin", "null")],
        [("Origin", APP), ("Sec-Fetch-Site", "cross-site")],
        [("Origin", "http://app.test")],
    ],
    ids=["foreign", "null", "cross-site", "other-port"],
)
def test_the_same_origin_check_is_ours_whatever_the_identity(
    external: Server, service: ServiceFactory, fields: list[tuple[str, str]]
) -> None:
    upstream = service(answers(OK))
    target = path_form(upstream.port, "/x")
    reply = ask(external.port, "POST", target, headers=fields, body=b"x", host="app.test:8000")
    assert (reply.status, upstream.connections) == (403, 0)


def test_a_websocket_with_the_external_identity(external: Server, service: ServiceFactory) -> None:
    upstream = service(echoing)
    with Visitor(external.port) as visitor:
        origin = [("Origin", "http://app.test")]
        visitor.send(handshake(path_form(upstream.port, "/ws"), origin))
        visitor.switched()
        visitor.says_and_hears()
    assert b"\r\nHost: app.test\r\n" in upstream.heads[0]
    assert b"\r\nOrigin: http://app.test\r\n" in upstream.heads[0]


@pytest.mark.parametrize(
    ("line", "mapped"),
    [
        ("Location: http://app.test/y", "{prefix}/y"),
        ("Location: http://app.test{prefix}/y", "{prefix}/y"),
        ("Location: /y", "{prefix}/y"),
        ("Location: {prefix}/y", "{prefix}/y"),
        ("Location: http://other.example/y", "http://other.example/y"),
        ("Refresh: 5; url=http://app.test/y", "5; url={prefix}/y"),
    ],
)
def test_what_such_a_service_makes_of_its_host_is_mapped(
    external: Server, service: ServiceFactory, line: str, mapped: str
) -> None:
    upstream = answering(service, line.replace("{prefix}", PREFIX))
    reply = ask(external.port, "GET", path_form(upstream.port, "/x"))
    expected = mapped.replace("{prefix}", path_form(upstream.port, ""))
    assert reply.values(line.partition(":")[0]) == [expected]


# --- Full paths ----------------------------------------------------------------------------------


def test_a_service_with_its_full_path_is_asked_for_it(
    full_path: Server, service: ServiceFactory
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    prefix = path_form(upstream.port, "")
    fields = [("Referer", f"{APP}{prefix}/lab?x")]
    for target, asked in [
        (f"{prefix}/lab%2F?x=1", f"{prefix}/lab%2F?x=1"),
        (f"{prefix}/", f"{prefix}/"),
        (query_form(upstream.port, "/x?a"), "/alice/vision/x?a"),
    ]:
        ask(full_path.port, "GET", target, headers=fields, host="app.test:8000")
        assert seen[-1].target == asked
        assert seen[-1].values("X-Forwarded-Prefix") == []  # it would add it twice
    assert seen[0].values("Referer") == [f"http://localhost:{upstream.port}{prefix}/lab?x"]
    ask(full_path.port, "GET", "/x", host=f"{upstream.port}.ports.test")
    assert seen[-1].target == "/x"


def test_a_websocket_of_such_a_service(full_path: Server, service: ServiceFactory) -> None:
    upstream = service(echoing)
    with Visitor(full_path.port) as visitor:
        visitor.open(path_form(upstream.port, "/ws?x"))
        visitor.says_and_hears()
    target = path_form(upstream.port, "/ws?x")
    assert upstream.heads[0].startswith(f"GET {target} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(
    ("line", "mapped"),
    [
        ("Location: {prefix}/lab", "{prefix}/lab"),
        ("Location: http://localhost:{port}{prefix}/lab", "{prefix}/lab"),
        ("Location: lab", "lab"),
        ("Set-Cookie: a=1; Path={prefix}/", "a=1; Path={prefix}/"),
        ("Set-Cookie: a=1; Path=/", "a=1; Path={prefix}/"),
    ],
)
def test_what_carries_the_prefix_already_stays(
    full_path: Server, service: ServiceFactory, line: str, mapped: str
) -> None:
    upstream = answering(service, line.replace("{prefix}", PREFIX))
    reply = ask(full_path.port, "GET", path_form(upstream.port, "/x"))
    expected = mapped.replace("{prefix}", path_form(upstream.port, ""))
    assert without_copies(reply.values(line.partition(":")[0])) == [expected]


# --- By callable ---------------------------------------------------------------------------------


def of_project(server: Server, upstream: Service, project: str) -> Reply:
    return ask(server.port, "GET", f"/alice/{project}/proxy/{upstream.port}/x")


def test_both_may_differ_by_target(by_project: Server, service: ServiceFactory) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    local, prefix = f"localhost:{upstream.port}", f"/alice/{{}}/proxy/{upstream.port}"
    for project, name, target in [
        ("identity.local", local, "/x"),
        ("identity.external", "app.test", "/x"),
        ("strip.true", local, "/x"),
        ("strip.false", local, f"{prefix.format('strip.false')}/x"),
    ]:
        assert of_project(by_project, upstream, project).status == 200
        assert (seen[-1].values("Host"), seen[-1].target) == ([name], target)


@pytest.mark.parametrize("name", ["identity", "strip"])
@pytest.mark.parametrize("value", ["raises", "odd", ""])
def test_a_callable_that_fails_is_500_and_nothing_is_sent(
    by_project: Server, service: ServiceFactory, name: str, value: str
) -> None:
    upstream = service(answers(OK))
    notes = Notes(by_project)
    reply = of_project(by_project, upstream, f"{name}.{value}" if value else name)
    assert reply.status == 500
    assert reply.text.startswith(
        f"This application's settings for port {upstream.port} do not work.\n"
    )
    assert "secret" not in reply.text
    assert upstream.connections == 0
    assert len(notes.new()) == 1
    if value == "raises":
        assert "/srv/secret.py" in by_project.output()


def test_a_visitor_who_may_not_never_gets_that_far(
    by_project: Server, service: ServiceFactory
) -> None:
    upstream = service(answers(OK))
    target = f"/alice/identity.raises/proxy/{upstream.port}/x"
    assert ask(by_project.port, "GET", target, cookie="user=bob").status == 403
