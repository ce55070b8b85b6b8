"""Streams that left: what they cost, who waits for whom, and how they end."""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import Dechunker
from tests.support.client import ask, request_bytes
from tests.support.endings import close, half_close, reset, send_until_stopped
from tests.support.hurriedapp import LINGER
from tests.support.procfs import (
    cpu_seconds,
    descriptors,
    resident_mib,
    settled_descriptors,
    worker_of,
)
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, Service, answers
from tests.support.streamapp import AFTER
from tests.support.streams import (
    CHUNKED,
    CLOSE,
    LENGTH,
    Framing,
    StreamVisitor,
    has_left,
    leaving,
    state,
    stream_target,
)
from tests.support.waiting import PATIENCE, Steps, until

from .conftest import assert_clean, clean

EVENT = b"data: tick\n\n"
SMALL = 32768  # bytes: a receive buffer that is full soon, and read fast all the same
WORKERS = pytest.mark.parametrize(
    ("worker_class", "threads"), [("sync", 1), ("gthread", 4)], ids=["sync", "gthread"]
)


@dataclass
class Stream:
    """One that left: the visitor, who has read the first event, and the service's connection."""

    visitor: StreamVisitor
    service: Exchange
    framing: Framing
    target: str

    def send(self, body: bytes) -> None:
        self.service.send(self.framing.encode(body))

    def end(self) -> None:
        """End the body as it should."""
        if self.framing.end:
            self.service.send(self.framing.end)
        close(self.service.sock)


StreamFactory = Callable[..., Stream]


@pytest.fixture
def stream(service: ServiceFactory) -> Iterator[StreamFactory]:
    """Open event streams: `stream(host)`. Both ends are open until the test closes them, or ends.

    `length`: of the whole body, where the framing tells one.
    """
    released = threading.Event()
    opened: list[StreamVisitor] = []

    def open_one(
        host: Server,
        framing: Framing = CHUNKED,
        version: str = "HTTP/1.1",
        *,
        length: int = 100,
        receive_buffer: int = 0,
    ) -> Stream:
        def script(exchange: Exchange) -> None:
            exchange.read_head()
            exchange.send(framing.head(length, b"text/event-stream") + framing.encode(EVENT))
            released.wait(60)

        upstream: Service = service(script)
        visitor = StreamVisitor(host.port, receive_buffer=receive_buffer)
        opened.append(visitor)
        target = stream_target(upstream.port)
        visitor.ask(target, version)
        visitor.read_until(EVENT)
        leaving(host, target)
        exchange = upstream.exchanges[0]
        exchange.sock.settimeout(PATIENCE)
        return Stream(visitor, exchange, framing, target)

    yield open_one
    for visitor in opened:
        visitor.close()
    released.set()


@pytest.fixture(scope="module", params=[("sync", 1), ("gthread", 4)], ids=["sync", "gthread"])
def host(request: pytest.FixtureRequest) -> Iterator[Server]:
    worker_class, threads = request.param
    yield from clean("tests.support.streamapp:quick", worker=worker_class, threads=threads)


@pytest.fixture(scope="module")
def worker(host: Server) -> int:
    """Its worker's process id, once the relay and all threads run."""
    upstream = Service(answers(CLOSE.head(0, b"text/event-stream") + EVENT, keep_open=False))
    for _ in range(8):
        with StreamVisitor(host.port) as visitor:
            visitor.ask(stream_target(upstream.port))
            visitor.reply()
    steps = Steps(CLOSE.head(0, b"text/event-stream") + EVENT)
    upstream.close()
    upstream = Service(steps)
    with StreamVisitor(host.port) as visitor:
        visitor.ask(target := stream_target(upstream.port))
        steps.go()
        leaving(host, target)
    upstream.close()
    return worker_of(host)


@pytest.fixture(scope="module")
def quiet_descriptors(worker: int) -> int:
    return settled_descriptors(worker)


@pytest.fixture(autouse=True)
def _no_descriptor_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    if "host" not in request.fixturenames:
        yield  # the test has a server of its own
        return
    worker = request.getfixturevalue("worker")
    before = request.getfixturevalue("quiet_descriptors")
    yield
    until(lambda: descriptors(worker) == before, "the worker holds what it held before", 15)


# --- What they cost ------------------------------------------------------------------------------


