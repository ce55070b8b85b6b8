"""What one port may take of the places, and what the numbers of a process tell."""

from __future__ import annotations

import json
import sys
import threading

import pytest

from tests.conftest import ServiceFactory
from tests.support.chosen import settings
from tests.support.client import Client, ask, request_bytes
from tests.support.ports import free_port
from tests.support.procfs import descriptors, worker_of
from tests.support.received import OK
from tests.support.servers import Server, running
from tests.support.service import Exchange, answers
from tests.support.urls import path_form
from tests.support.waiting import PATIENCE, until
from tests.support.websocket import Visitor, echoing, handshake

from .conftest import TunnelFactory, clean


@pytest.mark.promise("Descriptors are bounded")
@pytest.mark.case("one port with all the tunnels")
@pytest.mark.parametrize(("app", "each"), [("eight", 4), ("one-each", 1)])
def test_one_port_cannot_have_all_places(
    host: Server, service: ServiceFactory, app: str, each: int
) -> None:
    """Of eight places half, unless the deployment says how many."""
    crowded, other = service(echoing), service(echoing)
    visitors = [Visitor(host.port) for _ in range(each)]
    try:
        for visitor in visitors:
            visitor.open(path_form(crowded.port, "/x"), settings(app))
        refused = ask_for_socket(host, crowded.port, app)
        assert b" 503 " in refused.partition(b"\r\n")[0]
        # Others are refused as ever, whatever goes on there.
        refused = ask_for_socket(host, crowded.port, app, "user=bob")
        assert b" 403 " in refused.partition(b"\r\n")[0]
        assert b" 101 " in ask_for_socket(host, other.port, app).partition(b"\r\n")[0]
    finally:
        for visitor in visitors:
            visitor.close()
    until(
        lambda: b" 101 " in ask_for_socket(host, crowded.port, app).partition(b"\r\n")[0],
        "there is room again",
    )


def ask_for_socket(host: Server, port: int, app: str, cookie: str = "user=alice") -> bytes:
    """The head of the answer to a handshake, whose tunnel is closed at once."""
    with Visitor(host.port) as visitor:
        visitor.send(handshake(path_form(port, "/x"), settings(app), cookie=cookie))
        return visitor.read_head()


def test_the_numbers_of_a_process(host: Server, tunnel: TunnelFactory) -> None:
    until(lambda: not numbers(host)["websockets"], "those of other tests are over")
    opened = [tunnel(host) for _ in range(3)]
    now = numbers(host)
    assert (now["websockets"], now["streams"]) == (3, 0)
    assert now["descriptors"] == pytest.approx(descriptors(worker_of(host)), abs=3)
    assert now["relay_longest_turn"] > 0
    for ends in opened:
        ends.visitor.close()
        ends.service.sock.close()
    until(lambda: not numbers(host)["websockets"], "they are over")


def test_a_request_that_waits_is_counted_as_such(service: ServiceFactory) -> None:
    released = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        released.wait(PATIENCE)
        exchange.send(OK)

    with (
        clean("tests.support.tunnelapp:application", env={"LEAVING": ""}) as host,
        Client(host.port, timeout=PATIENCE) as client,
    ):
        client.send(request_bytes("GET", path_form(service(script).port, "/x")))
        until(lambda: numbers(host)["waiting"] == 1, "it has left its thread")
        now = numbers(host)
        assert (now["requests"], now["streams"], now["websockets"]) == (0, 0, 0)
        released.set()
        assert client.reply().body == b"hi"
        until(lambda: numbers(host)["waiting"] == 0, "it is over")


def numbers(host: Server) -> dict[str, float]:
    """`PortProxy.stats()` of the host."""
    found: dict[str, float] = json.loads(ask(host.port, "GET", "/stats").body)
    return found


@pytest.mark.case("a server that reads from connections in use")
def test_with_lookahead_waitress_keeps_its_connections(service: ServiceFactory) -> None:
    """Its own thread reads from them while a request is served: they cannot be taken out. All else
    works."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.run_server", "waitress-lookahead", str(port)]
    upstream, plain = service(echoing), service(answers(OK))
    with running(command, port) as server:
        with Visitor(server.port) as visitor:
            visitor.send(handshake(path_form(upstream.port, "/x")))
            reply = visitor.reply()
            assert reply.status == 501
            assert "channel_request_lookahead" in reply.text
        assert ask(server.port, "GET", path_form(plain.port, "/x")).status == 200
        assert "Traceback" not in server.output()
