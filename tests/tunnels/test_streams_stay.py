"""Which responses leave their thread, and which have to stay and work as ever."""

from __future__ import annotations

import contextlib
import random
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk, plain
from tests.support.client import Reply, request_bytes
from tests.support.ports import free_port
from tests.support.servers import Server, gunicorn, running
from tests.support.service import Exchange, Script, answers
from tests.support.streamapp import AFTER
from tests.support.streams import (
    CHUNKED,
    CLOSE,
    FRAMINGS,
    LENGTH,
    Framing,
    StreamVisitor,
    has_left,
    leaving,
    state,
    stream_target,
)
from tests.support.waiting import PATIENCE, Steps, until
from tests.support.websocket import Visitor, accepting, echo

from .conftest import EVENT, clean

APPLICATION = "tests.support.streamapp:application"


@pytest.fixture(scope="module")
def host() -> Iterator[Server]:
    with clean(APPLICATION, threads=4) as server:
        yield server


# --- They leave ----------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", FRAMINGS, ids=repr)
@pytest.mark.parametrize(
    "content_type", [b"text/event-stream", b"Text/Event-Stream ;charset=utf-8"]
)
def test_an_event_stream_leaves_at_its_first_block(
    host: Server, service: ServiceFactory, framing: Framing, content_type: bytes
) -> None:
    """Whether that comes with its head or later; here no response leaves for it is time."""
    head, block = framing.head(1000, content_type), framing.encode(EVENT)
    for pieces in ([head, block], [head + block]):
        steps = Steps(*pieces)
        target = stream_target(service(steps).port)
        with StreamVisitor(host.port) as visitor:
            visitor.ask(target, app="patient")
            if len(pieces) > 1:
                steps.go()
                visitor.read_head()
                assert not has_left(host, target)
            steps.go()
            visitor.read_until(EVENT)
            leaving(host, target)


@pytest.mark.parametrize("content_type", [b"text/event-stream", b"text/plain"])
@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, CLOSE], ids=repr)
def test_a_silent_response_leaves_when_it_is_time(
    host: Server, service: ServiceFactory, framing: Framing, content_type: bytes
) -> None:
    start = time.monotonic()
    steps = Steps(framing.head(len(EVENT), content_type), framing.encode(EVENT))
    target = stream_target(service(steps).port)
    with StreamVisitor(host.port) as visitor:
        visitor.ask(target)
        steps.go()
        head = visitor.read_head()  # without a byte of the body
        leaving(host, target)
        assert time.monotonic() - start >= AFTER
        steps.go()
        visitor.read_until(EVENT)
        assert b"200 OK" in head


@pytest.mark.parametrize("when", ["from-the-start", "after-a-while"])
@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, CLOSE], ids=repr)
def test_a_visitor_who_does_not_read_keeps_no_thread(
    host: Server, service: ServiceFactory, framing: Framing, when: str
) -> None:
    """What the server writes would wait for it, and the thread with that."""
    body = random.Random(8).randbytes(1 << 20) * 12  # more than the kernel takes

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(framing.head(len(body)) + framing.encode(body) + framing.end)

    target = stream_target(service(script).port)
    with StreamVisitor(host.port, receive_buffer=65536) as visitor:
        visitor.ask(target)
        if when == "after-a-while":
            while len(visitor.buffer) < 1 << 20:
                assert visitor.fill()
        leaving(host, target)
        reply = visitor.reply()
        assert (reply.body == body, reply.complete) == (True, True)


def test_a_response_leaves_once_its_request_is_sent(host: Server, service: ServiceFactory) -> None:
    """Though the service began to answer before, and has been silent since."""
    steps = Steps(CHUNKED.head(0) + chunk(b"begin"), chunk(b" end") + CHUNKED.end)

    def script(exchange: Exchange) -> None:
        head = exchange.read_head()
        exchange.buffer = head  # the body that follows is not read: it is small
        steps(exchange)

    target = stream_target(service(script).port)
    with StreamVisitor(host.port) as visitor:
        visitor.send(request_bytes("POST", target, headers=[("Content-Length", "10")]) + b"12345")
        steps.go()
        visitor.read_until(b"begin")
        assert not has_left(host, target)
        visitor.send(b"67890")
        leaving(host, target)
        steps.go(2)
        visitor.read_until(b" end\r\n0\r\n\r\n")


# --- They stay -----------------------------------------------------------------------------------


def dripping(framing: Framing, content_type: bytes = b"text/event-stream") -> Script:
    """Sends eight events in twice the time after which a response leaves."""

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            # With its head: a response of which nothing was passed on may leave anywhere.
            begin = framing.head(8 * len(EVENT), content_type)
            for _ in range(8):
                exchange.send(begin + framing.encode(EVENT))
                begin = b""
                time.sleep(AFTER / 4)  # the drip is the case
            exchange.send(framing.end)
            if framing.close:
                return

    return script