def test_streams_leave_the_threads_to_others(host: Server, stream: StreamFactory) -> None:
    streams = [stream(host) for _ in range(20)]
    held = state(host.port)
    assert held["streams"] == 20
    assert held["threads"] <= 6  # at most four, the main one, and the relay
    start = time.monotonic()
    for _ in range(50):
        assert ask(host.port, "GET", "/login").status == 200
    assert time.monotonic() - start < 5
    for number, one in enumerate(streams):
        one.send(b"data: %d\n\n" % number)
    for number, one in enumerate(streams):
        one.visitor.read_until(b"data: %d\n\n" % number)
        one.end()
        one.visitor.read_until(b"0\r\n\r\n")
        assert one.visitor.is_closed()


def test_quiet_streams_cost_no_processor_time(
    host: Server, worker: int, stream: StreamFactory
) -> None:
    """In each state in which a loop could turn without end: silent, stopped, ended, half ended."""
    for framing in (CHUNKED, LENGTH, CLOSE):
        stream(host, framing)
    stopped = [stream(host, LENGTH, length=1 << 40, receive_buffer=4096) for _ in range(2)]
    for one in stopped:
        send_until_stopped(one.service.sock)
    close(stopped[0].service.sock)  # with bytes before the end that nobody reads
    stream(host).end()  # the visitor does not close
    chatty = stream(host)
    chatty.visitor.send(b"GET / HTTP/1.1\r\n" * 1000)
    before = cpu_seconds(worker)
    time.sleep(1)  # quiet, which is the case
    assert cpu_seconds(worker) - before <= 0.05


def test_a_visitor_who_stops_reading_stops_the_service_and_fills_no_memory(
    host: Server, worker: int, stream: StreamFactory
) -> None:
    one = stream(host, CLOSE, receive_buffer=SMALL)
    before = resident_mib(worker)
    sent = send_until_stopped(one.service.sock, limit=1 << 26)
    assert resident_mib(worker) - before < 4
    one.end()
    dechunker, received = Dechunker(), 0
    while one.visitor.fill():
        received += len(dechunker.feed(one.visitor.buffer))
        one.visitor.buffer = b""
    assert (received, dechunker.complete) == (sent, True)


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, CLOSE], ids=repr)
def test_a_slow_reader_gets_every_byte(
    host: Server, service: ServiceFactory, framing: Framing
) -> None:
    """Slow from the start, so that the response leaves with much of it on the way."""
    body = random.Random(3).randbytes(1 << 20) * 5

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(framing.head(len(body)))
        for position in range(0, len(body), 100_000):
            exchange.send(framing.encode(body[position : position + 100_000]))
        exchange.send(framing.end)

    target = stream_target(service(script).port)
    with StreamVisitor(host.port, receive_buffer=65536) as visitor:
        visitor.ask(target)
        leaving(host, target)
        reply = visitor.reply()
        assert (reply.status, reply.complete) == (200, True)
        assert reply.body == body


# --- Visitors who leave, or say more -------------------------------------------------------------


@pytest.mark.parametrize("leave", [close, reset, half_close])
def test_the_service_hears_at_once_that_the_visitor_left_a_silent_stream(
    host: Server, stream: StreamFactory, leave: Callable[[socket.socket], None]
) -> None:
    one = stream(host)
    start = time.monotonic()
    leave(one.visitor.sock)
    assert one.service.peer_closed(3)
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("leave", [close, reset])
def test_the_service_hears_that_a_visitor_left_who_did_not_read(
    host: Server, stream: StreamFactory, leave: Callable[[socket.socket], None]
) -> None:
    one = stream(host, LENGTH, length=1 << 40, receive_buffer=4096)
    send_until_stopped(one.service.sock)
    leave(one.visitor.sock)
    assert one.service.peer_closed(3)


SECOND = request_bytes("GET", "/login")


@pytest.mark.parametrize(
    ("with_the_first", "later"),
    [
        pytest.param(SECOND, b"", id="in-the-packet-of-the-first"),
        pytest.param(b"", SECOND, id="behind-the-hand-over"),
        pytest.param(SECOND[:20], SECOND[20:], id="cut-in-two"),
        pytest.param(b"", SECOND * 20_000, id="very-many"),
    ],
)
@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, CLOSE], ids=repr)
def test_a_request_behind_a_stream_breaks_nothing_and_is_not_answered(
    host: Server, service: ServiceFactory, framing: Framing, with_the_first: bytes, later: bytes
) -> None:
    """Its visitor sees the connection end, and asks again (RFC 9112 section 9.3.2)."""
    rest = random.Random(5).randbytes(200_000)
    steps = Steps(
        framing.head(len(EVENT + rest), b"text/event-stream") + framing.encode(EVENT),
        framing.encode(rest) + framing.end,
    )
    target = stream_target(service(steps).port)
    before = host.output().count('"GET /login')
    with StreamVisitor(host.port) as visitor:
        visitor.send(request_bytes("GET", target) + with_the_first)
        steps.go()
        leaving(host, target)
        visitor.send(later)
        steps.go(2)
        reply = visitor.reply()
        assert (reply.body, reply.complete) == (EVENT + rest, True)
        assert visitor.buffer == b""
        assert visitor.is_closed()
    assert host.output().count('"GET /login') == before


