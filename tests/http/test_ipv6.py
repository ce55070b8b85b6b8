"""Services on [::1] only, as tools of Node start: said by the error, reached where that is set."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import ask
from tests.support.ports import bound_socket, free_port
from tests.support.received import OK, pages_and_sockets, parse_request
from tests.support.servers import Server
from tests.support.service import Service, answers
from tests.support.urls import Form, both_forms, path_form
from tests.support.websocket import Visitor, handshake


@pytest.fixture
def on_ipv6(variants: Mapping[str, Server]) -> Server:
    return variants["on_ipv6"]


def on_loopback(address: str, port: int) -> Service:
    """A service that listens on that address, whatever else has the port on another."""
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    return Service(pages_and_sockets(OK), listener)


@pytest.fixture
def upstream() -> Iterator[Service]:
    one = on_loopback("::1", free_port())
    yield one
    one.close()


@both_forms
def test_the_error_says_where_the_service_listens_and_how_to_start_it(
    host: Server, upstream: Service, form: Form
) -> None:
    reply = ask(host.port, "GET", form(upstream.port, "/x"))
    assert (reply.status, reply.value("X-Portproxy-Error")) == (502, "unreachable")
    assert reply.text == (
        f"Failed to connect to service on port {upstream.port}.\n"
        f"A service is listening on [::1]:{upstream.port} only, the IPv6 loopback. Start it on "
        "127.0.0.1; most accept --host 127.0.0.1.\n"
    )
    assert upstream.heads == []  # nobody knows whose it is


def test_the_page_waits_for_one_on_127_0_0_1(host: Server, upstream: Service) -> None:
    fields = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")]
    reply = ask(host.port, "GET", path_form(upstream.port, "/"), headers=fields)
    assert reply.status == 502
    assert "npx</span> <span>vite</span>" in reply.text


def test_a_websocket_is_refused_likewise(host: Server, upstream: Service) -> None:
    with Visitor(host.port) as visitor:
        visitor.send(handshake(path_form(upstream.port, "/ws")))
        assert visitor.reply().status == 502
    assert upstream.heads == []


@both_forms
def test_where_it_is_set_it_is_reached(on_ipv6: Server, upstream: Service, form: Form) -> None:
    for method in ("GET", "POST", "GET"):
        assert ask(on_ipv6.port, method, form(upstream.port, "/x?y")).body == b"hi"
    for head in upstream.heads:
        request = parse_request(head)
        assert request.target == "/x?y"
        assert request.values("Host") == [f"localhost:{upstream.port}"]
    assert len(upstream.heads) == 3


def test_a_websocket_too(on_ipv6: Server, upstream: Service) -> None:
    with Visitor(on_ipv6.port) as visitor:
        visitor.open(path_form(upstream.port, "/ws"))
        visitor.says_and_hears()


def test_127_0_0_1_is_preferred(on_ipv6: Server, service: ServiceFactory) -> None:
    ours = service(answers(OK, keep_open=False))
    other = on_loopback("::1", ours.port)
    try:
        for _ in range(3):
            assert ask(on_ipv6.port, "GET", path_form(ours.port, "/x")).body == b"hi"
        assert (len(ours.heads), other.heads) == (3, [])
    finally:
        other.close()


def test_a_service_that_moves_is_followed(on_ipv6: Server) -> None:
    """Started on [::1] first and on 127.0.0.1 then, as the page advises."""
    port = free_port()
    for address in ("::1", "127.0.0.1"):
        one = on_loopback(address, port)
        assert ask(on_ipv6.port, "GET", path_form(port, "/x")).body == b"hi"
        one.close()
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
        other = on_loopback("::1", port)
        with socket.create_connection(("127.0.0.1", port)):
            assert ask(host.port, "GET", path_form(port, "/x")).status == 504
        assert other.heads == []
        other.close()
