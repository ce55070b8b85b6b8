"""Which responses leave their thread, and which have to stay and work as ever."""

from __future__ import annotations

import random
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk, plain
from tests.support.client import request_bytes
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

from .conftest import clean

EVENT = b"data: tick\n\n"


@pytest.fixture(scope="module")
def host() -> Iterator[Server]:
    yield from clean("tests.support.streamapp:quick", threads=4)


@pytest.fixture(scope="module")
def patient() -> Iterator[Server]:
    """A host whose `handover_after` no test waits for."""
    yield from clean("tests.support.streamapp:patient", threads=4)


# --- They leave ----------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", FRAMINGS, ids=repr)
@pytest.mark.parametrize(
    "content_type",
    [b"text/event-stream", b"Text/Event-Stream;charset=utf-8", b"text/event-stream ; x=y"],
)
def test_an_event_stream_leaves_at_its_first_block(
    patient: Server, service: ServiceFactory, framing: Framing, content_type: bytes
) -> None:
    steps = Steps(framing.head(1000, content_type), framing.encode(EVENT))
    target = stream_target(service(steps).port)
    with StreamVisitor(patient.port) as visitor:
        visitor.ask(target)
        steps.go()
        visitor.read_head()
        assert not has_left(patient, target)
        steps.go()
        visitor.read_until(EVENT)
        leaving(patient, target)


@pytest.mark.parametrize("framing", FRAMINGS, ids=repr)
def test_an_event_stream_leaves_at_the_block_that_comes_with_its_head(
    patient: Server, service: ServiceFactory, framing: Framing
) -> None:
    steps = Steps(framing.head(1000, b"text/event-stream") + framing.encode(EVENT))
    target = stream_target(service(steps).port)
    with StreamVisitor(patient.port) as visitor:
        visitor.ask(target)
        steps.go()
        visitor.read_until(EVENT)
        leaving(patient, target)


@pytest.mark.parametrize("content_type", [b"text/event-stream", b"text/plain"])
@pytest.mark.parametrize("framing", FRAMINGS, ids=repr)
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
@pytest.mark.parametrize("framing", FRAMINGS, ids=repr)
def test_a_visitor_who_does_not_read_keeps_no_thread(
    host: Server, service: ServiceFactory, framing: Framing, when: str
) -> None:
    """What the server writes would wait for it, and the thread with that."""
    body = random.Random(8).randbytes(12 << 20)  # more than the kernel takes

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
            exchange.send(framing.head(8 * len(EVENT), content_type))
            for _ in range(8):
                exchange.send(framing.encode(EVENT))
                time.sleep(AFTER / 4)  # the drip is the case
            exchange.send(framing.end)
            if framing.close:
                return

    return script


def assert_stays(port: int, target: str, *, method: str = "GET") -> None:
    """The response comes whole, and its connection takes another request behind it."""
    with StreamVisitor(port) as visitor:
        visitor.ask(target, method=method)
        reply = visitor.reply(method=method)
        assert (reply.status, reply.complete) == (200, True)
        assert reply.body == EVENT * 8
        visitor.ask("/state")
        assert b'"streams": 0' in visitor.reply().body


OUTER = ["rewriting", "collecting", "late", "like_http2", "never"]