# --- Ends ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hurried() -> Iterator[Server]:
    yield from clean("tests.support.hurriedapp:application", threads=4)


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_a_visitor_may_pause_for_longer_than_ends_linger(
    hurried: Server, stream: StreamFactory, version: str
) -> None:
    """The service has ended meanwhile, and what the visitor has not read waits for it."""
    one = stream(hurried, CLOSE, version, receive_buffer=SMALL)
    sent = send_until_stopped(one.service.sock)
    one.end()
    time.sleep(4 * LINGER)  # the pause
    received = b"".join(iter(lambda: one.visitor.sock.recv(1 << 20), b""))
    if version == "HTTP/1.1":
        dechunker = Dechunker()
        received = dechunker.feed(received)
        assert dechunker.complete
    assert len(received) == sent


def test_a_visitor_who_does_not_close_is_not_waited_for_long(
    hurried: Server, stream: StreamFactory
) -> None:
    one = stream(hurried)
    one.end()
    until(lambda: state(hurried.port)["streams"] == 0, "the place is given back")
    one.visitor.read_until(b"0\r\n\r\n")
    assert one.visitor.is_closed()


def test_the_service_is_let_go_at_the_end_of_its_response(
    host: Server, stream: StreamFactory
) -> None:
    """Though it keeps its connection alive, and the visitor takes long to close."""
    one = stream(host)
    one.service.send(CHUNKED.end)
    assert one.service.peer_closed(3)


def records(host: Server, target: str) -> list[str]:
    port = target.split("/")[4]
    return re.findall(rf"portproxy INFO port {port}: the stream (.*)", host.output())


def test_the_log_tells_the_hand_over_and_the_real_end(host: Server, stream: StreamFactory) -> None:
    one = stream(host)  # waits for the line of the server's access log
    start = time.monotonic()
    assert records(host, one.target) == []
    assert host.output().count(f"{one.target} HTTP") == 1
    one.send(bytes(100_000))
    until(lambda: time.monotonic() - start > 0.3, "a while")
    one.end()
    (record,) = until(lambda: records(host, one.target), "the record of the end")
    told = re.fullmatch(r"\(200\) ended after (\d+\.\d{3}) s, (\d+) bytes", record)
    assert told is not None, record
    assert 0.3 <= float(told[1]) < 5
    assert int(told[2]) == 100_000 + len(EVENT)
    one.visitor.read_until(b"0\r\n\r\n")
    one.visitor.close()
    assert host.output().count(f"{one.target} HTTP") == 1


@pytest.mark.parametrize("who", ["visitor", "service"])
def test_the_log_tells_that_a_stream_was_cut(host: Server, stream: StreamFactory, who: str) -> None:
    one = stream(host)
    close(one.visitor.sock if who == "visitor" else one.service.sock)
    (record,) = until(lambda: records(host, one.target), "the record of the end")
    assert re.fullmatch(r"\(200\) was cut after \d+\.\d{3} s, 12 bytes", record), record


def test_without_a_free_descriptor_a_response_stays_and_is_whole(service: ServiceFactory) -> None:
    # Its cap on streams is a setting, so that what fails is the hand-over itself.
    with gunicorn("tests.support.streamapp:two_streams", threads=4) as host:
        worker = worker_of(host)
        limits = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        steps = Steps(CLOSE.head(0) + b"begin", b" end")
        upstream = service(steps)
        target = stream_target(upstream.port)
        with StreamVisitor(host.port) as visitor:
            visitor.ask(target)
            until(lambda: upstream.heads, "the request is at the service")
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, limits[1]))
            try:
                steps.go()
                visitor.read_until(b"begin")
                due = time.monotonic() + 4 * AFTER
                while time.monotonic() < due:
                    assert not has_left(host, target)
            finally:
                resource.prlimit(worker, resource.RLIMIT_NOFILE, limits)
            steps.go(2)
            visitor.read_until(b" end\r\n0\r\n\r\n")
        assert state(host.port)["streams"] == 0
        assert_clean(host)


