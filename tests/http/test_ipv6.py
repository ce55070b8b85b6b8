"""Services on [::1] only, as tools of Node start: said by the error, reached where that is set."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import ask
from tests.support.ports import bound_socket, free_port
from tests.support.received import OK, parse_request
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, answers
from tests.support.urls import Form, both_forms, path_form
from tests.support.websocket import Visitor, echoing, handshake


@pytest.fixture(scope="module")
def on_ipv6() -> Iterator[Server]:
    with gunicorn("tests.support.pageapp:on_ipv6") as server:
        yield server
        output = server.output()
        assert "Traceback" not in output
        assert "ResourceWarning" not in output


class Service6:
    """A service on [::1]:port that answers OK, echoes WebSockets, and keeps what it was sent."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heads: list[bytes] = []
        self._listener = socket.socket(socket.AF_INET6)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("::1", port))
        self._listener.listen(16)
        self._threads: list[threading.Thread] = []
        self._accepted: list[socket.socket] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._accepted.append(sock)
            self._threads.append(threading.Thread(target=self._serve, args=(sock,)))
            self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        exchange = Exchange(sock, 0)
        try:
            while request := exchange.read_head():
                self.heads.append(request)
                if b"Upgrade: websocket" in request:
                    exchange.buffer = request + exchange.buffer
                    return echoing(exchange)
                exchange.send(OK)
        except OSError:
            pass  # the proxy hung up
        finally:
            sock.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(5)
        for sock in self._accepted:
            if sock.fileno() >= 0:
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def upstream() -> Iterator[Service6]:
    one = Service6(free_port())
    yield one
    one.close()


@both_forms
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_error_says_where_the_service_listens_and_how_to_start_it(
    host: Server, upstream: Service6, form: Form, method: str
) -> None:
    reply = ask(host.port, method, form(upstream.port, "/x"))
    assert (reply.status, reply.value("X-Portproxy-Error")) == (502, "unreachable")
    assert reply.text == (
        f"Failed to connect to service on port {upstream.port}.\n"
        f"A service listens on [::1]:{upstream.port} only, the IPv6 loopback. Start it on "
        "127.0.0.1: most take --host 127.0.0.1.\n"
    )
    assert upstream.heads == []  # nobody knows whose it is


def test_the_page_waits_for_one_on_127_0_0_1(host: Server, upstream: Service6) -> None:
    fields = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")]
    reply = ask(host.port, "GET", path_form(upstream.port, "/"), headers=fields)
    assert reply.status == 502
    assert "npx</span> <span>vite</span>" in reply.text


def test_a_websocket_is_refused_likewise(host: Server, upstream: Service6) -> None:
    with Visitor(host.port) as visitor:
        visitor.send(handshake(path_form(upstream.port, "/ws")))
        assert visitor.reply().status == 502
    assert upstream.heads == []


@both_forms
def test_where_it_is_set_it_is_reached(on_ipv6: Server, upstream: Service6, form: Form) -> None:
    for method in ("GET", "POST", "GET"):
        assert ask(on_ipv6.port, method, form(upstream.port, "/x?y")).body == b"hi"
    for head in upstream.heads:
        request = parse_request(head)
        assert request.target == "/x?y"
        assert request.values("Host") == [f"localhost:{upstream.port}"]
    assert len(upstream.heads) == 3


def test_a_websocket_too(on_ipv6: Server, upstream: Service6) -> None:
    with Visitor(on_ipv6.port) as visitor:
        visitor.open(path_form(upstream.port, "/ws"))
        visitor.says_and_hears()


def test_127_0_0_1_is_preferred(on_ipv6: Server, service: ServiceFactory) -> None:
    ours = service(answers(OK, keep_open=False))
    other = Service6(ours.port)
    try:
        for _ in range(3):
            assert ask(on_ipv6.port, "GET", path_form(ours.port, "/x")).body == b"hi"
        assert (len(ours.heads), other.heads) == (3, [])
    finally:
        other.close()


def test_a_service_that_moves_is_followed(on_ipv6: Server) -> None:
    """Started on [::1] first and on 127.0.0.1 then, as the page advises."""
    port = free_port()
    first = Service6(port)
    assert ask(on_ipv6.port, "GET", path_form(port, "/x")).body == b"hi"
    first.close()
    assert ask(on_ipv6.port, "GET", path_form(port, "/x")).status == 502


@pytest.mark.parametrize("name", ["host", "on_ipv6"])
def test_where_nobody_listens_nothing_is_said_of_ipv6(
    name: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(name)
    port = free_port()
    reply = ask(server.port, "GET", path_form(port, "/x"))
    assert (reply.status, "IPv6" in reply.text) == (502, False)
    assert f"python3 -m http.server {port}" in reply.text


def test_a_service_that_is_busy_on_127_0_0_1_is_not_looked_for_elsewhere(host: Server) -> None:
    with bound_socket() as full:
        full.listen(0)
        port = full.getsockname()[1]
        other = Service6(port)
        waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(1)]
        try:
            reply = ask(host.port, "GET", path_form(port, "/x"))
            assert reply.status == 504
            assert other.heads == []
        finally:
            other.close()
            for sock in waiting:
                sock.close()