def assert_nothing_left(visitor: StreamVisitor, reply: Reply) -> None:
    """The connection takes another request behind the response, unless that said that it closes;
    and no stream answers."""
    if reply.value("Connection") == "close":
        assert not visitor.fill(), "it is closed"
        with StreamVisitor(visitor.sock.getpeername()[1]) as other:
            other.ask("/state")
            assert b'"streams": 0' in other.reply().body
        return
    visitor.ask("/state")
    assert b'"streams": 0' in visitor.reply().body


@pytest.fixture
def free(host: Server) -> Server:
    """The host, once the streams before are over."""
    until(lambda: not state(host.port)["streams"], "the streams before are over")
    return host


@pytest.mark.parametrize("app", ["rewriting", "collecting", "late", "like-http2", "never"])
@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, CLOSE], ids=repr)
@pytest.mark.parametrize("content_type", [b"text/event-stream", b"text/plain"])
def test_a_response_stays_where_its_framing_is_not_known_for_sure(
    free: Server, service: ServiceFactory, app: str, framing: Framing, content_type: bytes
) -> None:
    """Where something prevents the hand-over: see tests/support/streamapp.py."""
    upstream = service(dripping(framing, content_type))
    with StreamVisitor(free.port) as visitor:
        visitor.ask(stream_target(upstream.port), app=app)
        reply = visitor.reply()
        assert (reply.status, reply.complete) == (200, True)
        assert reply.body == EVENT * 8
        assert_nothing_left(visitor, reply)


def test_the_wrapped_apps_own_responses_stay(free: Server) -> None:
    with StreamVisitor(free.port) as visitor:
        visitor.ask("/slow")
        reply = visitor.reply()
        assert (reply.complete, reply.body.count(b"data")) == (True, 8)
        assert_nothing_left(visitor, reply)


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED], ids=repr)
@pytest.mark.parametrize(
    ("method", "status"),
    [("HEAD", b"200 OK"), ("GET", b"204 No Content"), ("GET", b"304 Not Modified")],
)
def test_an_answer_without_a_body_never_leaves(
    free: Server, service: ServiceFactory, framing: Framing, method: str, status: bytes
) -> None:
    head = framing.head(5, b"text/event-stream").replace(b"200 OK", status)
    upstream = service(answers(head + b"surplus"))
    with StreamVisitor(free.port) as visitor:
        visitor.ask(stream_target(upstream.port), method=method)
        reply = visitor.reply(method=method)
        assert reply.status == int(status[:3])
        assert_nothing_left(visitor, reply)


@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_a_response_stays_while_its_request_is_being_sent(
    free: Server, service: ServiceFactory, coding: str
) -> None:
    """Uploads are the thread's work; with the response gone nobody would go on with them."""
    finish = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(CHUNKED.head(0, b"text/event-stream") + chunk(EVENT))
        while not finish.is_set():
            exchange.sock.recv(65536)
        exchange.send(chunk(b"end") + CHUNKED.end)
        exchange.peer_closed(PATIENCE)

    target = stream_target(service(script).port)
    size = 10_000
    if coding == "length":
        field, encode, end = ("Content-Length", str(size)), plain, b""
    else:
        field, encode, end = ("Transfer-Encoding", "chunked"), chunk, chunk(b"")
    with StreamVisitor(free.port) as visitor:
        visitor.send(request_bytes("POST", target, headers=[field]))
        sent, enough = 0, time.monotonic() + 2 * AFTER
        visitor.sock.settimeout(0.01)
        # With each part of the upload the thread looks at the answer, and with a chunked one only
        # then: so it goes on until the first event has come.
        while time.monotonic() < enough or EVENT not in visitor.buffer:
            visitor.send(encode(b"x"))
            sent += 1
            assert sent < size
            with contextlib.suppress(TimeoutError):
                assert visitor.fill()
            assert state(free.port)["streams"] == 0
            assert not has_left(free, target)
        visitor.sock.settimeout(30)
        finish.set()
        visitor.send(encode(bytes(size - sent)) + end)
        visitor.read_until(b"end\r\n0\r\n\r\n")


