"""The limits that a deployment may set: size of a request's body, pauses of a response, one
deadline for a head."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.limitsapp import HEAD, IDLE, MAX_BODY
from tests.support.received import OK, Received, read_request, recording
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, answers
from tests.support.streams import CHUNKED, CLOSE, FRAMINGS, LENGTH, Framing, StreamVisitor
from tests.support.urls import Form, both_forms, query_form
from tests.support.waiting import PATIENCE, peer_left, until

# Seconds that a busy machine may take, and the relay, which looks at pauses once a second.
SLACK = 2.5


@pytest.fixture(scope="module", params=["limited", "staying"])
def limiting(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A host with limits: one whose streams leave their threads at once, one where they stay."""
    with gunicorn(f"tests.support.limitsapp:{request.param}") as server:
        yield server
        assert "Traceback" not in server.output()


@pytest.fixture(scope="module")
def staying() -> Iterator[Server]:
    with gunicorn("tests.support.limitsapp:staying") as server:
        yield server
        assert "Traceback" not in server.output()


# --- The body of a request -----------------------------------------------------------------------


def assert_too_large(reply: Reply) -> None:
    assert (reply.status, reply.complete) == (413, True)
    assert reply.text == f"The request's body is larger than the {MAX_BODY} bytes allowed here.\n"


@both_forms
@pytest.mark.parametrize("size", [MAX_BODY + 1, 200_000, 10**15])
def test_a_length_beyond_the_limit_is_413_before_there_is_a_connection(
    staying: Server, service: ServiceFactory, form: Form, size: int
) -> None:
    upstream = service(answers(OK))
    with Client(staying.port) as client:
        headers = [("Content-Length", str(size))]
        client.send(request_bytes("POST", form(upstream.port, "/up"), headers=headers))
        with contextlib.suppress(ConnectionError):
            client.send(b"x" * min(size, 50_000))
        assert_too_large(client.reply())
    assert upstream.connections == 0


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_of_the_largest_size_passes(
    staying: Server, service: ServiceFactory, framing: str
) -> None:
    seen: list[Received] = []
    path = query_form(service(recording(seen)).port, "/up")
    body = bytes(range(250)) * 4
    assert len(body) == MAX_BODY
    with Client(staying.port) as client:
        if framing == "length":
            client.send(request_bytes("POST", path, body=body))
        else:
            client.send(request_bytes("POST", path, headers=[("Transfer-Encoding", "chunked")]))
            client.send(chunk(body[:999]) + chunk(body[999:]) + chunk(b""))
        assert client.reply().status == 200
    assert (seen[0].body, seen[0].complete) == (body, True)


@pytest.mark.parametrize("pieces", [[MAX_BODY + 1], [MAX_BODY, 1], [100] * 11, [200_000]], ids=len)
def test_a_chunked_body_beyond_the_limit_is_413_and_never_complete_at_the_service(
    staying: Server, service: ServiceFactory, pieces: list[int]
) -> None:
    seen: list[Received] = []

    def script(exchange: Exchange) -> None:
        if (request := read_request(exchange)) is not None:
            seen.append(request)

    path = query_form(service(script).port, "/up")
    with Client(staying.port) as client:
        client.send(request_bytes("POST", path, headers=[("Transfer-Encoding", "chunked")]))
        with contextlib.suppress(ConnectionError):
            for size in pieces:
                client.send(chunk(b"x" * size))
            client.send(chunk(b""))
        assert_too_large(client.reply())
    (request,) = until(lambda: seen, "the service sees the end")
    assert not request.complete
    assert len(request.body) <= MAX_BODY


def test_a_body_that_grows_too_large_behind_an_early_answer_cuts_that(
    staying: Server, service: ServiceFactory
) -> None:
    left: list[bool] = []

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"early"))
        while exchange.sock.recv(65536):
            pass
        left.append(True)

    path = query_form(service(script).port, "/up")
    with Client(staying.port) as client:
        client.send(request_bytes("POST", path, headers=[("Transfer-Encoding", "chunked")]))
        client.send(chunk(b"x" * 10))
        client.sock.settimeout(0.1)
        while b"early" not in client.buffer:
            client.send(chunk(b"x"))  # gunicorn's reading of chunks waits for more, and we with it
            with contextlib.suppress(TimeoutError):
                client.fill()
        client.sock.settimeout(PATIENCE)
        client.send(chunk(b"x" * MAX_BODY))
        reply = client.reply()
    assert (reply.status, reply.body, reply.complete) == (200, b"early", False)
    until(lambda: left, "the service is let go")


# --- Pauses of a response ------------------------------------------------------------------------


def assert_cut_when_silent(
    host: Server, service: ServiceFactory, framing: Framing, first: bytes, version: str
) -> None:
    left: list[bool] = []

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(framing.head(100) + (framing.encode(first) if first else b""))
        until(lambda: peer_left(exchange.sock), "the proxy leaves")
        left.append(True)

    with StreamVisitor(host.port) as visitor:
        begin = time.monotonic()
        visitor.ask(query_form(service(script).port, "/x"), version)
        reply = visitor.reply()
        seconds = time.monotonic() - begin
    assert IDLE * 0.9 < seconds < IDLE + SLACK
    assert (reply.status, reply.body, reply.complete) == (200, first, False)
    until(lambda: left, "the service is let go")


