"""Every server that we support: requests, streams and tunnels, measured, and told in the docs.

docs/support-matrix.md has a row for each: its marks are what is measured here.
"""

from __future__ import annotations

import os
import re
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import request_bytes
from tests.support.ports import free_port
from tests.support.procfs import children, cpu_seconds
from tests.support.received import Received, recording
from tests.support.servers import ROOT, Server, running
from tests.support.service import Exchange, Service
from tests.support.urls import path_form
from tests.support.waiting import until
from tests.support.websocket import (
    BINARY,
    CLOSE,
    TEXT,
    Frame,
    Visitor,
    close_frame,
    echoing,
    frame,
    handshake,
    switching,
)

DOCUMENT = ROOT / "docs" / "support-matrix.md"
YES, THREAD_EACH, NO = "✓", "✓, a thread each", "✗"
OPEN_AT_ONCE = 20  # more than the threads of any server here
# Seconds after which a request is taken to wait for a thread, where the document says that it does.
WAITS = 0.7


@dataclass(frozen=True)
class Row:
    """A server: the runner's name for it, what the document calls it, and what its log looks like.

    early_frames: frames in the packet of the handshake reach the service. access_log: the pattern
    of the line that a tunnel leaves, 202 if the handshake left its thread before it was answered;
    None where the server has no access log by default.
    """

    name: str
    title: str
    access_log: str | None = r'"GET \S*/x HTTP/1.1" (?:101|202) '
    early_frames: bool = True

    @property
    def marks(self) -> tuple[str, str]:
        """What the document says of streams and of tunnels."""
        text = DOCUMENT.read_text("utf-8")
        (cells,) = [
            line.split(" | ") for line in text.splitlines() if line.startswith(f"| {self.title} |")
        ]
        assert cells[1] == YES
        return cells[2], cells[3]


UWSGI_LOG = r"GET \S*/x => generated 0 bytes .*\(HTTP/1.1 (?:101|202)\)"
# The last is the one without tunnels.
ROWS = [
    Row("gunicorn-sync", "gunicorn, sync"),
    Row("gunicorn-gthread", "gunicorn, gthread"),
    Row("gunicorn-gevent", "gunicorn, gevent"),
    Row("gunicorn-gthread-tls", "gunicorn, gthread, TLS in gunicorn"),
    Row("werkzeug", "werkzeug, `threaded=True`"),
    Row("waitress", "waitress", None),
    Row("cheroot", "cheroot", None),
    Row("gevent-pywsgi", "gevent.pywsgi, patched"),
    Row("uwsgi-threads", "uWSGI, `--http-socket`, `--enable-threads`", UWSGI_LOG, False),
    Row(
        "uwsgi-router",
        "uWSGI, `--http`, `--http-websockets`, `--enable-threads`",
        UWSGI_LOG,
        False,
    ),
    Row("uwsgi", "uWSGI without `--enable-threads`", None, False),
]


@dataclass
class Host:
    """A running server of a row, and how to visit it."""

    row: Row
    server: Server
    tls: ssl.SSLContext | None

    def visitor(self, *, timeout: float = 30.0) -> Visitor:
        return Visitor(self.server.port, timeout=timeout, tls=self.tls)


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest, certificate: tuple[str, str]) -> Iterator[Host]:
    yield from started(request.param, certificate)


def started(row: Row, certificate: tuple[str, str]) -> Iterator[Host]:
    port = free_port()
    command = [sys.executable, "-m", "tests.support.run_server", row.name, str(port)]
    tls = None
    if row.name.endswith("-tls"):
        command += certificate
        tls = ssl.create_default_context(cafile=certificate[0])

    def probe(port: int) -> None:
        Visitor(port, tls=tls).close()

    # What the document tells is the default.
    with running(command, port, env={"LEAVING": ""}, probe=probe) as server:
        yield Host(row, server, tls)


def each(rows: list[Row]) -> pytest.MarkDecorator:
    """For each row; the rows are groups of their own (tests/support/groups.py)."""
    return pytest.mark.parametrize("host", rows, ids=lambda row: row.name, indirect=True)


# --- HTTP


