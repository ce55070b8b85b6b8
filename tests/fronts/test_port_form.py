"""The port form behind nginx and Caddy with the README's lines: the front end listens on the
services' numbers, and the `Host` that it passes on says which."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.conftest import ServiceFactory
from tests.support.caddy import Caddy, caddy_of_readme
from tests.support.client import request_bytes
from tests.support.nginx import Nginx, nginx_of_readme
from tests.support.portapp import NAVIGATES, OFFSET, held, service_on
from tests.support.readme import block
from tests.support.received import OK, Received, recording, with_fields
from tests.support.servers import ROOT, Server, gunicorn
from tests.support.service import answers
from tests.support.tls import Tls
from tests.support.urls import path_form, query_form
from tests.support.websocket import Visitor, echoing, handshake

FRONTS = ["nginx", "nginx-http", "nginx-told", "nginx-told-http", "caddy", "caddy-http"]


@dataclass(frozen=True)
class Site:
    """A front end with numbers for two services' ports."""

    server: Nginx | Caddy
    behind: Server
    ports: list[int]
    tls: Tls | None
    tells_port: bool

    @property
    def versions(self) -> list[str]:
        """Browsers speak HTTP/2 on TLS only."""
        return ["HTTP/1.1", "HTTP/2"] if self.tls else ["HTTP/1.1"]

    @property
    def scheme(self) -> str:
        return "http" if self.tls is None else "https"

    def url(self, path: str, number: int | None = None) -> str:
        return f"{self.scheme}://localhost:{number or self.server.port}{path}"

    @contextlib.contextmanager
    def visited(self, version: str = "HTTP/1.1") -> Iterator[httpx.Client]:
        """A browser of sorts, signed in as alice, that speaks this version of HTTP."""
        is_2 = version == "HTTP/2"
        verify = self.tls.context() if self.tls else True
        with httpx.Client(verify=verify, http1=not is_2, http2=is_2, timeout=30) as client:
            client.cookies.set("user", "alice")
            yield client

    def connect(self, number: int) -> Visitor:
        return Visitor(number, tls=self.tls.context() if self.tls else None)