@pytest.mark.parametrize(
    ("framing", "first"),
    [*((framing, b"begin") for framing in FRAMINGS), (CHUNKED, b"")],
    ids=[*(framing.name for framing in FRAMINGS), "from-the-head-on"],
)
def test_a_response_that_falls_silent_is_cut_visibly(
    limiting: Server, service: ServiceFactory, framing: Framing, first: bytes
) -> None:
    assert_cut_when_silent(limiting, service, framing, first, "HTTP/1.1")


def test_a_visitor_without_chunks_sees_the_cut_as_a_reset(service: ServiceFactory) -> None:
    """Of a stream in the relay; a server can do no more than close the connection."""
    with gunicorn("tests.support.limitsapp:limited") as host:
        assert_cut_when_silent(host, service, CLOSE, b"begin", "HTTP/1.0")


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, CLOSE], ids=repr)
def test_a_response_with_shorter_pauses_goes_on(
    limiting: Server, service: ServiceFactory, framing: Framing
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(framing.head(10))
        for _ in range(5):
            time.sleep(IDLE / 2)
            exchange.send(framing.encode(b"x1"))
        exchange.send(framing.end)

    with StreamVisitor(limiting.port) as visitor:
        visitor.ask(query_form(service(script).port, "/x"))
        reply = visitor.reply()
    assert (reply.body, reply.complete) == (b"x1" * 5, True)


def test_a_visitor_who_pauses_is_no_silence_of_the_service(
    limiting: Server, service: ServiceFactory
) -> None:
    size = 20_000_000

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(LENGTH.head(size) + b"x" * size)

    with StreamVisitor(limiting.port, receive_buffer=32768) as visitor:
        visitor.ask(query_form(service(script).port, "/x"))
        visitor.read_head()
        time.sleep(IDLE * 2 + 1.2)  # longer than a pause may be, and than the relay's look at it
        received = len(visitor.buffer)
        while data := visitor.sock.recv(1 << 20):
            received += len(data)
    assert received == size


def test_a_service_that_takes_an_upload_is_not_silent(
    limiting: Server, service: ServiceFactory
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(LENGTH.head(4) + b"ea")
        exchange.read(10)
        exchange.send(b"rl")

    with StreamVisitor(limiting.port) as visitor:
        headers = [("Content-Length", "10")]
        visitor.send(request_bytes("POST", query_form(service(script).port, "/x"), headers=headers))
        for _ in range(10):
            time.sleep(IDLE / 3)
            visitor.send(b"x")
        reply = visitor.reply()
    assert (reply.body, reply.complete) == (b"earl", True)


# --- One deadline --------------------------------------------------------------------------------


def assert_504_in_time(reply: Reply, begin: float) -> None:
    assert reply.status == 504
    assert HEAD * 0.9 < time.monotonic() - begin < HEAD + 1.0


def test_redirects_that_are_followed_share_one_deadline(
    staying: Server, service: ServiceFactory
) -> None:
    def slow(exchange: Exchange) -> None:
        while exchange.read_head():
            if exchange.peer_closed(HEAD * 0.6):
                return
            exchange.send(b"HTTP/1.1 302 x\r\nLocation: /on\r\nContent-Length: 0\r\n\r\n")

    begin = time.monotonic()
    reply = ask(staying.port, "GET", query_form(service(slow).port, "/x"))
    assert_504_in_time(reply, begin)


def test_a_request_that_is_repeated_has_no_second_deadline(
    staying: Server, service: ServiceFactory
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        if exchange.number == 0:  # kept alive, and closed late in the second request
            exchange.send(OK)
            exchange.read_head()
            exchange.peer_closed(HEAD * 0.6)
        else:
            exchange.peer_closed(60)

    path = query_form(service(script).port, "/x")
    assert ask(staying.port, "GET", path).status == 200
    begin = time.monotonic()
    assert_504_in_time(ask(staying.port, "GET", path), begin)


def test_a_head_that_drips_faster_than_it_is_read_ends_at_the_deadline(
    staying: Server, service: ServiceFactory
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        while True:
            exchange.send(b"HTTP/1.1 200 OK\r\nA: " if not exchange.buffer else b"x")
            exchange.buffer = b"begun"
            time.sleep(0.0005)

    begin = time.monotonic()
    assert_504_in_time(ask(staying.port, "GET", query_form(service(script).port, "/x")), begin)


def test_an_upload_that_goes_on_slowly_takes_as_long_as_it_takes(
    staying: Server, service: ServiceFactory
) -> None:
    seen: list[Received] = []
    with Client(staying.port) as client:
        headers = [("Content-Length", "6")]
        path = query_form(service(recording(seen)).port, "/x")
        client.send(request_bytes("POST", path, headers=headers))
        for _ in range(6):
            time.sleep(HEAD / 4)
            client.send(b"x")
        assert client.reply().status == 200
    assert seen[0].body == b"xxxxxx"