@each(ROWS)
def test_requests(host: Host, service: ServiceFactory) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    for method, body in (("GET", b""), ("POST", b"x" * 100_000)):
        with host.visitor() as visitor:
            visitor.send(request_bytes(method, path_form(upstream.port, "/a?b=c"), body=body))
            reply = visitor.reply()
        assert (reply.status, reply.body, reply.complete) == (200, b"hi", True)
        assert (seen[-1].method, seen[-1].target, seen[-1].body) == (method, "/a?b=c", body)


def is_answered(host: Host, timeout: float = 30.0) -> bool:
    """Whether a plain request of the app is answered, without waiting for anything to end."""
    try:
        with host.visitor(timeout=timeout) as visitor:
            visitor.send(request_bytes("GET", "/login"))
            return visitor.reply().status == 200
    except TimeoutError:
        return False


def opened_beside_requests(
    host: Host, stack: ExitStack, mark: str, open_one: Callable[[Visitor], None]
) -> list[Visitor]:
    """What `open_one` opened until plain requests were no longer answered, or there were enough:
    whichever the document's `mark` says."""
    visitors: list[Visitor] = []
    timeout = WAITS if mark == THREAD_EACH else 30
    while len(visitors) < OPEN_AT_ONCE:
        visitors.append(stack.enter_context(host.visitor()))
        open_one(visitors[-1])
        if not is_answered(host, timeout):
            break
    assert mark == (YES if len(visitors) == OPEN_AT_ONCE else THREAD_EACH)
    return visitors


# --- streams

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


class Events:
    """A service of event streams: one event at once; what follows, and the end, are the test's."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.over = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        exchange.read_head()
        self.exchanges.append(exchange)
        exchange.send(EVENTS + b"data: 0\n\n")
        self.over.wait(120)


def wait_for(visitor: Visitor, text: bytes) -> None:
    while text not in visitor.buffer:
        assert visitor.fill(), f"closed before {text!r} came: {visitor.buffer!r}"


def read_to_end(visitor: Visitor) -> None:
    """Up to the last chunk, or the end of the connection where the server sends no chunks."""
    while not visitor.buffer.endswith(b"\r\n0\r\n\r\n") and visitor.fill():
        pass
    visitor.close()


def open_stream(visitor: Visitor, upstream: Service) -> None:
    last = [("Connection", "close")]
    visitor.send(request_bytes("GET", path_form(upstream.port, "/events"), headers=last))
    wait_for(visitor, b"data: 0\n\n")


@each(ROWS)
def test_an_event_stream_event_by_event(host: Host, service: ServiceFactory) -> None:
    events = Events()
    upstream = service(events)
    with host.visitor() as visitor:
        open_stream(visitor, upstream)
        for number in range(1, 4):
            event = b"data: %d\n\n" % number
            events.exchanges[0].send(event)
            wait_for(visitor, event)  # before the next is sent
        events.over.set()
        read_to_end(visitor)


@each(ROWS)
def test_streams_beside_requests(host: Host, service: ServiceFactory) -> None:
    events = Events()
    upstream = service(events)
    mark, _ = host.row.marks
    with ExitStack() as stack:
        visitors = opened_beside_requests(host, stack, mark, lambda one: open_stream(one, upstream))
        events.over.set()
        for visitor in visitors:
            read_to_end(visitor)
    assert is_answered(host)


# --- tunnels


@each(ROWS[:-1])
def test_a_tunnel(host: Host, service: ServiceFactory) -> None:
    upstream = service(echoing)
    message = os.urandom(1 << 20)
    with host.visitor() as visitor:
        head = visitor.open(path_form(upstream.port, "/x")).lower()
        # RFC 9112 section 6.1 and RFC 9110 section 8.6: neither is allowed in a 1xx.
        assert b"transfer-encoding" not in head
        assert b"content-length" not in head
        assert (head.count(b"\r\nupgrade: websocket"), head.count(b"\r\nconnection:")) == (1, 1)
        visitor.says_and_hears()
        visitor.send_frame(BINARY, message)
        assert visitor.frame() == Frame(0x80 | BINARY, message)
        visitor.says_and_hears()
        visitor.send_close(4321, "enough")
        assert visitor.frame() == Frame(0x80 | CLOSE, close_frame(4321, "enough")[2:])
        assert visitor.frame() is None


@each(ROWS[:-1])
def test_the_service_sends_with_its_101_and_closes(host: Host, service: ServiceFactory) -> None:
    def script(exchange: Exchange) -> None:
        accepting_now = frame(TEXT, b"welcome") + close_frame(1000)
        exchange.send(switching(exchange.read_head()) + accepting_now)

    with host.visitor() as visitor:
        visitor.open(path_form(service(script).port, "/x"))
        assert visitor.frame() == Frame(0x80 | TEXT, b"welcome")
        assert visitor.frame() == Frame(0x80 | CLOSE, b"\x03\xe8")
        assert visitor.frame() is None


@each([row for row in ROWS if row.early_frames])
def test_frames_in_the_packet_of_the_handshake(host: Host, service: ServiceFactory) -> None:
    upstream = service(echoing)
    early = frame(TEXT, b"early", mask=Visitor.MASK) + frame(BINARY, bytes(50_000), mask=b"mask")
    with host.visitor() as visitor:
        visitor.send(handshake(path_form(upstream.port, "/x")) + early)
        visitor.switched()
        assert visitor.frame() == Frame(0x80 | TEXT, b"early")
        assert visitor.frame() == Frame(0x80 | BINARY, bytes(50_000))
        visitor.says_and_hears()


@pytest.mark.case("requests beside tunnels")
@each(ROWS[:-1])
def test_tunnels_beside_requests(host: Host, service: ServiceFactory) -> None:
    target = path_form(service(echoing).port, "/x")

    def open_tunnel(visitor: Visitor) -> None:
        visitor.open(target)
        visitor.says_and_hears()

    _, mark = host.row.marks
    with ExitStack() as stack:
        opened_beside_requests(host, stack, mark, open_tunnel)
        assert_at_rest(host)
    until(lambda: is_answered(host), "the tunnels are over")


def assert_at_rest(host: Host) -> None:
    """Open tunnels cost no processor time; neither do what the server's own loop knows of them."""
    processes = [host.server.pid, *children(host.server.pid)]
    before = sum(map(cpu_seconds, processes))
    time.sleep(0.4)  # what is measured: how much is done while nothing happens
    assert sum(map(cpu_seconds, processes)) - before < 0.1


