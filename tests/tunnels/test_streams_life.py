"""Streams that left: what they cost, who waits for whom, and how they end."""

from __future__ import annotations

import random
import re
import resource
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import Dechunker
from tests.support.client import request_bytes
from tests.support.endings import close, half_close, reset, send_until_stopped
from tests.support.procfs import cpu_seconds, nothing_left, resident_mib, worker_of
from tests.support.servers import Server
from tests.support.service import Exchange
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

from .conftest import EVENT, HURRIED, LINGER, StreamFactory, clean, opening_tunnels

SMALL = 32768  # bytes: a receive buffer that is full soon, and read fast all the same
APPLICATION = "tests.support.streamapp:application"


@pytest.fixture(scope="module")
def host() -> Iterator[Server]:
    with clean(APPLICATION, threads=4) as server:
        yield server


@pytest.fixture(scope="module")
def worker(host: Server) -> int:
    """Its worker's process id, once the relay runs."""
    with opening_tunnels() as tunnel:
        tunnel(host)
    return worker_of(host)


@pytest.fixture(autouse=True)
def _no_descriptor_is_left(worker: int) -> Iterator[None]:
    with nothing_left(worker):
        yield


# --- What they cost ------------------------------------------------------------------------------


@pytest.mark.parametrize(("worker_class", "threads"), [("sync", 1), ("gthread", 4)])
def test_streams_leave_the_threads_to_others(
    stream: StreamFactory, worker_class: str, threads: int
) -> None:
    with clean(APPLICATION, worker=worker_class, threads=threads) as host:
        streams = [stream(host) for _ in range(20)]
        held = state(host.port)  # is answered
        assert held["streams"] == 20
        assert held["threads"] <= threads + 2  # the main one, and the relay
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
    time.sleep(0.7)  # quiet, which is the case
    assert cpu_seconds(worker) - before < 0.1


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


# --- Visitors who leave, or say more -------------------------------------------------------------


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("leave", [close, reset, half_close])
def test_the_service_hears_that_the_visitor_left(
    host: Server, stream: StreamFactory, leave: Callable[[socket.socket], None], reads: bool
) -> None:
    one = stream(host, LENGTH, length=1 << 40, receive_buffer=0 if reads else 4096)
    if not reads:
        send_until_stopped(one.service.sock)
    leave(one.visitor.sock)
    assert one.service.peer_closed(PATIENCE)


# Of what a browser will show as a page, which page adapters may change.
NAVIGATION = [("Sec-Fetch-Dest", "document"), ("Sec-Fetch-Mode", "navigate")]


@pytest.mark.parametrize("leave", [close, reset, half_close])
@pytest.mark.parametrize("content_type", [b"text/plain", b"text/html"])
def test_the_service_hears_that_the_visitor_left_before_anything_came(
    host: Server,
    service: ServiceFactory,
    leave: Callable[[socket.socket], None],
    content_type: bytes,
) -> None:
    """Neither the head nor, of a page, what page adapters wait for."""
    head = LENGTH.head(1000, content_type) + b"<html>"
    for begun in (b"", head[:20], head):
        closed = threading.Event()

        def script(
            exchange: Exchange, begun: bytes = begun, closed: threading.Event = closed
        ) -> None:
            exchange.read_head()
            exchange.send(begun)
            if exchange.peer_closed(PATIENCE):
                closed.set()

        target = stream_target(service(script).port)
        with StreamVisitor(host.port) as visitor:
            visitor.send(request_bytes("GET", target, headers=NAVIGATION))
            leaving(host, target)
            leave(visitor.sock)
            assert closed.wait(PATIENCE)


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, CLOSE], ids=repr)
def test_a_request_behind_a_stream_breaks_nothing_and_is_not_answered(
    host: Server, service: ServiceFactory, framing: Framing
) -> None:
    """Its visitor sees the connection end, and asks again (RFC 9112 section 9.3.2)."""
    second = request_bytes("GET", f"/never-answered-{framing}")
    for with_the_first, later in ((second, b""), (second[:20], second[20:]), (b"", second * 9000)):
        rest = random.Random(5).randbytes(200_000)
        steps = Steps(
            framing.head(len(EVENT + rest), b"text/event-stream") + framing.encode(EVENT),
            framing.encode(rest) + framing.end,
        )
        target = stream_target(service(steps).port)
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
    assert f"/never-answered-{framing}" not in host.output()