# --- The end of the process ----------------------------------------------------------------------


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def assert_clean_to_the_end(host: Server) -> None:
    """As `assert_clean`, but for what gunicorn's sync worker says: it never closes its listener."""
    output = re.sub(r".*ResourceWarning.*laddr=\(.*\)>\n", "", host.output())
    output = re.sub(r"Exception ignored in: <socket.socket .*\)>\n", "", output)
    for sign in ("Traceback", "ResourceWarning", "[ERROR]", "[CRITICAL]", "Exception ignored"):
        assert sign not in output, output


CASES = [(CHUNKED, "HTTP/1.1"), (LENGTH, "HTTP/1.1"), (CLOSE, "HTTP/1.0"), (CHUNKED, "HTTP/1.0")]


def assert_cut_or_ended(ended: Stream, open_ones: list[Stream]) -> None:
    """`ended` came to its end in time, and the others are visibly cut."""
    ended.visitor.read_until(b"the end\r\n0\r\n\r\n")
    assert ended.visitor.is_closed()
    for one in open_ones:
        while one.visitor.fill():
            pass
        looks_whole = one.framing is not LENGTH and one.visitor.buffer.endswith(b"0\r\n\r\n")
        assert not looks_whole
        # Where nothing else tells of the cut, a reset does.
        assert one.visitor.was_reset or b"\r\n" in one.visitor.buffer or one.framing is LENGTH


@WORKERS
def test_sigterm_ends_streams_within_two_seconds(
    stream: StreamFactory, worker_class: str, threads: int
) -> None:
    app = "tests.support.streamapp:quick"
    with gunicorn(app, worker=worker_class, threads=threads) as host:
        ended, *open_ones = [stream(host), *(stream(host, *case) for case in CASES)]
        worker = worker_of(host)
        start = time.monotonic()
        os.kill(host.pid, signal.SIGTERM)
        until(lambda: "Handling signal: term" in host.output(), "gunicorn is told")
        ended.send(b"the end")
        ended.end()
        assert_cut_or_ended(ended, open_ones)
        until(lambda: not is_running(worker), "the worker exits", 5)
        until(lambda: not is_running(host.pid), "gunicorn exits", 5)
        assert time.monotonic() - start < 5
        assert_clean_to_the_end(host)
        assert host.output().count("was cut after") == len(open_ones)
        assert host.output().count("ended after") == 1


@WORKERS
def test_a_recycled_worker_ends_its_streams_within_two_seconds(
    stream: StreamFactory, worker_class: str, threads: int
) -> None:
    app, options = "tests.support.streamapp:quick", ("--max-requests", "7")
    with gunicorn(app, worker=worker_class, threads=threads, options=options) as host:
        ended, *open_ones = [stream(host), *(stream(host, *case) for case in CASES)]
        worker = worker_of(host)
        start = time.monotonic()
        while "Autorestarting" not in host.output():
            assert ask(host.port, "GET", "/login").status == 200
        ended.send(b"the end")
        ended.end()
        assert_cut_or_ended(ended, open_ones)
        until(lambda: not is_running(worker), "the worker exits", 5)
        assert time.monotonic() - start < 5
        assert ask(host.port, "GET", "/login").status == 200
        assert worker_of(host) != worker
        with ExitStack() as stack:
            one = stream(host)
            stack.callback(one.visitor.close)
            one.end()
            one.visitor.read_until(b"0\r\n\r\n")
        assert_clean_to_the_end(host)


# --- Another reader ------------------------------------------------------------------------------


def test_curl_reads_events_as_they_come_and_sees_how_a_stream_ends(
    host: Server, service: ServiceFactory
) -> None:
    curl = shutil.which("curl")
    assert curl is not None, "this test reads with curl; install it (Debian: apt-get install curl)"
    events = [b"data: %d\n\n" % number for number in range(4)]
    # What curl exits with: 0 for a proper end, 18 for a partial body (curl(1), EXIT CODES).
    for framing, end, code in ((CHUNKED, CHUNKED.end, 0), (CHUNKED, b"", 18), (LENGTH, b"", 18)):
        pieces = [framing.encode(event) for event in events[1:]]
        begin = framing.head(1000, b"text/event-stream") + framing.encode(events[0])
        steps = Steps(begin, *pieces, end)
        target = stream_target(service(steps).port)
        command = [curl, "--silent", "--no-buffer", "--max-time", "20", "--cookie", "user=alice"]
        with subprocess.Popen(
            [*command, f"http://127.0.0.1:{host.port}{target}"], stdout=subprocess.PIPE
        ) as reader:
            assert reader.stdout is not None
            for event in events:
                steps.go()
                assert reader.stdout.readline() + reader.stdout.readline() == event
                leaving(host, target)
            steps.go(2)
            assert reader.stdout.read() == b""
            assert reader.wait(PATIENCE) == code