@each(ROWS[-1:])
def test_where_there_are_no_tunnels_the_answer_says_what_to_do(
    host: Host, service: ServiceFactory
) -> None:
    assert host.row.marks[1] == NO
    upstream = service(echoing)
    with host.visitor() as visitor:
        visitor.send(handshake(path_form(upstream.port, "/x")))
        reply = visitor.reply()
    assert (reply.status, upstream.connections) == (501, 0)
    assert "--enable-threads" in reply.text


# --- what is left behind

TROUBLE = re.compile(r"Traceback|\berror\b|exception|warning", re.IGNORECASE)
# What werkzeug and uWSGI say of themselves at the start, and waitress when its threads are held.
HARMLESS = re.compile(
    "This is a development server|you are running uWSGI|without its master|Task queue depth is"
)


@each(ROWS)
def test_the_log(host: Host, service: ServiceFactory) -> None:
    if host.row.access_log is not None:
        with host.visitor() as visitor:
            visitor.open(path_form(service(echoing).port, "/x"))
        pattern = re.compile(host.row.access_log)
        until(lambda: pattern.search(output(host)), "the access log has the tunnel")
    lines = [line for line in output(host).splitlines() if TROUBLE.search(line)]
    assert [line for line in lines if not HARMLESS.search(line)] == []


def output(host: Host) -> str:
    """What the server printed, without the colours of werkzeug's."""
    return re.sub(r"\x1b\[[0-9;]*m", "", host.server.output())


# --- the document


def test_the_document_has_these_rows_and_no_others() -> None:
    rows = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows[1:]] == [f"| {row.title}" for row in ROWS]
    assert f" {OPEN_AT_ONCE} of them at once " in DOCUMENT.read_text("utf-8")