# --- Ends ----------------------------------------------------------------------------------------


def test_who_is_waited_for_longer_than_ends_linger_and_who_is_not(stream: StreamFactory) -> None:
    """The service has ended. What a visitor who pauses has not read waits for them; one who has all
    of it and does not close takes no place."""
    with clean(APPLICATION, threads=4, env=HURRIED) as host:
        paused = [stream(host, CLOSE, v, receive_buffer=SMALL) for v in ("HTTP/1.1", "HTTP/1.0")]
        sent = [send_until_stopped(one.service.sock) for one in paused]
        unclosed = stream(host)
        for one in (*paused, unclosed):
            one.end()
        until(lambda: state(host.port)["streams"] == 2, "the place is given back")
        unclosed.visitor.read_until(b"0\r\n\r\n")
        assert unclosed.visitor.is_closed()
        time.sleep(LINGER / 2)  # the pause goes on
        bodies = [b"".join(iter(lambda s=one.visitor.sock: s.recv(1 << 20), b"")) for one in paused]  # type: ignore[misc]
        dechunker = Dechunker()
        assert [len(dechunker.feed(bodies[0])), len(bodies[1])] == sent
        assert dechunker.complete


def test_the_service_is_let_go_at_the_end_of_its_response(
    host: Server, stream: StreamFactory
) -> None:
    """Though it keeps its connection alive, and the visitor takes long to close."""
    one = stream(host)
    one.service.send(CHUNKED.end)
    assert one.service.peer_closed(PATIENCE)


def records(host: Server, target: str) -> list[str]:
    port = target.split("/")[4]
    return re.findall(rf"portproxy INFO port {port}: stream (.*)", host.output())


def test_the_log_tells_the_hand_over_and_the_real_end(host: Server, stream: StreamFactory) -> None:
    start = time.monotonic()
    one = stream(host)  # waits for the line of the server's access log
    assert records(host, one.target) == []
    assert host.output().count(f"{one.target} HTTP") == 1
    one.send(bytes(100_000))
    time.sleep(0.3)  # which the record is to tell
    one.end()
    (record,) = until(lambda: records(host, one.target), "the record of the end")
    told = re.fullmatch(r"\(200\) complete after (\d+\.\d{3}) s, (\d+) bytes", record)
    assert told is not None, record
    assert 0.3 <= float(told[1]) < time.monotonic() - start + 1
    assert int(told[2]) == 100_000 + len(EVENT)
    one.visitor.read_until(b"0\r\n\r\n")
    one.visitor.close()
    assert host.output().count(f"{one.target} HTTP") == 1


@pytest.mark.parametrize("who", ["visitor", "service"])
def test_the_log_tells_that_a_stream_was_cut(host: Server, stream: StreamFactory, who: str) -> None:
    one = stream(host)
    close(one.visitor.sock if who == "visitor" else one.service.sock)
    (record,) = until(lambda: records(host, one.target), "the record of the end")
    assert re.fullmatch(r"\(200\) cut after \d+\.\d{3} s, 12 bytes", record), record


def test_without_a_free_descriptor_a_response_stays_and_is_whole(service: ServiceFactory) -> None:
    # Its cap on streams is a setting, so that what fails is the hand-over itself.
    with clean(APPLICATION, threads=4) as host:
        worker = worker_of(host)
        limits = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        steps = Steps(CLOSE.head(0) + b"begin", b" middle", b" end")
        upstream = service(steps)
        target = stream_target(upstream.port)
        with StreamVisitor(host.port) as visitor:
            visitor.ask(target, app="two")
            until(lambda: upstream.heads, "the request is at the service")
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, limits[1]))
            try:
                steps.go()
                visitor.read_until(b"begin")
                time.sleep(2 * AFTER)  # until it would have left
                steps.go()
                visitor.read_until(b" middle")
                assert not has_left(host, target)
            finally:
                resource.prlimit(worker, resource.RLIMIT_NOFILE, limits)
            steps.go(2)
            visitor.read_until(b" end\r\n0\r\n\r\n")
        assert state(host.port)["streams"] == 0


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
        command = [curl, "--silent", "--no-buffer", "--max-time", "60", "--cookie", "user=alice"]
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
