"""The port form in this process: a service at a port of the site, on a real loopback socket.

The connection's port is what SERVER_PORT says; tests/http/test_port_form.py has real connections.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import pytest
from webob import Request
from werkzeug.test import Client
from werkzeug.utils import redirect

from tests.conftest import ServiceFactory
from tests.support import service as scripted
from tests.support.client import ask
from tests.support.ports import free_port
from tests.support.received import Received, recording
from tests.support.waiting import until
from wsgi_portproxy import Listen, Target, UrlForms

from .test_middleware import opened

PORT_FORM = UrlForms(host_template=":{port+20000}")
ISOLATED = UrlForms(host_template=":{port+20000}", isolate=True)
IN_PATH = UrlForms(host_template=":{port+20000}", redirect_browsers="path")
NAMED = UrlForms(host_template="app.test:{port+20000}")
SIGNED_IN = "user=alice; sessionid=S"


@pytest.fixture
def echo(service: ServiceFactory) -> tuple[scripted.Service, list[Received]]:
    """A service that keeps its requests."""
    seen: list[Received] = []
    return service(recording(seen)), seen


def visited(client: Client, url: str, number: int, name: str = "app.test", **fields: Any) -> Any:
    """What a visitor gets who came by the connection to a number of the site."""
    given = {"Cookie": SIGNED_IN, **fields.pop("headers", {})}
    headers = {"Host": f"{name}:{number}", **given}
    told = fields.pop("told", number)
    return client.open(url, headers=headers, environ_overrides={"SERVER_PORT": str(told)}, **fields)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_a_service_at_a_port_of_the_site(
    echo: tuple[scripted.Service, list[Received]], method: str
) -> None:
    service, seen = echo
    number = service.port + 20000
    own = f"http://app.test:{number}"
    fields = {"Origin": own, "Referer": f"{own}/lab?x"}
    with opened(urls=PORT_FORM, hosts=["app.test"]) as client:
        answer = visited(client, "/bob/x?port=1&y", number, method=method, headers=fields)
        assert (answer.status_code, answer.headers.getlist("Set-Cookie")) == (200, [])
        assert visited(client, "/", 8000).text.startswith("the app: /")
        assert visited(client, "/", number - 20000).status_code == 200  # a port of the app's
    [received] = seen
    told = f"http://localhost:{service.port}"
    assert (received.method, received.target) == (method, "/bob/x?port=1&y")
    assert received.values("Host") == [f"localhost:{service.port}"]
    assert (received.values("Origin"), received.values("Referer")) == ([told], [f"{told}/lab?x"])
    assert received.values("X-Forwarded-Prefix") == []
    assert received.values("Cookie") == ["user=alice"]


@pytest.mark.parametrize("name", ["evil.test", "127.0.0.1", "app.test.evil.test", "xapp.test"])
@pytest.mark.parametrize(
    "settings",
    [{"urls": PORT_FORM, "hosts": ["app.test"]}, {"urls": NAMED}, {"urls": NAMED, "hosts": []}],
    ids=["hosts", "template", "both"],
)
def test_a_service_has_no_other_name_of_the_site(
    echo: tuple[scripted.Service, list[Received]], settings: dict[str, Any], name: str
) -> None:
    """Nobody can have a name of their own lead there (DNS rebinding)."""
    number = echo[0].port + 20000
    with opened(**settings) as client:
        refused = visited(client, "/x", number, name)
        assert (refused.status_code, "served under that host name" in refused.text) == (421, True)
        for known in ("app.test", "APP.test", "app.test."):
            assert visited(client, "/x", number, known).status_code == 200
        by_path = f"/alice/vision/proxy/{echo[0].port}/x"
        assert visited(client, by_path, 8000).status_code == 200
    assert echo[0].connections == 1


def test_a_name_that_nobody_said_is_not_told_as_localhost(
    echo: tuple[scripted.Service, list[Received]], caplog: pytest.LogCaptureFixture
) -> None:
    service, seen = echo
    number = service.port + 20000
    names = ["evil.test", "localhost", "10.0.0.7", "[::1]"]
    with opened(urls=PORT_FORM) as client:
        for name in names:
            assert visited(client, "/x", number, name).status_code == 200
    with opened(urls=NAMED) as client:
        assert visited(client, "/x", number).status_code == 200
    told = [one.values("Host")[0] for one in seen]
    assert told == [f"evil.test:{number}", *[f"localhost:{service.port}"] * 4]
    assert caplog.text.count("is not in hosts") == 1


def test_requests_for_another_port_than_the_connections_are_misdirected(
    echo: tuple[scripted.Service, list[Received]],
) -> None:
    asked: list[object] = []

    def authorizer(request: Request, target: Target) -> bool:
        asked.append(target)
        return True

    number = echo[0].port + 20000
    hosts = ["app.test:8000", "app.test", f"app.test:{number + 1}", f"app.test:0{number}", "a b"]
    with opened(urls=PORT_FORM, authorizer=authorizer) as client:
        for host in [*hosts, f"app.test:+{number}", f"app.test: {number}", f"app.test:{number}x"]:
            for url in ("/login", "/alice/vision/?port=16006", f"/alice/vision/proxy/{number}/"):
                override = {"SERVER_PORT": str(number), "HTTP_HOST": host}
                answer = client.get(url, environ_overrides=override)
                assert answer.status_code in (400, 421), host
    assert (asked, echo[0].connections) == ([], 0)


@pytest.mark.parametrize("origin", [-1, 0, 8000 - 36006], ids=["sibling", "offset", "app"])
def test_pages_of_other_ports_are_foreign_there(
    echo: tuple[scripted.Service, list[Received]], origin: int
) -> None:
    number = echo[0].port + 20000
    from_port = echo[0].port if not origin else number + origin
    with opened(urls=PORT_FORM) as client:
        for fields in (
            {"Origin": f"http://app.test:{from_port}"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "null"},
        ):
            answer = visited(client, "/x", number, method="POST", headers=fields, data=b"x")
            assert answer.status_code == 403
        link = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}
        assert visited(client, "/x", number, headers=link).status_code == 200
    assert echo[0].connections == 1


@pytest.mark.parametrize(
    ("urls", "method", "expected"),
    [
        (PORT_FORM, "GET", "http://app.test:{number}/x?a"),
        (PORT_FORM, "HEAD", "http://app.test:{number}/x?a"),
        (PORT_FORM, "POST", "/alice/vision/proxy/{port}/x?a"),
        (IN_PATH, "GET", "/alice/vision/proxy/{port}/x?a"),
        (UrlForms(host_template="{port}.p.test"), "GET", "http://{port}.p.test:8000/x?a"),
        (UrlForms(), "GET", "/alice/vision/proxy/{port}/x?a"),
        (ISOLATED, "GET", "http://app.test:{number}/x?a"),
    ],
    ids=["port", "head", "post", "path", "host", "none", "isolated"],
)
def test_where_a_browser_is_sent(
    echo: tuple[scripted.Service, list[Received]], urls: UrlForms, method: str, expected: str
) -> None:
    port = echo[0].port
    navigates = {"Sec-Fetch-Mode": "navigate"}
    url = f"/alice/vision/x?a&port={port}"
    with opened(urls=urls) as client:
        moved = visited(client, url, 8000, headers=navigates, method=method)
        wanted = expected.format(port=port, number=port + 20000)
        assert (moved.status_code, moved.headers["Location"]) == (307, wanted)
        assert moved.headers["Cache-Control"] == "no-store"
        bob = {**navigates, "Cookie": "user=bob"}
        assert visited(client, url, 8000, headers=bob, method=method).status_code == 403
    assert echo[0].connections == 0


def test_a_service_is_remembered_with_the_mount_it_was_opened_under(
    echo: tuple[scripted.Service, list[Received]],
) -> None:
    """So the authorizer knows whose it is. Nobody gains by remembering another."""
    port = echo[0].port
    judged: list[dict[str, str]] = []

    def authorizer(request: Request, target: Target) -> bool:
        judged.append(dict(target.params))
        return request.cookies["user"] == target.params["username"]

    with opened(urls=PORT_FORM, authorizer=authorizer) as client:
        unknown = visited(client, "/x", port + 20000)
        assert (unknown.status_code, "does not say for which project" in unknown.text) == (
            403,
            True,
        )
        navigates = {"Sec-Fetch-Mode": "navigate"}
        moved = visited(client, f"/alice/vision/?port={port}", 8000, headers=navigates)
        [made] = moved.headers.getlist("Set-Cookie")
        kept = made.partition(";")[0]
        for user, status in (("alice", 200), ("bob", 403)):
            cookie = {"Cookie": f"user={user}; {kept}"}
            answer = visited(client, "/x", port + 20000, headers=cookie)
            assert answer.status_code == status
    assert judged == [{}, *[{"username": "alice", "project": "vision"}] * 3]
    assert echo[1][0].values("Cookie") == ["user=alice"]


def test_reserved_ports(echo: tuple[scripted.Service, list[Received]]) -> None:
    port = echo[0].port
    reserved: dict[int, Any] = {port: {"username": "alice", "project": "vision"}}

    def mount_of(number: int) -> Any:
        return reserved.get(number)

    urls = UrlForms(host_template=":{port+20000}", mount_of=mount_of)
    navigates = {"Sec-Fetch-Mode": "navigate"}
    with opened(urls=urls, authorizer=lambda request, target: bool(target.params)) as client:
        assert visited(client, "/x", port + 20000).status_code == 200
        foreign = visited(client, f"/bob/x/?port={port}", 8000, headers=navigates)
        assert foreign.headers["Location"] == f"/bob/x/proxy/{port}/"
        for wrong in ({}, {"username": "alice"}, "alice", 1):
            reserved[port] = wrong
            assert visited(client, "/x", port + 20000).status_code == 503
            own = visited(client, f"/alice/vision/?port={port}", 8000, headers=navigates)
            assert own.status_code == 503
    assert echo[0].connections == 1


def test_a_login_that_would_lead_to_the_service_is_not_sent() -> None:
    def authorizer(request: Request, target: Target) -> Any:
        return redirect("/login")

    with opened(urls=PORT_FORM, authorizer=authorizer) as client:
        answer = visited(client, "/x", 36006)
        assert answer.status_code == 403
        assert "Sign in to the application, then open this address again." in answer.text
        assert visited(client, "/alice/vision/?port=16006", 8000).status_code == 302


def test_close_ends_the_listeners_on_demand(
    echo: tuple[scripted.Service, list[Received]],
) -> None:
    """Here they would lead to the service itself, which stands for the server."""
    port, number = free_port(), 0
    service, seen = echo
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
        until(lambda: service.exchanges, "it has a connection")
        server = {"werkzeug.socket": service.exchanges[0].sock, "SERVER_PORT": "8000"}
        urls = UrlForms(host_template=":{port+10000}", listen=Listen())
        with opened(urls=urls) as client:
            fields = {"Cookie": "user=alice", "Sec-Fetch-Mode": "navigate", "Host": "app.test:8000"}
            url = f"/alice/vision/x?port={port}"
            moved = client.get(url, headers=fields, environ_overrides=server)
            number = port + 10000
            assert moved.headers["Location"] == f"http://app.test:{number}/x"
            assert ask(number, "GET", "/passed").body == b"hi"
            assert [one.target for one in seen] == ["/passed"]
        sock.close()

    def is_refused() -> bool:
        try:
            socket.create_connection(("127.0.0.1", number)).close()
        except ConnectionRefusedError:
            return True
        return False

    until(is_refused, "nobody listens")
