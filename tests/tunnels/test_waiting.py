"""Requests that wait for a service, on every server that lets them leave their thread."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.chosen import settings
from tests.support.chunks import Dechunker, chunk
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.endings import half_close, reset
from tests.support.ports import free_port
from tests.support.servers import Server, running
from tests.support.service import Exchange
from tests.support.streams import StreamVisitor
from tests.support.urls import path_form
from tests.support.waiting import PATIENCE, peer_left, until
from tests.support.waitingapp import MAX_BODY

SERVERS = ["gunicorn-gthread", "gunicorn-sync", "waitress", "cheroot", "werkzeug", "uwsgi-threads"]
# Those that show the visitor's body as it comes. waitress calls the application once it has all.
OF_UPLOADS = ["gunicorn-gthread", "gunicorn-sync", "cheroot", "werkzeug"]
AT_ONCE = 30  # many times the threads of any server here
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ERRORS = ("Traceback", "Exception ignored", "[ERROR]")
BODY = bytes(range(256)) * 40


@contextlib.contextmanager
def serving(name: str, **env: str) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "tests.support.waitingapp", name, str(port)]
    with running(command, port, env=env) as server:
        yield server
        output = server.output()
        assert not any(sign in output for sign in ERRORS), output[-4000:]


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serving(request.param) as one:
        yield one


def on(names: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("server", names, indirect=True)


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    """Set at the end of the test at the latest."""
    event = threading.Event()
    yield event
    event.set()


def hanging(let_go: threading.Event) -> Callable[[Exchange], None]:
    """Answers once it is let go, with what it was sent."""

    def script(exchange: Exchange) -> None:
        body = body_of(exchange, exchange.read_head())
        let_go.wait(PATIENCE)
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    return script


def silent(exchange: Exchange) -> None:
    """Answers nobody."""
    exchange.read_head()
    while exchange.sock.recv(65536):
        pass


def body_of(exchange: Exchange, head: bytes) -> bytes:
    if b"\r\nTransfer-Encoding: chunked\r\n" in head:
        dechunker = Dechunker()
        body = dechunker.feed(exchange.buffer)
        while not dechunker.complete:
            data = exchange.sock.recv(65536)
            assert data, "the upload ended early"
            body += dechunker.feed(data)
        return body
    length = head.partition(b"\r\nContent-Length: ")[2].partition(b"\r\n")[0]
    return exchange.read(int(length or 0))


def assert_the_app_answers(server: Server) -> None:
    for _ in range(5):
        assert ask(server.port, "GET", "/login").status == 200


@contextlib.contextmanager
def clients(server: Server, requests: list[bytes]) -> Iterator[list[Client]]:
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(Client(server.port, timeout=PATIENCE)) for _ in requests]
        for client, request in zip(made, requests, strict=True):
            client.send(request)
        yield made


# --- Without a body, and with one that came at once


@pytest.mark.case("a service that takes two seconds, a hundred at a time, on few threads")
@pytest.mark.promise("What waits for a service takes no thread")
@on(SERVERS)
@pytest.mark.parametrize("body", [b"", BODY], ids=["get", "post"])
def test_many_wait_and_the_app_answers(
    server: Server, service: ServiceFactory, let_go: threading.Event, body: bytes
) -> None:
    upstream = service(hanging(let_go))
    method = "POST" if body else "GET"
    request = request_bytes(method, path_form(upstream.port, "/x"), body=body)
    with clients(server, [request] * AT_ONCE) as visitors:
        until(lambda: len(upstream.heads) == AT_ONCE, "all are asked")
        assert_the_app_answers(server)
        let_go.set()
        replies = [visitor.reply() for visitor in visitors]
    assert {(reply.status, reply.body, reply.complete) for reply in replies} == {(200, body, True)}


@on(SERVERS)
def test_a_visitor_who_leaves_is_noticed(
    server: Server, service: ServiceFactory, let_go: threading.Event
) -> None:
    upstream = service(hanging(let_go))
    with Client(server.port) as client:
        client.send(request_bytes("GET", path_form(upstream.port, "/x")))
        until(lambda: upstream.heads, "it is asked")
        [exchange] = upstream.exchanges
        reset(client.sock)
        until(lambda: peer_left(exchange.sock), "the service hears of it")


@on(["gunicorn-gthread", "waitress"])
def test_a_visitor_who_sends_no_more_may_still_read_a_quick_response(
    server: Server, service: ServiceFactory
) -> None:
    """As `nc` does, and some scripts; the response comes after the request has left its thread."""

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        threading.Event().wait(0.1)
        exchange.send(OK)

    with Client(server.port) as client:
        client.send(request_bytes("GET", path_form(service(script).port, "/x")))
        half_close(client.sock)
        assert client.reply().body == b"hi"


# --- Errors


@on(SERVERS)
def test_no_response_in_time(
    server: Server, service: ServiceFactory, let_go: threading.Event
) -> None:
    target = path_form(service(hanging(let_go)).port, "/x")
    reply = ask(server.port, "GET", target, headers=[("Accept", "text/html"), *settings("hurried")])
    assert (reply.status, reply.value("Content-Type")) == (504, "text/html; charset=UTF-8")
    assert "did not respond in time" in reply.text


@on(SERVERS)
@pytest.mark.parametrize(
    ("answer", "status"), [(b"", 502), (b"SSH-2.0\r\n\r\n", 502), (b"HTTP/1.1 200 OK\r\nCo", 502)]
)
def test_a_late_answer_that_is_none(
    server: Server,
    service: ServiceFactory,
    let_go: threading.Event,
    answer: bytes,
    status: int,
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        let_go.wait(PATIENCE)
        exchange.send(answer)

    upstream = service(script)
    with clients(server, [request_bytes("GET", path_form(upstream.port, "/x"))] * 2) as visitors:
        until(lambda: len(upstream.heads) == 2, "they are asked")
        assert_the_app_answers(server)
        let_go.set()
        replies = [visitor.reply() for visitor in visitors]
    assert [(reply.status, reply.complete) for reply in replies] == [(status, True)] * 2


def test_early_hints_of_a_slow_service_reach_the_visitor(
    service: ServiceFactory, let_go: threading.Event
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        threading.Event().wait(0.3)  # the request has left its thread
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        let_go.wait(PATIENCE)
        exchange.send(OK)

    upstream = service(script)
    with serving("gunicorn-gthread") as server, Client(server.port) as client:
        client.send(request_bytes("GET", path_form(upstream.port, "/x")))
        hints = client.read_head()
        link = f"Link: <{path_form(upstream.port, '/a.css')}>; rel=preload".encode()
        assert hints == b"HTTP/1.1 103 Early Hints\r\n" + link
        let_go.set()
        assert client.reply().body == b"hi"


# --- Uploads


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


# --- The end of the process


def ended(server: Server, visitor: StreamVisitor) -> Reply:
    os.kill(server.pid, signal.SIGTERM)
    return visitor.reply()


def test_a_worker_that_ends_waits_for_the_answer(
    service: ServiceFactory, let_go: threading.Event
) -> None:
    upstream = service(hanging(let_go))
    with serving("gunicorn-gthread") as server, StreamVisitor(server.port) as visitor:
        visitor.ask(path_form(upstream.port, "/x"))
        until(lambda: upstream.heads, "it is asked")
        assert_the_app_answers(server)
        timer = threading.Timer(1.0, let_go.set)
        timer.start()
        reply = ended(server, visitor)
        timer.join()
    assert (reply.status, reply.complete) == (200, True)


def test_a_worker_that_ends_does_not_wait_for_ever(
    service: ServiceFactory, let_go: threading.Event
) -> None:
    upstream = service(hanging(let_go))
    with (
        serving("gunicorn-gthread", DRAIN_WAITING="0.5") as server,
        StreamVisitor(server.port) as visitor,
    ):
        visitor.ask(path_form(upstream.port, "/x"))
        until(lambda: upstream.heads, "it is asked")
        assert_the_app_answers(server)
        reply = ended(server, visitor)
    assert (reply.status, reply.value("Retry-After"), reply.complete) == (503, "2", True)
    assert reply.text == "The application is restarting.\nPlease try again in a moment.\n"