def test_a_response_stays_while_the_service_has_not_taken_its_request(
    host: Server, service: ServiceFactory
) -> None:
    """The rest of the request is in the thread; with it gone the service would wait for ever."""
    size = 16 << 20  # more than the kernel takes

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(CHUNKED.head(0, b"text/event-stream") + chunk(EVENT))
        time.sleep(2 * AFTER)  # not reading is the case
        received = len(exchange.buffer)
        while received < size:
            received += len(exchange.sock.recv(1 << 20))
        exchange.send(chunk(b"all of it") + CHUNKED.end)

    target = stream_target(service(script).port)
    with StreamVisitor(host.port) as visitor:
        visitor.send(request_bytes("POST", target, body=bytes(size)))
        assert visitor.reply().body == EVENT + b"all of it"


def test_beyond_the_cap_a_response_stays_and_is_whole(
    free: Server, service: ServiceFactory
) -> None:
    """The cap is one for tunnels and streams: here it is two, one of which is a WebSocket."""

    def ask_for(name: bytes) -> tuple[StreamVisitor, Steps, str]:
        steps = Steps(CLOSE.head(0) + name, name, name)
        target = stream_target(service(steps).port)
        visitor = stack.enter_context(StreamVisitor(free.port))
        visitor.ask(target, app="two")
        steps.go()
        visitor.read_until(name + b"\r\n")
        return visitor, steps, target

    with ExitStack() as stack:
        websocket = stack.enter_context(Visitor(free.port))
        websocket.open(stream_target(service(accepting(echo)).port))
        first, first_steps, target = ask_for(b"1")
        leaving(free, target)
        assert state(free.port)["streams"] == 2
        second, second_steps, target = ask_for(b"2")
        time.sleep(2 * AFTER)  # until it would have left
        second_steps.go()
        second.read_until(b"2\r\n")
        assert not has_left(free, target)
        second_steps.go(2)
        second.read_until(b"1\r\n2\r\n0\r\n\r\n")
        websocket.says_and_hears()
        websocket.close()
        until(lambda: state(free.port)["streams"] == 1, "the WebSocket gives its place back")
        third, third_steps, target = ask_for(b"3")
        leaving(free, target)
        for one, steps, name in ((third, third_steps, b"3"), (first, first_steps, b"1")):
            for _ in range(2):
                steps.go()
                one.read_until(name + b"\r\n")
            steps.go()
            one.read_until(b"0\r\n\r\n")
            one.close()
    until(lambda: state(free.port)["streams"] == 0, "all places are given back")


# --- Elsewhere -----------------------------------------------------------------------------------


def assert_works(
    server: Server, service: ServiceFactory, tls: ssl.SSLContext | None = None
) -> None:
    """Event streams and slow bodies come as they are sent, and whole; none has left."""
    for framing in (LENGTH, CHUNKED, CLOSE):
        events = framing.encode(EVENT), framing.encode(EVENT), framing.encode(EVENT) + framing.end
        head = framing.head(3 * len(EVENT), b"text/event-stream")
        steps = Steps(head + events[0], *events[1:])
        with StreamVisitor(server.port) as visitor:
            if tls is not None:
                visitor.sock = tls.wrap_socket(visitor.sock, server_hostname="localhost")
            visitor.ask(stream_target(service(steps).port))
            steps.go()
            answered = visitor.read_head()
            visitor.read_until(EVENT)
            time.sleep(AFTER)  # until it would have left
            steps.go()
            visitor.read_until(EVENT)
            if tls is None:
                assert state(server.port)["streams"] == 0
            steps.go(2)
            visitor.read_until(EVENT)
            if b"chunked" in answered:
                visitor.read_until(b"0\r\n\r\n")
    assert ": stream (" not in server.output()
    assert "Traceback" not in server.output()


@pytest.mark.parametrize("name", ["werkzeug", "waitress", "cheroot", "gevent"])
def test_on_other_servers_a_response_stays_and_works(name: str, service: ServiceFactory) -> None:
    port = free_port()
    patched = ["-m", "gevent.monkey", "--module"] if name == "gevent" else ["-m"]
    command = [sys.executable, *patched, "tests.support.streamapp", name, str(port)]
    with running(command, port) as server:
        assert_works(server, service)


def test_under_gunicorns_gevent_worker_a_response_stays_and_works(service: ServiceFactory) -> None:
    with gunicorn(APPLICATION, worker="gevent") as server:
        assert_works(server, service)


def test_behind_tls_that_python_ends_a_response_stays_and_works(
    service: ServiceFactory, certificate: tuple[str, str], tls: ssl.SSLContext
) -> None:
    def probe(port: int) -> None:
        with StreamVisitor(port) as visitor:
            tls.wrap_socket(visitor.sock, server_hostname="localhost").close()

    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "gthread", "-b", f"127.0.0.1:{port}"]
    command += ["--certfile", certificate[0], "--keyfile", certificate[1], APPLICATION]
    with running(command, port, probe=probe) as server:
        assert_works(server, service, tls)
