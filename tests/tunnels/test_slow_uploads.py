"""Uploads that come slowly, on every server that shows them as they come."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.chosen import settings
from tests.support.chunks import Dechunker, chunk
from tests.support.client import Client, request_bytes
from tests.support.servers import Server
from tests.support.service import Exchange
from tests.support.urls import path_form
from tests.support.waiting import PATIENCE, until
from tests.support.waitingapp import MAX_BODY
from tests.support.waitinghost import (
    AT_ONCE,
    BODY,
    assert_the_app_answers,
    clients,
    hanging,
    on,
    serving,
    silent,
)

# Those that show the visitor's body as it comes. waitress calls the application once it has all.
OF_UPLOADS = ["gunicorn-gthread", "gunicorn-sync", "cheroot", "werkzeug"]


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serving(request.param) as one:
        yield one


def upload(target: str, framing: str, **fields: str) -> bytes:
    line = ("Transfer-Encoding", "chunked")
    if framing == "length":
        line = ("Content-Length", str(len(BODY)))
    return request_bytes("POST", target, headers=[line, *fields.items()])


def encoded(framing: str, data: bytes) -> bytes:
    return chunk(data) if framing == "chunked" else data


UPLOADS = [
    *((name, "length") for name in OF_UPLOADS),
    *((name, "chunked") for name in OF_UPLOADS if name.startswith("gunicorn")),
]
uploads = pytest.mark.parametrize(("server", "framing"), UPLOADS, indirect=["server"])


@pytest.mark.case("two hundred uploads at 50 KB/s, on few threads")
@pytest.mark.promise("What waits for a service takes no thread")
@uploads
def test_slow_uploads_take_no_thread(
    server: Server, service: ServiceFactory, let_go: threading.Event, framing: str
) -> None:
    upstream = service(hanging(let_go))
    let_go.set()
    pieces = [BODY[:3000], BODY[3000:3001], BODY[3001:9000], BODY[9000:]]
    request = upload(path_form(upstream.port, "/up"), framing)
    with clients(server, [request] * AT_ONCE) as visitors:
        for piece in pieces:
            assert_the_app_answers(server)
            for visitor in visitors:
                visitor.send(encoded(framing, piece))
        for visitor in visitors if framing == "chunked" else ():
            visitor.send(chunk(b""))
        replies = [visitor.reply() for visitor in visitors]
    assert {(reply.status, reply.complete) for reply in replies} == {(200, True)}
    assert {reply.body for reply in replies} == {BODY}


@uploads
@pytest.mark.parametrize("size", [1, 7, 512])
def test_a_body_byte_by_byte(
    server: Server, service: ServiceFactory, let_go: threading.Event, framing: str, size: int
) -> None:
    let_go.set()
    data = BODY[: size * 20]
    target = path_form(service(hanging(let_go)).port, "/up")
    head = upload(target, framing).replace(b" %d\r\n" % len(BODY), b" %d\r\n" % len(data))
    with Client(server.port) as client:
        client.send(head)
        threading.Event().wait(0.1)  # it has left its thread
        wire = b"".join(encoded(framing, data[i : i + 3]) for i in range(0, len(data), 3))
        wire += chunk(b"") if framing == "chunked" else b""
        for start in range(0, len(wire), size):
            client.send(wire[start : start + size])
        reply = client.reply()
    assert (reply.status, reply.body, reply.complete) == (200, data, True)


@uploads
def test_an_early_answer_to_a_slow_upload(
    server: Server, service: ServiceFactory, framing: str
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.read(1)
        threading.Event().wait(0.2)
        exchange.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\n\r\ntoo much")

    with Client(server.port) as client:
        client.send(upload(path_form(service(script).port, "/up"), framing))
        client.send(encoded(framing, BODY[:3000]))
        reply = client.reply()
        assert (reply.status, reply.body, reply.complete) == (413, b"too much", True)


@uploads
@pytest.mark.parametrize("coding", ["chunked", "close"])
def test_both_directions_at_once_after_it_left(
    server: Server, service: ServiceFactory, framing: str, coding: str
) -> None:
    """An echo, piece by piece: none is sent before the one before has come back."""

    def script(exchange: Exchange) -> None:
        chunked = b"\r\nTransfer-Encoding: chunked\r\n" in exchange.read_head()
        line = b"Transfer-Encoding: chunked\r\n" if coding == "chunked" else b""
        exchange.send(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n")
        dechunker, left, data = Dechunker(), len(BODY), exchange.buffer
        while left:
            body = dechunker.feed(data) if chunked else data
            if body:
                exchange.send(chunk(body) if coding == "chunked" else body)
                left -= len(body)
            if left:
                data = exchange.sock.recv(65536)
                assert data, "the upload ended early"
        if coding == "chunked":
            exchange.send(chunk(b""))
        while chunked and not dechunker.complete:
            dechunker.feed(exchange.sock.recv(65536))

    with Client(server.port, timeout=PATIENCE) as client:
        client.send(upload(path_form(service(script).port, "/up"), framing))
        assert b" 200 " in client.read_head()
        back, echoed = b"", Dechunker()
        for start in range(0, len(BODY), 1000):
            piece = BODY[start : start + 1000]
            client.send(encoded(framing, piece))
            while len(back) < start + len(piece):
                assert client.buffer or client.fill(), "the answer ended early"
                back += echoed.feed(client.buffer)
                client.buffer = b""
        if framing == "chunked":
            client.send(chunk(b""))
        while not echoed.complete:
            assert client.fill(), "the answer ended early"
            back += echoed.feed(client.buffer)
            client.buffer = b""
    assert back == BODY


@on(["gunicorn-gthread", "cheroot", "werkzeug"])
def test_who_expects_to_be_asked_for_the_body_is(
    server: Server, service: ServiceFactory, let_go: threading.Event
) -> None:
    let_go.set()
    upstream = service(hanging(let_go))
    with Client(server.port) as client:
        client.send(upload(path_form(upstream.port, "/up"), "length", Expect="100-continue"))
        assert client.read_head() == b"HTTP/1.1 100 Continue"
        threading.Event().wait(0.1)
        client.send(BODY)
        assert client.reply().body == BODY


@uploads
def test_an_upload_that_stops_is_told_to_the_service(
    server: Server, service: ServiceFactory, framing: str
) -> None:
    ended: list[bool] = []

    def script(exchange: Exchange) -> None:
        silent(exchange)
        ended.append(True)

    with Client(server.port) as client:
        client.send(upload(path_form(service(script).port, "/up"), framing))
        client.send(encoded(framing, BODY[:3000]))
        threading.Event().wait(0.1)
    until(lambda: ended, "the service hears of it")


def test_malformed_chunks_that_come_late(service: ServiceFactory) -> None:
    upstream = service(silent)
    with serving("gunicorn-gthread") as server, Client(server.port) as client:
        client.send(upload(path_form(upstream.port, "/up"), "chunked"))
        threading.Event().wait(0.2)
        client.send(b"zz\r\n")
        reply = client.reply()
    assert (reply.status, reply.text) == (400, "The chunked body is malformed.\n")


def test_a_body_beyond_the_limit_that_comes_late(service: ServiceFactory) -> None:
    target = path_form(service(silent).port, "/up")
    fields = [("Transfer-Encoding", "chunked"), *settings("limited")]
    with serving("gunicorn-gthread") as server, Client(server.port) as client:
        client.send(request_bytes("POST", target, headers=fields))
        threading.Event().wait(0.2)
        client.send(chunk(BODY[:MAX_BODY]) + chunk(b"x"))
        assert client.reply().status == 413
