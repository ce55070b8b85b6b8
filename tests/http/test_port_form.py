"""The port form on real servers: they listen on the services' numbers, or we do for them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.support.client import Client, request_bytes
from tests.support.portapp import (
    NAVIGATES,
    OFFSET,
    Held,
    Site,
    bound,
    held,
    running_site,
    service_on,
)
from tests.support.ports import bound_socket
from tests.support.received import OK, Received, recording, with_fields
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, answers
from tests.support.tls import tls_files
from tests.support.urls import path_form, query_form
from tests.support.waiting import until
from tests.support.websocket import BINARY, Frame, echoing, handshake

LISTENING = ["gunicorn-gthread", "gunicorn-gthread-2", "gunicorn-sync", "waitress"]
ON_DEMAND = [
    *("gunicorn-gthread-demand", "gunicorn-sync-demand", "gunicorn-gthread-tls"),
    *("cheroot", "werkzeug", "gevent"),
]


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        ports = stack.enter_context(held(3)).ports
        tls = stack.enter_context(tls_files()) if request.param.endswith("-tls") else None
        yield stack.enter_context(running_site(request.param, ports, tls))


def each(names: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("site", names, indirect=True)


def own_origin(site: Site, number: int) -> str:
    return f"{site.scheme}://localhost:{number}"


# --- On each server ------------------------------------------------------------------------------


@each(LISTENING + ON_DEMAND)
def test_requests(site: Site) -> None:
    seen: list[Received] = []
    port, number = site.ports[0], site.open(site.ports[0])
    own = own_origin(site, number)
    with service_on(port, recording(seen)):
        for method, body in (("GET", b""), ("POST", b"x" * 3_000_000), ("DELETE", b"")):
            target = "/bob/secret/?port=1&x=%2F"
            fields = [("Origin", own), ("Referer", f"{own}/lab")]
            reply = site.ask(number, method, target, headers=fields, body=body)
            assert (reply.status, reply.body, reply.complete) == (200, b"hi", True)
            received = seen[-1]
            assert (received.method, received.target, received.body) == (method, target, body)
            told = f"localhost:{port}"
            assert (received.values("Host"), received.values("Cookie")) == ([told], [])
            assert received.values("Origin") == [f"http://{told}"]
            assert received.values("Referer") == [f"http://{told}/lab"]


@each(LISTENING + ON_DEMAND)
def test_several_requests_on_a_connection(site: Site) -> None:
    seen: list[Received] = []
    number = site.open(site.ports[0])
    with service_on(site.ports[0], recording(seen)), site.connect(number) as visitor:
        for count in range(3):
            visitor.send(request_bytes("GET", f"/{count}", host=f"localhost:{number}"))
            assert visitor.reply().status == 200
            if visitor._is_over:  # a request may leave its thread, and this its connection
                break
    assert [one.target for one in seen] == [f"/{count}" for count in range(len(seen))]


@each(LISTENING + ON_DEMAND)
def test_a_websocket(site: Site) -> None:
    number = site.open(site.ports[0])
    origin = [("Origin", own_origin(site, number))]
    with service_on(site.ports[0], echoing), site.connect(number) as visitor:
        visitor.send(handshake("/ws?x", origin, host=f"localhost:{number}"))
        visitor.switched()
        visitor.says_and_hears()
        visitor.send_frame(BINARY, bytes(1 << 20))
        assert visitor.frame() == Frame(0x80 | BINARY, bytes(1 << 20))
        visitor.send_close(4321, "enough")
        closed = visitor.frame()
        assert closed is not None
        assert closed.code == 4321
        assert visitor.frame() is None


@each(LISTENING + ON_DEMAND)
def test_a_stream_event_by_event(site: Site) -> None:
    exchanges: list[Exchange] = []

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchanges.append(exchange)
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 0\n\n")
        exchange.peer_closed(60)

    number = site.open(site.ports[0])
    with service_on(site.ports[0], script), site.connect(number) as visitor:
        visitor.send(request_bytes("GET", "/events", host=f"localhost:{number}"))
        for count in range(4):
            if count:
                exchanges[0].send(b"data: %d\n\n" % count)
            while b"data: %d\n\n" % count not in visitor.buffer:
                assert visitor.fill()


@each(LISTENING + ON_DEMAND)
@pytest.mark.parametrize("of", ["sibling", "app", "null", "scheme"])
def test_pages_of_other_ports_are_foreign(site: Site, of: str) -> None:
    number = site.open(site.ports[0])
    sibling = own_origin(site, number + 1)
    other_scheme = own_origin(site, number).replace("http", "ftp")
    own_app = own_origin(site, site.server.port)
    origin = {"sibling": sibling, "app": own_app, "null": "null", "scheme": other_scheme}[of]
    with service_on(site.ports[0], answers(OK)) as upstream:
        reply = site.ask(number, "POST", "/x", headers=[("Origin", origin)], body=b"x")
        assert reply.status == 403
        with site.connect(number) as visitor:
            visitor.send(handshake("/ws", [("Origin", origin)], host=f"localhost:{number}"))
            assert visitor.reply().status == 403
        assert upstream.connections == 0


@each(LISTENING + ON_DEMAND)
def test_no_other_name_and_nobody_else(site: Site) -> None:
    number = site.open(site.ports[0])
    with service_on(site.ports[0], answers(OK)) as upstream:
        for name in ("evil.example", f"localhost.evil.example:{number}", "127.0.0.1.example"):
            host = f"{name.partition(':')[0]}:{number}"
            assert site.ask(number, "GET", "/", host).status == 421
        assert site.ask(number, "GET", "/", cookie="user=bob").status == 403
        unknown = site.ask(number, "GET", "/", cookie="")
        assert (unknown.status, "Sign in to the application" in unknown.text) == (403, True)
        assert upstream.connections == 0


@each(LISTENING + ON_DEMAND)
def test_cookies_and_redirects_of_the_service(site: Site) -> None:
    lines = [
        "Set-Cookie: a=1; Path=/; HttpOnly",
        "Set-Cookie: b=1; Path=/",
        "Set-Cookie: sessionid=1; Path=/",
        "Location: http://localhost:{port}//evil.test/",
    ]
    port, number = site.ports[0], site.open(site.ports[0])
    with service_on(port, with_fields(*lines, status="302 Found")):
        reply = site.ask(number, "GET", "/d/x")
        head = site.ask(number, "HEAD", "/d/x")
    secure, name = "", f"portproxy.{port}"
    if site.tls:
        secure, name = "; Secure", f"__Host-portproxy.{port}"
    flags = "; HttpOnly; Path=/; Secure" if site.tls else "; Path=/; HttpOnly"
    ours = "; Path=/; Secure" if site.tls else "; Path=/"
    for one in (reply, head):
        assert one.status == 302
        assert one.value("Location") == f"{own_origin(site, number)}//evil.test/"
        assert one.values("Set-Cookie") == [
            f"{name}.a=1{flags}",
            f"b=1; Path=/{secure}",
            f"{name}.sessionid=1{ours}",
        ]


@each(LISTENING + ON_DEMAND)
def test_a_service_that_is_not_there(site: Site) -> None:
    reply = site.ask(site.open(site.ports[0]), "GET", "/")
    assert (
        reply.status,
        f"Failed to connect to service on port {site.ports[0]}" in reply.text,
    ) == (
        502,
        True,
    )


@each(LISTENING + ON_DEMAND)
def test_the_apps_own_pages(site: Site) -> None:
    own = site.server.port
    assert site.ask(own, "GET", "/login").text.startswith("the app: /login")
    with service_on(site.ports[0], answers(OK)):
        for form in (path_form, query_form):
            assert site.ask(own, "GET", form(site.ports[0], "/x")).body == b"hi"
        posted = site.ask(
            own, "POST", query_form(site.ports[0], "/x"), headers=NAVIGATES, body=b"x"
        )
        assert (posted.status, posted.value("Location")) == (307, path_form(site.ports[0], "/x"))


# --- What is forged ------------------------------------------------------------------------------


@each(LISTENING)
def test_on_each_listener_a_host_names_its_own_port_alone(site: Site) -> None:
    numbers = [port + OFFSET for port in site.ports]
    listeners = [site.server.port, *numbers]
    with contextlib.ExitStack() as stack:
        services = [stack.enter_context(service_on(port, answers(OK))) for port in site.ports]
        for listener in listeners:
            hosts = {f"localhost:{other}" for other in listeners if other != listener}
            if listener in numbers:
                hosts |= {"localhost", "localhost:443", f"localhost:0{listener}", "localhost:x"}
            for host in hosts:
                for target in ("/", "/login", path_form(site.ports[0], "/")):
                    reply = site.ask(listener, "GET", target, host)
                    assert reply.status in (400, 421), (listener, host, reply.text)
        assert [service.connections for service in services] == [0, 0, 0]
        for number in numbers:
            assert site.ask(number, "GET", "/").body == b"hi"


@each(ON_DEMAND)
def test_where_we_listen_the_app_is_asked_by_its_own_number(site: Site) -> None:
    """A connection that we pass on comes to the server's port, as one of the app's does."""
    number = site.open(site.ports[0])
    with service_on(site.ports[0], answers(OK)) as upstream:
        for host in (f"localhost:0{number}", f"localhost:{number}x", f"localhost:+{number}"):
            assert site.ask(number, "GET", "/x", host).status in (400, 404), host
        assert upstream.connections == 0


# --- Our own ports -------------------------------------------------------------------------------


@each(["gunicorn-gthread", "waitress", "werkzeug"])
def test_our_own_port_as_a_service(site: Site) -> None:
    own = site.server.port
    for host, target in [
        (f"localhost:{own + OFFSET}", "/login"),
        (f"localhost:{own}", path_form(own, "/login")),
    ]:
        reply = site.ask(own, "GET", target, host)
        assert (reply.status, "itself listens" in reply.text) == (508, True)


@each([*LISTENING, "gunicorn-gthread-demand", "werkzeug"])
def test_what_comes_round_by_another_of_our_ports(site: Site) -> None:
    number = site.open(site.ports[0])
    reply = site.ask(site.server.port, "GET", path_form(number, "/x"))
    assert reply.status == 508


class At(Client):
    """A connection to another address of this machine."""

    def __init__(self, address: str, port: int) -> None:
        self.sock = socket.create_connection((address, port), timeout=30)
        self.buffer = b""


@pytest.fixture(scope="module")
def same_number() -> Iterator[tuple[Server, Held]]:
    """A site whose services have their own numbers: the first has an address of its own for that,
    the others are where the services would be."""
    with held(3) as ports:
        addresses = ("127.0.0.2", "127.0.0.1", "0.0.0.0")
        options: tuple[str, ...] = ()
        for address, port in zip(addresses, ports.ports, strict=True):
            options += bound([port], address)
        with gunicorn("tests.support.portapp:same_number", options=options) as server:
            yield server, ports


def test_with_the_same_number_the_site_has_an_address_of_its_own(
    same_number: tuple[Server, Held],
) -> None:
    server, ports = same_number
    port = ports.ports[0]
    with service_on(port, answers(OK)) as upstream:
        with At("127.0.0.2", port) as visitor:
            visitor.send(request_bytes("GET", "/x", host=f"localhost:{port}"))
            assert visitor.reply().body == b"hi"
        with At("127.0.0.2", port) as visitor:
            visitor.send(request_bytes("GET", "/x", host="localhost"))
            assert visitor.reply().status == 421
        with At("127.0.0.1", server.port) as visitor:
            visitor.send(request_bytes("GET", "/x", host=f"localhost:{port}"))
            assert visitor.reply().status == 421
        assert upstream.connections == 1


@pytest.mark.parametrize("one", [1, 2])
def test_where_the_server_is_the_service_cannot_be(
    same_number: tuple[Server, Held], one: int
) -> None:
    port = same_number[1].ports[one]
    with At("127.0.0.1", port) as visitor:
        visitor.send(request_bytes("GET", "/x", host=f"localhost:{port}"))
        reply = visitor.reply()
        assert (reply.status, "itself listens" in reply.text) == (508, True)


# --- Isolated ------------------------------------------------------------------------------------


def test_isolated_services_are_opened_at_their_ports_only() -> None:
    with held(1) as ports:
        [port], [number] = ports.ports, ports.numbers
        options = bound([number])
        with (
            gunicorn("tests.support.portapp:isolated", options=options) as server,
            service_on(port, answers(OK)) as upstream,
        ):
            site = Site("isolated", server, [port])
            for form in (path_form, query_form):
                target = form(port, "/x?y")
                moved = site.ask(server.port, "GET", target, headers=NAVIGATES)
                assert moved.value("Location") == f"http://localhost:{number}/x?y"
                for method, headers in (("GET", []), ("POST", NAVIGATES)):
                    refused = site.ask(server.port, method, target, headers=headers)
                    assert refused.status == 403
                    assert f"Open it at localhost:{number}." in refused.text
                    assert refused.text.startswith("On this site each service has its own address.")
            assert upstream.connections == 0
            assert site.ask(number, "GET", "/x").body == b"hi"
            stray = [("Referer", f"http://localhost:{server.port}{path_form(port, '/')}")]
            assert site.ask(server.port, "GET", "/x.js", headers=stray).status == 404


def test_the_ports_are_not_taken_by_a_test_that_ended() -> None:
    sock = bound_socket()
    port = sock.getsockname()[1]
    for _ in range(2):
        with service_on(port, answers(OK)) as upstream, Client(port) as visitor:
            visitor.send(request_bytes("GET", "/"))
            assert visitor.reply().status == 200
            until(lambda: upstream.connections == 1, "it has come")
    sock.close()
