"""What a service is told of its address, and which path it is asked for: settings by port."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Reply, ask, without_copies
from tests.support.received import OK, Received, recording, with_fields
from tests.support.servers import Server
from tests.support.service import Service, answers
from tests.support.urls import path_form, query_form
from tests.support.variants import noted
from tests.support.websocket import Visitor, echoing, handshake

APP = "http://app.test:8000"
PREFIX = "/alice/vision/proxy/{port}"


@pytest.fixture
def external(variants: Mapping[str, Server]) -> Server:
    return variants["external"]


@pytest.fixture
def full_path(variants: Mapping[str, Server]) -> Server:
    return variants["full_path"]


@pytest.fixture
def by_project(variants: Mapping[str, Server]) -> Server:
    return variants["by_project"]


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


def test_the_same_origin_check_is_ours_whatever_the_identity(
    external: Server, service: ServiceFactory
) -> None:
    upstream = service(answers(OK))
    target = path_form(upstream.port, "/x")
    for fields in (
        [("Origin", "http://evil.com")],
        [("Origin", APP), ("Sec-Fetch-Site", "cross-site")],
        [("Origin", "http://app.test")],  # another port
    ):
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


def test_what_such_a_service_makes_of_its_host_is_mapped(
    external: Server, service: ServiceFactory
) -> None:
    upstream = service(with_fields("Location: http://app.test/y", "Refresh: 5; url=http://x.test/"))
    reply = ask(external.port, "GET", path_form(upstream.port, "/x"))
    assert reply.values("Location") == ["http://app.test" + path_form(upstream.port, "/y")]
    assert reply.values("Refresh") == ["5; url=http://x.test/"]


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


def test_what_carries_the_prefix_already_stays(full_path: Server, service: ServiceFactory) -> None:
    cookies = (f"Set-Cookie: a=1; Path={PREFIX}/", "Set-Cookie: b=2; Path=/")
    upstream = service(with_fields(f"Location: http://localhost:{{port}}{PREFIX}/lab", *cookies))
    prefix = path_form(upstream.port, "")
    reply = ask(full_path.port, "GET", f"{prefix}/x")
    assert reply.values("Location") == [f"http://app.test{prefix}/lab"]
    kept = without_copies(reply.values("Set-Cookie"))
    assert kept == [f"a=1; Path={prefix}/", f"b=2; Path={prefix}/"]


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
    upstream, notes = service(answers(OK)), noted(by_project).notes
    reply = of_project(by_project, upstream, f"{name}.{value}" if value else name)
    assert reply.status == 500
    assert reply.text.startswith(
        f"This application's settings for port {upstream.port} are invalid.\n"
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
