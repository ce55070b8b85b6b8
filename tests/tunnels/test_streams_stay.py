"""Which requests stay in their thread, and work as ever: where they are answered in time, and where
they cannot leave."""

from __future__ import annotations

import random
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Reply
from tests.support.notes import Notes
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
from tests.support.waiting import Steps, until
from tests.support.websocket import Visitor, accepting, echo

from .conftest import EVENT, clean

APPLICATION = "tests.support.streamapp:application"


@pytest.fixture(scope="module")
def host() -> Iterator[Server]:
    with clean(APPLICATION, threads=4) as server:
        yield server


def dripping(framing: Framing, content_type: bytes = b"text/event-stream") -> Script:
    """Sends eight events in twice the time after which a response leaves."""

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
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


@pytest.mark.parametrize("framing", FRAMINGS, ids=repr)
def test_what_comes_whole_in_time_stays_and_keeps_its_connection(
    free: Server, service: ServiceFactory, framing: Framing
) -> None:
    """Though not with its head, and not at once."""
    body = random.Random(6).randbytes(60_000)  # just less than what leaves in any case
    halves = framing.encode(body[:30_000]), framing.encode(body[30_000:]) + framing.end
    steps = Steps(framing.head(len(body)), *halves)
    upstream = service(steps)
    with StreamVisitor(free.port) as visitor:
        visitor.ask(stream_target(upstream.port), app="patient")
        for _ in range(4):
            steps.go()
            time.sleep(0.01)  # so that the pieces are pieces
        reply = visitor.reply()
        assert (reply.status, reply.body, reply.complete) == (200, body, True)
        assert reply.value("Connection") == "keep-alive"
        assert_nothing_left(visitor, reply)


@pytest.mark.parametrize("app", ["rewriting", "like-http2", "never"])
@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, CLOSE], ids=repr)
@pytest.mark.parametrize("content_type", [b"text/event-stream", b"text/plain"])
def test_a_request_stays_where_something_prevents_the_hand_over(
    free: Server, service: ServiceFactory, app: str, framing: Framing, content_type: bytes
) -> None:
    """See tests/support/streamapp.py."""
    upstream = service(dripping(framing, content_type))
    with StreamVisitor(free.port) as visitor:
        visitor.ask(stream_target(upstream.port), app=app)
        reply = visitor.reply()
        assert (reply.status, reply.complete) == (200, True)
        assert reply.body == EVENT * 8
        assert_nothing_left(visitor, reply)


@pytest.mark.parametrize("framing", FRAMINGS, ids=repr)
def test_blocks_grow_where_a_response_stays(
    host: Server, service: ServiceFactory, framing: Framing
) -> None:
    """A download then costs a third of what it does in blocks of 64 KiB."""
    body = random.Random(5).randbytes(8 << 20)
    parts = [body[at : at + 8192] for at in range(0, len(body), 8192)]

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(framing.head(len(body)))
        exchange.send(b"".join(framing.encode(part) for part in parts) + framing.end)

    notes = Notes(host)
    with StreamVisitor(host.port) as visitor:
        visitor.ask(stream_target(service(script).port), app="measuring")
        reply = visitor.reply()
        assert (reply.status, reply.complete) == (200, True)
        assert reply.body == body
    (noted,) = until(notes.new, "the largest block is noted")
    assert int(noted.rpartition(" ")[2]) > 65536


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
        visitor.ask(stream_target(upstream.port), method=method, app="patient")
        reply = visitor.reply(method=method)
        assert reply.status == int(status[:3])
        assert_nothing_left(visitor, reply)


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
    types = (b"text/event-stream", b"text/plain")
    for framing, content_type in product((LENGTH, CHUNKED, CLOSE), types):
        events = framing.encode(EVENT), framing.encode(EVENT), framing.encode(EVENT) + framing.end
        head = framing.head(3 * len(EVENT), content_type)
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


@pytest.mark.parametrize("name", ["gevent", "waitress-lookahead"])
def test_where_a_connection_cannot_leave_a_response_stays_and_works(
    name: str, service: ServiceFactory
) -> None:
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
