"""A front-end that keeps its connections to the server: nginx with `keepalive`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import ServiceFactory
from tests.support.chosen import settings
from tests.support.chunks import chunk
from tests.support.client import Client, ask, request_bytes
from tests.support.nginx import nginx
from tests.support.servers import Server
from tests.support.service import Exchange, answers
from tests.support.streams import stream_target
from tests.support.urls import path_form

from .conftest import EVENT, clean

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n"
ROUNDS = 30


@pytest.fixture(scope="module")
def front() -> Iterator[tuple[Server, Server]]:
    """nginx, and the gunicorn behind it."""
    with ExitStack() as stack:
        behind = stack.enter_context(clean("tests.support.streamapp:application", threads=4))
        yield stack.enter_context(nginx(behind.port)), behind


@pytest.mark.promise("No request is lost on a connection that left the server")
@pytest.mark.case("a front-end's next request behind a stream that left")
def test_no_request_is_lost_on_the_connection_of_a_stream_that_left(
    front: tuple[Server, Server], service: ServiceFactory
) -> None:
    """The server's part of such a connection ends with the stream, and the next request that the
    front-end sends on it would go nowhere: a POST is not sent again."""
    server, _ = front
    ended = threading.Semaphore(0)

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            exchange.send(STREAM + chunk(EVENT))
            ended.acquire(timeout=30)
            exchange.send(b"0\r\n\r\n")

    streaming = service(script)
    posted = service(answers(OK))
    for _ in range(ROUNDS):
        with Client(server.port, timeout=30) as visitor:
            visitor.send(request_bytes("GET", stream_target(streaming.port)))
            while EVENT not in visitor.buffer:
                assert visitor.fill()
            ended.release()
            while b"0\r\n\r\n" not in visitor.buffer:
                assert visitor.fill()
        reply = ask(server.port, "POST", path_form(posted.port, "/x"), body=b"important")
        assert (reply.status, reply.body) == (200, b"hi")


@pytest.mark.promise("No request is lost on a connection that left the server")
@pytest.mark.case("a front-end's next request behind a stream that left")
def test_what_may_leave_says_that_the_connection_closes_and_nothing_else_does(
    front: tuple[Server, Server], service: ServiceFactory
) -> None:
    """What has come whole in time does not leave; here nothing leaves for it is time."""
    _, behind = front

    def begin(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(STREAM)
        exchange.read(1)  # until the visitor leaves

    for whole in (OK, STREAM + chunk(EVENT) + b"0\r\n\r\n"):
        target = path_form(service(answers(whole)).port, "/x")
        reply = ask(behind.port, "GET", target, headers=settings("patient"))
        assert reply.value("Connection") == "keep-alive"
    with Client(behind.port) as visitor:
        target = path_form(service(begin).port, "/x")
        visitor.send(request_bytes("GET", target, headers=settings("patient")))
        assert b"\r\nConnection: close\r\n" in visitor.read_head() + b"\r\n"