@pytest.fixture(scope="module", params=OUTER)
def keeping(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A host where something prevents the hand-over: see tests/support/streamapp.py."""
    yield from clean(f"tests.support.streamapp:{request.param}", threads=2)


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, CLOSE], ids=repr)
@pytest.mark.parametrize("content_type", [b"text/event-stream", b"text/plain"])
def test_a_response_stays_where_its_framing_is_not_known_for_sure(
    keeping: Server, service: ServiceFactory, framing: Framing, content_type: bytes
) -> None:
    upstream = service(dripping(framing, content_type))
    assert_stays(keeping.port, stream_target(upstream.port))


def test_the_wrapped_apps_own_responses_stay(host: Server) -> None:
    with StreamVisitor(host.port) as visitor:
        visitor.ask("/slow")
        reply = visitor.reply()
        assert (reply.complete, reply.body.count(b"data")) == (True, 8)
        visitor.ask("/state")
        assert b'"streams": 0' in visitor.reply().body


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED], ids=repr)
@pytest.mark.parametrize(
    ("method", "status"),
    [("HEAD", b"200 OK"), ("GET", b"204 No Content"), ("GET", b"304 Not Modified")],
)
def test_an_answer_without_a_body_never_leaves(
    host: Server, service: ServiceFactory, framing: Framing, method: str, status: bytes
) -> None:
    head = framing.head(5, b"text/event-stream").replace(b"200 OK", status)
    upstream = service(answers(head + b"surplus"))
    with StreamVisitor(host.port) as visitor:
        visitor.ask(stream_target(upstream.port), method=method)
        reply = visitor.reply(method=method)
        assert reply.status == int(status[:3])
        visitor.ask("/state")
        assert b'"streams": 0' in visitor.reply().body


@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_a_response_stays_while_its_request_is_being_sent(
    host: Server, service: ServiceFactory, coding: str
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
    with StreamVisitor(host.port) as visitor:
        visitor.send(request_bytes("POST", target, headers=[field]))
        sent, enough = 0, time.monotonic() + 2 * AFTER
        while time.monotonic() < enough:
            visitor.send(encode(b"x"))
            sent += 1
            assert state(host.port)["streams"] == 0
            assert not has_left(host, target)
        visitor.read_until(EVENT)
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


def test_beyond_the_cap_a_response_stays_and_is_whole(service: ServiceFactory) -> None:
    """The cap is one for tunnels and streams: here it is two, one of which is a WebSocket."""
    with gunicorn("tests.support.streamapp:two_streams", threads=4) as host, ExitStack() as stack:
        websocket = stack.enter_context(Visitor(host.port))
        websocket.open(stream_target(service(accepting(echo)).port))
        first, second = Steps(CLOSE.head(0) + b"1", b"1"), Steps(CLOSE.head(0) + b"2", b"2")
        targets = [stream_target(service(steps).port) for steps in (first, second)]
        visitors = [stack.enter_context(StreamVisitor(host.port)) for _ in targets]
        visitors[0].ask(targets[0])
        first.go()
        leaving(host, targets[0])
        assert state(host.port)["streams"] == 2
        visitors[1].ask(targets[1])
        second.go()
        visitors[1].read_until(b"2\r\n")
        end = time.monotonic() + 2 * AFTER
        while time.monotonic() < end:
            assert not has_left(host, targets[1])
        second.go(2)
        visitors[1].read_until(b"1\r\n2\r\n0\r\n\r\n")
        websocket.says_and_hears()
        websocket.close()
        until(lambda: state(host.port)["streams"] == 1, "the WebSocket gives its place back")
        third = Steps(CLOSE.head(0) + b"3", b"3")
        target = stream_target(service(third).port)
        visitor = stack.enter_context(StreamVisitor(host.port))
        visitor.ask(target)
        third.go()
        leaving(host, target)
        third.go(2)
        first.go(2)
        for one, body in ((visitor, b"33"), (visitors[0], b"11")):
            assert one.reply().body == body
            one.close()
        until(lambda: state(host.port)["streams"] == 0, "all places are given back")


# --- Elsewhere -----------------------------------------------------------------------------------


def assert_works(
    server: Server, service: ServiceFactory, wrap: ssl.SSLContext | None = None
) -> None:
    """Event streams and slow bodies come as they are sent, and whole."""
    for framing in (LENGTH, CHUNKED, CLOSE):
        steps = Steps(
            framing.head(2 * len(EVENT), b"text/event-stream") + framing.encode(EVENT),
            framing.encode(EVENT) + framing.end,
        )
        target = stream_target(service(steps).port)
        with StreamVisitor(server.port) as visitor:
            if wrap is not None:
                visitor.sock = wrap.wrap_socket(visitor.sock, server_hostname="localhost")
            visitor.ask(target)
            steps.go()
            head = visitor.read_head()
            visitor.read_until(EVENT)
            due = time.monotonic() + AFTER
            while time.monotonic() < due:
                if wrap is None:
                    assert state(server.port)["streams"] == 0
            steps.go(2)
            visitor.read_until(EVENT)
            if b"chunked" in head:
                visitor.read_until(b"0\r\n\r\n")


@pytest.mark.parametrize("name", ["werkzeug", "waitress", "cheroot", "gevent"])
def test_on_other_servers_a_response_stays_and_works(name: str, service: ServiceFactory) -> None:
    port = free_port()
    patched = ["-m", "gevent.monkey", "--module"] if name == "gevent" else ["-m"]
    command = [sys.executable, *patched, "tests.support.streamapp", name, str(port)]
    with running(command, port) as server:
        assert_works(server, service)
        assert state(port)["streams"] == 0
        assert "the stream" not in server.output()
        assert "Traceback" not in server.output()


def test_under_gunicorns_gevent_worker_a_response_stays_and_works(service: ServiceFactory) -> None:
    with gunicorn("tests.support.streamapp:quick", worker="gevent") as server:
        assert_works(server, service)
        assert state(server.port)["streams"] == 0
        assert "the stream" not in server.output()


def test_behind_tls_that_python_ends_a_response_stays_and_works(
    service: ServiceFactory, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
        f"-keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(cafile=str(certificate))

    def probe(port: int) -> None:
        with StreamVisitor(port) as visitor:
            context.wrap_socket(visitor.sock, server_hostname="localhost").close()

    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "gthread", "-b", f"127.0.0.1:{port}"]
    command += [f"--keyfile={key}", f"--certfile={certificate}", "tests.support.streamapp:quick"]
    with running(command, port, probe=probe) as server:
        assert_works(server, service, context)
        assert "the stream" not in server.output()
