"""Which requests leave their thread, and when."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk, plain
from tests.support.client import request_bytes
from tests.support.ports import free_port
from tests.support.servers import Server, running
from tests.support.service import Exchange
from tests.support.streamapp import AFTER
from tests.support.streams import (
    CHUNKED,
    CLOSE,
    FRAMINGS,
    LENGTH,
    Encode,
    Framing,
    StreamVisitor,
    has_left,
    leaving,
    state,
    stream_target,
)
from tests.support.waiting import PATIENCE, Steps, until

from .conftest import EVENT, clean

APPLICATION = "tests.support.streamapp:application"


@pytest.fixture(scope="module")
def host() -> Iterator[Server]:
    with clean(APPLICATION, threads=4) as server:
        yield server


# --- When ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", FRAMINGS, ids=repr)
@pytest.mark.parametrize(
    "content_type", [b"text/event-stream", b"Text/Event-Stream ;charset=utf-8"]
)
def test_an_event_stream_leaves_at_its_head(
    host: Server, service: ServiceFactory, framing: Framing, content_type: bytes
) -> None:
    """Whether an event comes with it or later; here no response leaves for it is time."""
    head, block = framing.head(1000, content_type), framing.encode(EVENT)
    for pieces in ([head, block], [head + block]):
        steps = Steps(*pieces)
        upstream = service(steps)
        target = stream_target(upstream.port)
        with StreamVisitor(host.port) as visitor:
            visitor.ask(target, app="patient")
            until(lambda service=upstream: service.heads, "the request is at the service")  # type: ignore[misc]
            assert not has_left(host, target)
            steps.go()
            leaving(host, target)
            assert b"200 OK" in visitor.read_head()
            steps.go(2)
            visitor.read_until(EVENT)


BODY = b"half" * 2


@pytest.mark.parametrize("came", ["nothing", "half-a-head", "the-head", "half-a-body"])
@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, CLOSE], ids=repr)
def test_a_request_leaves_when_it_is_time(
    host: Server, service: ServiceFactory, framing: Framing, came: str
) -> None:
    """And goes on from wherever it was, to a whole response."""
    start = time.monotonic()
    head, half = framing.head(len(BODY), b"text/plain"), framing.encode(BODY[:4])
    before = {
        "nothing": b"",
        "half-a-head": head[:20],
        "the-head": head,
        "half-a-body": head + half,
    }
    answer = head + half + half + framing.end
    steps = Steps(before[came], answer[len(before[came]) :])
    target = stream_target(service(steps).port)
    with StreamVisitor(host.port) as visitor:
        visitor.ask(target)
        steps.go()
        leaving(host, target)
        assert time.monotonic() - start >= AFTER
        steps.go(2)
        reply = visitor.reply()
        assert (reply.status, reply.body, reply.complete) == (200, BODY, True)
        assert reply.values("Connection") == ["close"]
        assert visitor.is_closed()


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED], ids=repr)
@pytest.mark.parametrize(
    ("method", "status"),
    [("HEAD", b"200 OK"), ("GET", b"204 No Content"), ("GET", b"304 Not Modified")],
)
def test_an_answer_without_a_body_has_none_though_its_request_left(
    host: Server, service: ServiceFactory, framing: Framing, method: str, status: bytes
) -> None:
    steps = Steps(framing.head(5).replace(b"200 OK", status) + b"surplus")
    target = stream_target(service(steps).port)
    with StreamVisitor(host.port) as visitor:
        visitor.ask(target, method=method)
        leaving(host, target)
        steps.go(2)
        head = visitor.read_head()
        assert status in head
        assert b"transfer-encoding" not in head.lower()
        assert visitor.is_closed()
        assert visitor.buffer == b""


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, CLOSE], ids=repr)
def test_what_has_come_is_sent_once_it_left(
    host: Server, service: ServiceFactory, framing: Framing
) -> None:
    """Without the rest, for which nobody knows how long it takes."""
    first, second = framing.encode(BODY[:4]), framing.encode(BODY[4:])
    steps = Steps(framing.head(len(BODY), b"text/plain"), first, second + framing.end)
    target = stream_target(service(steps).port)
    with StreamVisitor(host.port) as visitor:
        visitor.ask(target)
        steps.go()
        assert b"200 OK" in visitor.read_head()
        for _ in (first, second):
            steps.go()
            visitor.read_until(BODY[:4])
        leaving(host, target)


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, CLOSE], ids=repr)
def test_more_than_is_gathered_leaves_at_once_and_a_visitor_who_does_not_read_keeps_no_thread(
    host: Server, service: ServiceFactory, framing: Framing
) -> None:
    """What the server writes would wait for it, and the thread with that."""
    body = random.Random(8).randbytes(1 << 20) * 12  # more than the kernel takes

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(framing.head(len(body)) + framing.encode(body) + framing.end)

    target = stream_target(service(script).port)
    with StreamVisitor(host.port, receive_buffer=65536) as visitor:
        visitor.ask(target, app="patient")
        leaving(host, target)
        reply = visitor.reply()
        assert (reply.body == body, reply.complete) == (True, True)


def test_where_half_of_the_threads_are_held_a_request_leaves_at_once(
    host: Server, service: ServiceFactory
) -> None:
    """Whatever ports they are held for; here no request leaves for it is time."""
    answers = [Steps(LENGTH.head(5), b"whole") for _ in range(3)]
    upstreams = [service(steps) for steps in answers]
    targets = [stream_target(upstream.port) for upstream in upstreams]
    with ExitStack() as stack:
        visitors = [stack.enter_context(StreamVisitor(host.port)) for _ in targets]
        for visitor, target, upstream in zip(visitors, targets, upstreams, strict=True):
            visitor.ask(target, app="patient")
            until(lambda one=upstream: one.heads, "the request is at the service")  # type: ignore[misc]
        leaving(host, targets[2])
        assert not any(has_left(host, target) for target in targets[:2])
        for visitor, steps, connection in zip(
            visitors, answers, ("keep-alive", "keep-alive", "close"), strict=True
        ):
            steps.go(3)
            reply = visitor.reply()
            assert (reply.body, reply.value("Connection")) == (b"whole", connection)


@pytest.mark.parametrize("app", ["collecting", "late"])
@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, CLOSE], ids=repr)
def test_behind_a_middleware_that_passes_start_response_on_it_leaves(
    host: Server, service: ServiceFactory, app: str, framing: Framing
) -> None:
    """Such a one cannot change the head, and hence not what of the body matters: it is spared the
    body."""
    steps = Steps(framing.head(2 * len(EVENT)) + framing.encode(EVENT), framing.encode(EVENT))
    target = stream_target(service(steps).port)
    with StreamVisitor(host.port) as visitor:
        visitor.ask(target, app=app)
        steps.go()
        leaving(host, target)
        for _ in range(2):
            visitor.read_until(EVENT)
            steps.go()


# --- While it is being sent ----------------------------------------------------------------------

CODINGS = pytest.mark.parametrize(
    ("field", "encode", "end"),
    [
        pytest.param(("Content-Length", "10"), plain, b"", id="length"),
        pytest.param(("Transfer-Encoding", "chunked"), chunk, chunk(b""), id="chunked"),
    ],
)


@CODINGS
@pytest.mark.parametrize("when", ["before-the-head", "at-the-head"])
def test_a_request_leaves_while_it_is_being_sent(
    host: Server,
    service: ServiceFactory,
    field: tuple[str, str],
    encode: Encode,
    end: bytes,
    when: str,
) -> None:
    """And its visitor, who goes on when the response has begun, is not waited for."""
    parts, received = (encode(b"12345"), encode(b"67890") + end), []
    begin = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        received.append(exchange.read(len(parts[0])))
        begin.wait(PATIENCE)
        exchange.send(CHUNKED.head(0) + chunk(b"begin"))
        received.append(exchange.read(len(parts[1])))
        exchange.send(chunk(b"end") + CHUNKED.end)

    target = stream_target(service(script).port)
    with StreamVisitor(host.port) as visitor:
        if when == "before-the-head":
            visitor.send(request_bytes("POST", target, headers=[field]) + parts[0])
            leaving(host, target)
            begin.set()
        else:
            begin.set()
            settings = [field, ("X-Settings", "patient")]
            visitor.send(request_bytes("POST", target, headers=settings) + parts[0])
            leaving(host, target)
        visitor.read_until(b"begin\r\n")
        visitor.send(parts[1])
        visitor.read_until(b"end\r\n0\r\n\r\n")
        assert visitor.is_closed()
    assert received == list(parts)


def test_a_request_leaves_that_the_service_has_not_taken(
    host: Server, service: ServiceFactory
) -> None:
    """With the rest of its body, for which the service would wait for ever."""
    body = random.Random(9).randbytes(1 << 20) * 16  # more than the kernel takes
    bodies: list[bytes] = []
    begin = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(CHUNKED.head(0, b"text/event-stream") + chunk(EVENT))
        begin.wait(PATIENCE)
        bodies.append(exchange.read(len(body)))
        exchange.send(chunk(b"all of it") + CHUNKED.end)

    target = stream_target(service(script).port)
    with StreamVisitor(host.port) as visitor:
        sending = threading.Thread(
            target=visitor.send, args=(request_bytes("POST", target, body=body),)
        )
        sending.start()
        leaving(host, target)
        visitor.read_until(EVENT)
        begin.set()
        visitor.read_until(b"all of it\r\n0\r\n\r\n")
        sending.join()
    assert bodies == [body]


# --- Elsewhere -----------------------------------------------------------------------------------

SERVERS = ["werkzeug", "wsgiref", "waitress", "cheroot", "uwsgi"]


@pytest.fixture(scope="module", params=SERVERS)
def other(request: pytest.FixtureRequest) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "tests.support.streamapp", request.param, str(port)]
    with running(command, port) as server:
        yield server
        assert "Traceback" not in server.output()


@pytest.fixture
def streams(other: Server) -> Callable[[], int]:
    """How many there are on that server: not every one logs an access."""
    return lambda: state(other.port)["streams"]


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("content_type", [b"text/event-stream", b"text/plain"])
@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, CLOSE], ids=repr)
def test_on_other_servers_it_leaves_too(
    other: Server,
    streams: Callable[[], int],
    service: ServiceFactory,
    framing: Framing,
    content_type: bytes,
    version: str,
) -> None:
    """Events and slow bodies come as they are sent, and whole."""
    head = framing.head(3 * len(EVENT), content_type)
    steps = Steps(*[head, *[framing.encode(EVENT)] * 3, framing.end])
    with StreamVisitor(other.port) as visitor:
        visitor.ask(stream_target(service(steps).port), version)
        steps.go()
        until(lambda: streams() == 1, "it leaves")
        head_sent = visitor.read_head()
        assert head_sent.startswith(version.encode() + b" 200 ")
        for _ in range(3):
            steps.go()
            visitor.read_until(EVENT)
        steps.go(2)
        if b"chunked" in head_sent:
            visitor.read_until(b"0\r\n\r\n")
        assert visitor.is_closed()
    until(lambda: streams() == 0, "its place is given back")


def test_on_other_servers_it_is_broken_where_it_breaks(
    other: Server, streams: Callable[[], int], service: ServiceFactory
) -> None:
    for framing in (LENGTH, CHUNKED):
        steps = Steps(framing.head(100) + framing.encode(b"begin"))
        with StreamVisitor(other.port) as visitor:
            visitor.ask(stream_target(service(steps).port))
            steps.go()
            until(lambda: streams() == 1, "it leaves")
            steps.go()
            reply = visitor.reply()
            assert (reply.body, reply.complete) == (b"begin", False)
        until(lambda: streams() == 0, "its place is given back")


def test_on_other_servers_the_service_hears_that_the_visitor_left(
    other: Server, streams: Callable[[], int], service: ServiceFactory
) -> None:
    """In mid-body, and before there is a head."""
    for began in (CHUNKED.head(0) + chunk(b"begin"), b""):
        left = threading.Event()

        def script(exchange: Exchange, began: bytes = began, left: threading.Event = left) -> None:
            exchange.read_head()
            exchange.send(began)
            if exchange.peer_closed(PATIENCE):
                left.set()

        with StreamVisitor(other.port) as visitor:
            visitor.ask(stream_target(service(script).port))
            until(lambda: streams() == 1, "it leaves")
        assert left.wait(PATIENCE)
        until(lambda: streams() == 0, "its place is given back")
