"""Listeners for the port form in this process, in front of a scripted server: what passes through
them, and when they go."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.endings import close, reset
from tests.support.ports import bound_socket, free_port
from tests.support.service import Exchange, Service
from tests.support.waiting import PATIENCE, until
from tests.unit.given import environ
from wsgi_portproxy import Listen
from wsgi_portproxy.locate.visit import Visit
from wsgi_portproxy.servers.listening import forget_listening, listening_at
from wsgi_portproxy.tunnel.listeners import Listeners

from .test_listeners import is_refused


class Opened:
    """Listeners of this process, in front of a scripted server."""

    def __init__(self, server: Service, **settings: Any) -> None:
        self.listeners = Listeners(Listen(**settings))
        reached = (socket.AF_INET, ("127.0.0.1", server.port))
        visit: Any = SimpleNamespace(reached=reached, environ={"wsgi.multiprocess": True})
        self.visit = visit
        self.number = free_port()

    def open(self, number: int | None = None) -> bool:
        return self.listeners.open(number or self.number, self.visit)


@contextlib.contextmanager
def opened(script: Any, **settings: Any) -> Iterator[Opened]:
    server = Service(script)
    one = Opened(server, **settings)
    try:
        assert one.open()
        yield one
    finally:
        one.listeners.close()
        until(lambda: is_refused(one.number), "it is closed")
        server.close()


def shout(exchange: Exchange) -> None:
    """All bytes come back in upper case, until the visitor has no more."""
    while data := exchange.sock.recv(65536):
        exchange.send(data.upper())
    exchange.send(b"over")


def test_bytes_pass_as_they_are() -> None:
    payload = bytes(range(97, 123)) * 100_000
    with opened(shout) as one, Client(one.number) as visitor:
        visitor.send(b"\0\xff hello")
        while len(visitor.buffer) < 8:
            assert visitor.fill()
        assert visitor.buffer == b"\0\xff HELLO"
        visitor.buffer = b""

        for begin in range(0, len(payload), 65536):
            part = payload[begin : begin + 65536]
            visitor.send(part)
            while len(visitor.buffer) < begin + len(part):
                assert visitor.fill()
        visitor.sock.shutdown(socket.SHUT_WR)
        while visitor.fill():
            pass
        assert visitor.buffer == payload.upper() + b"over"


@pytest.mark.parametrize("leave", [close, reset])
def test_whoever_leaves_the_other_hears_of_it(leave: Any) -> None:
    left: list[bool] = []

    def script(exchange: Exchange) -> None:
        exchange.send(b"hello")
        left.append(exchange.peer_closed(PATIENCE))

    with opened(script) as one, Client(one.number) as visitor:
        assert visitor.fill()
        leave(visitor.sock)
        assert until(lambda: left, "the server hears of it") == [True]

    def leaving(exchange: Exchange) -> None:
        leave(exchange.sock)

    may_reset = contextlib.suppress(ConnectionResetError)  # while it connects, too
    with opened(leaving) as one, may_reset, Client(one.number) as visitor:
        assert not visitor.fill()


def test_where_the_server_is_gone_the_connection_ends() -> None:
    server = Service(shout)
    one = Opened(server)
    assert one.open()
    server.close()
    with contextlib.suppress(ConnectionResetError), Client(one.number) as visitor:
        assert not visitor.fill()
    one.listeners.close()
    until(lambda: is_refused(one.number), "it is closed")


def test_a_closed_listener_is_gone_and_can_be_opened_anew() -> None:
    with opened(shout) as one:
        with Client(one.number) as visitor:
            visitor.send(b"a")
            assert visitor.fill()
            one.listeners.close()
            until(lambda: is_refused(one.number), "it is closed")
            visitor.send(b"a")
            assert visitor.fill()
            assert one.listeners.is_relayed(one.number)
        assert one.open()
        assert not is_refused(one.number)
        assert not one.listeners.is_relayed(one.number + 1)


def test_one_that_is_being_closed_can_be_opened_anew() -> None:
    with opened(shout, listeners=1) as one:
        other = free_port()
        for _ in range(30):
            assert one.open(other)
            assert one.open()
            with Client(one.number) as visitor:
                visitor.send(b"a")
                assert visitor.fill()
        until(lambda: is_refused(other), "it is closed")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it has threads
def test_a_forked_child_drops_them() -> None:
    with opened(shout) as one:
        forget_listening()
        assert listening_at(one.number) == {"127.0.0.1"}
        child = os.fork()
        if child == 0:
            kept = listening_at(one.number) or one.listeners.is_relayed(one.number)
            one.listeners.close()  # of the parent's nothing
            os._exit(1 if kept else 0)
        assert os.waitpid(child, 0)[1] == 0
        assert not is_refused(one.number)
        assert one.listeners.is_relayed(one.number)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.4", "0.0.0.0", "::1", "::"])
def test_it_listens_where_it_is_told(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    seen: list[bytes] = []

    def script(exchange: Exchange) -> None:
        seen.append(exchange.sock.recv(65536))

    server = Service(script)
    one = Opened(server, address=address, proxy_protocol=True)
    there = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    try:
        assert one.open()
        with socket.socket(family) as visitor:
            visitor.connect((there, one.number))
            own = visitor.getsockname()
            until(lambda: seen, "the server has the line")
        version = 6 if ":" in address else 4
        line = f"PROXY TCP{version} {own[0]} {there} {own[1]} {one.number}\r\n"
        assert seen == [line.encode()]
    finally:
        one.listeners.close()
        server.close()


def test_where_it_cannot_listen_it_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with opened(shout, address="127.0.0.1") as one, bound_socket() as other:
        other.listen(1)
        taken = other.getsockname()[1]
        assert not one.open(taken)
        assert not one.listeners.is_relayed(taken)
        silent: Any = SimpleNamespace(reached=None)
        assert not one.listeners.open(free_port(), silent)
        elsewhere = Listeners(Listen(address="192.0.2.7"))
        assert not elsewhere.open(free_port(), one.visit)
    texts = [record.getMessage() for record in caplog.records]
    assert [text.partition(": ")[2] for text in texts] == [
        "Address already in use",
        "the server does not show where it listens",
        "Cannot assign requested address",
    ]


def test_without_settings_nothing_is_opened() -> None:
    visit: Any = SimpleNamespace(reached=None)
    number = free_port()
    listeners = Listeners(None)
    assert listeners.open(number, visit)
    assert is_refused(number)
    assert not listeners.is_relayed(number)
    listeners.close()


def test_where_the_server_was_reached_is_known_after_a_request_has_left_it() -> None:
    """A page that takes long may turn out to need a root of its own."""
    with bound_socket() as sock:
        fields: Any = {"gunicorn.socket": sock}
        visit = Visit(environ(**fields))
        reached = (socket.AF_INET, sock.getsockname())
        assert visit.reached == reached  # before, as `Locator.keep_way_to_root` does
        visit.forget_server(lambda headers: None)
    assert visit.socket is None
    assert visit.reached == reached
    assert Visit(environ()).reached is None


def test_a_server_on_a_unix_socket(tmp_path: object) -> None:
    there = f"{tmp_path}/server"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(there)
        server.listen(1)
        visit: Any = SimpleNamespace(reached=(socket.AF_UNIX, there), environ={})
        listeners, number = Listeners(Listen(proxy_protocol=True)), free_port()
        assert listeners.open(number, visit)
        with Client(number) as visitor:
            port = visitor.sock.getsockname()[1]
            served, _ = server.accept()
            with served:
                line = b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (port, number)
                assert served.recv(100) == line
        listeners.close()
        until(lambda: is_refused(number), "it is closed")