@pytest.fixture(scope="module", params=FRONTS)
def site(
    request: pytest.FixtureRequest, tls: Tls, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    name, *more = request.param.split("-")
    used = None if "http" in more else tls
    folder = tmp_path_factory.mktemp("app")
    (folder / "hello_wsgi.py").write_text(
        "from tests.support.portapp import served as application\n"
    )
    wrapped = block("# behind.py")
    if "told" in more:
        wrapped = wrapped.replace("x_proto=1)", "x_proto=1, x_port=1)")
    (folder / "behind.py").write_text(wrapped)
    options = ("--chdir", str(folder))
    env = {"PYTHONPATH": str(ROOT)}
    with (
        held(2) as ports,
        gunicorn("behind:application", options=options, env=env) as behind,
        _front(name, behind.port, used, ports.numbers, tells_port="told" in more) as server,
    ):
        yield Site(server, behind, ports.ports, used, "told" in more)
        assert "Traceback" not in behind.output()


def _front(
    name: str, behind: int, tls: Tls | None, numbers: list[int], *, tells_port: bool
) -> contextlib.AbstractContextManager[Nginx | Caddy]:
    if name == "caddy":
        return caddy_of_readme(behind, tls, numbers)
    return nginx_of_readme(behind, tls, numbers, tells_port=tells_port)


def test_a_browser_is_sent_to_the_services_own_port(site: Site) -> None:
    seen: list[Received] = []
    with service_on(site.ports[0], recording(seen)):
        for version in site.versions:
            _visit(site, version, seen)


def _visit(site: Site, version: str, seen: list[Received]) -> None:
    port, number = site.ports[0], site.ports[0] + OFFSET
    own = site.url("", number)
    fields = {"Origin": own, "Referer": f"{own}/lab"}
    fields |= {"X-Forwarded-Port": "80", "X-Forwarded-Host": "evil.test"}
    with site.visited(version) as visitor:
        moved = visitor.get(site.url(query_form(port, "/x?y")), headers=dict(NAVIGATES))
        assert (moved.status_code, moved.http_version) == (307, version)
        assert moved.headers["Location"] == site.url("/x?y", number)
        for method, body in (("GET", b""), ("POST", b"x" * 1_000_000), ("HEAD", b"")):
            url = site.url("/bob/x?port=1", number)
            answer = visitor.request(method, url, content=body, headers=fields)
            assert (answer.status_code, answer.http_version) == (200, version)
            received = seen[-1]
            assert (received.method, received.target) == (method, "/bob/x?port=1")
            assert received.body == body
            assert received.values("Origin") == [f"http://localhost:{port}"]
            assert received.values("Host") == [f"localhost:{port}"]
            assert received.values("Cookie") == []
        assert visitor.get(site.url("/login")).text.startswith("the app: /login")


def test_pages_of_other_ports_are_foreign(site: Site) -> None:
    number = site.ports[0] + OFFSET
    origins = [site.url(""), site.url("", site.ports[1] + OFFSET), f"{site.scheme}://localhost"]
    with service_on(site.ports[0], answers(OK)) as upstream:
        for version in site.versions:
            for origin in origins:
                with site.visited(version) as visitor:
                    url, fields = site.url("/x", number), {"Origin": origin}
                    assert visitor.post(url, content=b"x", headers=fields).status_code == 403
        assert upstream.connections == 0


def test_a_websocket(site: Site) -> None:
    number = site.ports[0] + OFFSET
    origin = [("Origin", site.url("", number))]
    with service_on(site.ports[0], echoing), site.connect(number) as visitor:
        visitor.send(handshake("/ws", origin, host=f"localhost:{number}"))
        visitor.switched()
        visitor.says_and_hears()


def test_what_the_service_answers(site: Site) -> None:
    lines = ["Location: http://localhost:{port}/y", "Set-Cookie: a=1; Path=/; HttpOnly"]
    port, number = site.ports[0], site.ports[0] + OFFSET
    with service_on(port, with_fields(*lines, status="302 Found")), site.visited() as visitor:
        answer = visitor.get(site.url("/d/x", number))
    assert answer.headers["Location"] == site.url("/y", number)
    name = f"__Host-portproxy.{port}.a" if site.tls else f"portproxy.{port}.a"
    assert answer.headers["Set-Cookie"].startswith(f"{name}=1; ")
    assert ("Secure" in answer.headers["Set-Cookie"]) == (site.tls is not None)


def asked(site: Site, connected: int, host: str) -> int:
    """The status of a request on a connection to one number that names another."""
    with site.connect(connected) as visitor:
        visitor.send(request_bytes("GET", "/x", host=host))
        return visitor.reply().status


def test_what_a_host_says_that_is_not_the_connections(site: Site) -> None:
    """Only where nginx tells the port does that count; else the visitor may as well connect there.
    Caddy serves no name but its own."""
    first, second = (port + OFFSET for port in site.ports)
    with (
        service_on(site.ports[0], answers(OK)) as one,
        service_on(site.ports[1], answers(OK)) as other,
    ):
        for connected in (site.server.port, first):
            status = asked(site, connected, f"localhost:{second}")
            is_app = connected == site.server.port
            if site.tells_port:
                # ProxyFix has put the connection's port into the Host.
                assert status == (404 if is_app else 200)
        reached = (one.connections, other.connections)
        assert not site.tells_port or reached == (1, 0)
        for host in (f"localhost:0{first}", f"localhost:{first}x"):
            status = asked(site, first, host)
            assert status in (200, 400, 404, 421), host
        assert other.connections == reached[1]


def test_the_path_form_is_there_too(site: Site, service: ServiceFactory) -> None:
    upstream = service(answers(OK))
    with site.visited() as visitor:
        assert visitor.get(site.url(path_form(upstream.port, "/x"))).text == "hi"
