"""Visitors who leave: the service hears of it soon, and nothing of theirs stays open."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk
from tests.support.client import Client, request_bytes
from tests.support.endings import close, reset, send_until_stopped
from tests.support.procfs import nothing_left, worker_of
from tests.support.received import OK
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, Script, answers
from tests.support.urls import Form, path_form, query_form
from tests.support.waiting import PATIENCE, peer_left, until

from .common import get

ways_to_leave = pytest.mark.parametrize("leave", [close, reset])


@pytest.fixture(scope="module")
def watched() -> Iterator[Server]:
    """A host of its own, whose descriptors are counted; with a thread for each silent stream."""
    with gunicorn(threads=32) as server:
        yield server
        assert "Traceback" not in server.output()


class Watched:
    """A script that sends `first`, then `again` every few milliseconds, until the proxy leaves."""

    def __init__(self, first: bytes, again: bytes = b"") -> None:
        self.first = first
        self._again = again
        self.sent_first = threading.Event()
        self.left = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(self.first)
        self.sent_first.set()
        with contextlib.suppress(ConnectionError):
            until(lambda: self._sees_the_end(exchange), "the proxy leaves")
        self.left.set()

    def _sees_the_end(self, exchange: Exchange) -> bool:
        exchange.send(self._again)
        return peer_left(exchange.sock)


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN, EVENTS = CHUNKED % b"text/plain", CHUNKED % b"text/event-stream"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n"
TICK = chunk(b"data: tick\n\n")
STREAMS = [  # what the service sends first, and again and again
    (PLAIN, TICK),
    (PLAIN + TICK, b""),
    (PLAIN, b""),
    (EVENTS, TICK),
    (EVENTS + TICK, b""),
    (EVENTS, b""),
    (b"HTTP/1.0 200 OK\r\n\r\nfirst", b""),
    (LENGTH + b"first", b""),
    (LENGTH, b"more"),
]


def leave_at_once(
    host: Server,
    service: ServiceFactory,
    leave: Callable[[socket.socket], None],
    form: Form,
    scripts: list[Watched],
    *,
    method: str = "GET",
) -> None:
    """Ask for all of them, leave when each has sent what it sends first, and wait until each has
    seen it."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(host.port)) for _ in scripts]
        for client, script in zip(clients, scripts, strict=True):
            body = b"body" if method == "POST" else b""
            target = form(service(script).port, "/x")
            client.send(request_bytes(method, target, body=body))
        for client, script in zip(clients, scripts, strict=True):
            assert script.sent_first.wait(PATIENCE)
            if script.first:
                assert client.read_head().startswith(b"HTTP/1.1 200 ")
            leave(client.sock)
    for script in scripts:
        assert script.left.wait(PATIENCE), script.first


@pytest.mark.case("a visitor leaves, also a silent stream")
@ways_to_leave
@pytest.mark.parametrize("form", [query_form, path_form])
def test_the_service_sees_it_in_mid_stream_and_no_descriptor_is_left(
    watched: Server, service: ServiceFactory, form: Form, leave: Callable[[socket.socket], None]
) -> None:
    # The relay of streams has a few descriptors of its own.
    leave_at_once(watched, service, close, form, [Watched(EVENTS + TICK)])
    with nothing_left(worker_of(watched)):
        scripts = [Watched(first, again) for first, again in STREAMS]
        leave_at_once(watched, service, leave, form, scripts)


@ways_to_leave
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_service_sees_it_before_its_answer(
    host: Server, service: ServiceFactory, method: str, leave: Callable[[socket.socket], None]
) -> None:
    leave_at_once(host, service, leave, query_form, [Watched(b"")], method=method)


@ways_to_leave
def test_the_service_sees_it_though_the_visitor_had_stopped_reading(
    host: Server, service: ServiceFactory, leave: Callable[[socket.socket], None]
) -> None:
    """Everything in between is full, the worker waits for the visitor to take more."""
    full, left = threading.Event(), threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        send_until_stopped(exchange.sock)
        full.set()
        until(lambda: peer_left(exchange.sock), "the proxy leaves")
        left.set()

    with Client(host.port) as client:
        client.send(request_bytes("GET", query_form(service(script).port, "/x")))
        client.read_head()
        assert full.wait(PATIENCE)
        assert not left.is_set()
        leave(client.sock)
    assert left.wait(PATIENCE)


def test_a_visitor_that_only_ends_its_sending_is_answered_if_the_service_is_quick(
    host: Server, service: ServiceFactory
) -> None:
    upstream = service(answers(OK))
    with Client(host.port) as client:
        client.send(request_bytes("GET", query_form(upstream.port, "/x")))
        client.sock.shutdown(socket.SHUT_WR)
        reply = client.reply()
    assert (reply.status, reply.body) == (200, b"hi")


ENDS: list[Script] = [
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


def test_no_descriptor_is_left_whatever_the_service_does(
    watched: Server, service: ServiceFactory
) -> None:
    def script(exchange: Exchange) -> None:
        """Each connection ends in another way."""
        exchange.read_head()
        ENDS[exchange.number % len(ENDS)](exchange)

    upstream = service(script)
    with nothing_left(worker_of(watched), idle=1):
        for number in range(10 * len(ENDS)):
            get(watched, upstream, method="POST" if number % 2 else "GET")
