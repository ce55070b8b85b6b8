"""Visitors who leave: the service hears of it soon, and nothing of theirs stays open."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk
from tests.support.client import Client, ask, request_bytes
from tests.support.endings import close, reset
from tests.support.procfs import descriptors, worker_of
from tests.support.received import OK
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, Script, answers
from tests.support.urls import Form, both_forms, query_form
from tests.support.waiting import PATIENCE, peer_left, until

# Seconds; the aim is one, the rest is for a busy machine.
SOON = 3.0


ways_to_leave = pytest.mark.parametrize("leave", [close, reset])


class Watched:
    """A script that sends `first`, then `again` every few milliseconds, until the proxy leaves."""

    def __init__(self, first: bytes, again: bytes = b"") -> None:
        self._first = first
        self._again = again
        self.sent_first = threading.Event()
        self.left = threading.Event()
        self.left_at = 0.0

    def __call__(self, exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(self._first)
        self.sent_first.set()
        try:
            deadline = time.monotonic() + PATIENCE
            while not peer_left(exchange.sock) and time.monotonic() < deadline:
                exchange.send(self._again)
                time.sleep(0.005)
        except ConnectionError:
            pass
        self.left_at = time.monotonic()
        self.left.set()


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN, EVENTS = CHUNKED % b"text/plain", CHUNKED % b"text/event-stream"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n"
TICK = chunk(b"data: tick\n\n")
STREAMS = [
    pytest.param(PLAIN, TICK, id="steady-stream"),
    pytest.param(PLAIN + TICK, b"", id="silent-stream"),
    pytest.param(PLAIN, b"", id="silent-from-the-head-on"),
    pytest.param(EVENTS, TICK, id="steady-events"),
    pytest.param(EVENTS + TICK, b"", id="silent-events"),
    pytest.param(EVENTS, b"", id="silent-events-from-the-head-on"),
    pytest.param(b"HTTP/1.0 200 OK\r\n\r\nfirst", b"", id="silent-http-1.0"),
    pytest.param(LENGTH + b"first", b"", id="silent-length"),
    pytest.param(LENGTH, b"more", id="steady-length"),
]


@both_forms
@ways_to_leave
@pytest.mark.parametrize(("first", "again"), STREAMS)
def test_the_service_sees_it_in_mid_stream(
    host: Server,
    service: ServiceFactory,
    form: Form,
    first: bytes,
    again: bytes,
    leave: Callable[[socket.socket], None],
) -> None:
    script = Watched(first, again)
    upstream = service(script)
    with Client(host.port) as client:
        client.send(request_bytes("GET", form(upstream.port, "/x")))
        assert client.read_head().startswith(b"HTTP/1.1 200 ")
        leave(client.sock)
        left_at = time.monotonic()
        assert script.left.wait(PATIENCE)
    assert script.left_at - left_at < SOON


@both_forms
@ways_to_leave
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_service_sees_it_before_its_answer(
    host: Server,
    service: ServiceFactory,
    form: Form,
    method: str,
    leave: Callable[[socket.socket], None],
) -> None:
    script = Watched(b"")
    upstream = service(script)
    with Client(host.port) as client:
        body = b"body" if method == "POST" else b""
        client.send(request_bytes(method, form(upstream.port, "/x"), body=body))
        assert script.sent_first.wait(PATIENCE)
        leave(client.sock)
        left_at = time.monotonic()
        assert script.left.wait(PATIENCE)
    assert script.left_at - left_at < SOON


@ways_to_leave
def test_the_service_sees_it_though_the_visitor_had_stopped_reading(
    host: Server, service: ServiceFactory, leave: Callable[[socket.socket], None]
) -> None:
    """Everything in between is full, the worker waits for the visitor to take more."""
    script = Watched(PLAIN)

    def endless(exchange: Exchange) -> None:
        exchange.read_head()
        try:
            while True:
                exchange.send(PLAIN if not script.sent_first.is_set() else chunk(b"x" * 65536))
                script.sent_first.set()
        except ConnectionError:
            script.left_at = time.monotonic()
            script.left.set()

    upstream = service(endless)
    with Client(host.port) as client:
        client.send(request_bytes("GET", query_form(upstream.port, "/x")))
        client.read_head()
        assert not script.left.wait(0.2)
        leave(client.sock)
        left_at = time.monotonic()
        assert script.left.wait(PATIENCE)
    assert script.left_at - left_at < SOON


def test_a_visitor_that_only_ends_its_sending_is_answered_if_the_service_is_quick(
    host: Server, service: ServiceFactory
) -> None:
    upstream = service(answers(OK))
    with Client(host.port) as client:
        client.send(request_bytes("GET", query_form(upstream.port, "/x")))
        client.sock.shutdown(socket.SHUT_WR)
        reply = client.reply()
    assert (reply.status, reply.body) == (200, b"hi")


# --- Nothing stays open --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watched() -> Iterator[Server]:
    """A host of its own, whose descriptors are counted."""
    with gunicorn() as server:
        yield server
        assert "Traceback" not in server.output()


def many_ends(exchange: Exchange) -> None:
    """Each connection ends in another way."""
    ways: list[Script] = [
        lambda exchange: exchange.send(OK),
        lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\n\r\nuntil closed"),
        lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"),
        lambda exchange: exchange.send(PLAIN + b"zz"),
        lambda exchange: exchange.send(b"SSH-2.0-OpenSSH_9.2\r\n"),
        lambda exchange: exchange.send(b"HTTP/1.1 204 No Content\r\n\r\nbogus"),
        lambda exchange: exchange.send(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\nbody"),
        lambda exchange: None,
        lambda exchange: reset(exchange.sock),
    ]
    exchange.read_head()
    ways[exchange.number % len(ways)](exchange)


def test_no_descriptor_is_left_whatever_the_service_does(
    watched: Server, service: ServiceFactory
) -> None:
    worker = worker_of(watched)
    ask(watched.port, "GET", "/login")
    before = descriptors(worker)
    upstream = service(many_ends)
    for number in range(90):
        method, body = ("POST", b"body") if number % 2 else ("GET", b"")
        with Client(watched.port) as client:
            headers = [("Connection", "close")]
            target = query_form(upstream.port, "/x")
            client.send(request_bytes(method, target, headers=headers, body=body))
            while client.fill():
                pass
    until(lambda: descriptors(worker) <= before + 1, "as many descriptors as before")


@pytest.mark.parametrize(("first", "again"), STREAMS)
def test_no_descriptor_is_left_of_a_visitor_that_left(
    watched: Server, service: ServiceFactory, first: bytes, again: bytes
) -> None:
    worker = worker_of(watched)
    warm = Watched(EVENTS + TICK)  # the relay of streams has a few descriptors of its own
    with Client(watched.port) as client:
        client.send(request_bytes("GET", query_form(service(warm).port, "/x")))
        client.read_head()
        assert warm.sent_first.wait(PATIENCE)
    assert warm.left.wait(PATIENCE)
    ask(watched.port, "GET", "/login")
    before = descriptors(worker)
    for _ in range(4):
        script = Watched(first, again)
        upstream = service(script)
        with Client(watched.port) as client:
            client.send(request_bytes("GET", query_form(upstream.port, "/x")))
            client.read_head()
        assert script.left.wait(PATIENCE)
    until(lambda: descriptors(worker) <= before, "as many descriptors as before")
