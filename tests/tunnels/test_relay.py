"""How the relay carries bytes and ends tunnels: in every order, without a trace in the worker."""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest

from tests.conftest import ServiceFactory
from tests.support.chosen import settings
from tests.support.client import ask
from tests.support.endings import close, half_close, reset, send_until_stopped
from tests.support.procfs import (
    cpu_seconds,
    descriptors,
    established,
    keepalive_is_on,
    nothing_left,
    queued,
    resident_mib,
    settled_descriptors,
    worker_of,
)
from tests.support.servers import Server
from tests.support.service import Exchange
from tests.support.tunnelapp import IDLE
from tests.support.urls import path_form
from tests.support.waiting import peer_left, until
from tests.support.websocket import (
    TEXT,
    Visitor,
    echoing,
    frame,
    handshake,
    read_frame,
    switching,
)
from tests.tunnels.conftest import (
    FROM_EITHER_SIDE,
    HURRIED,
    LINGER,
    Ends,
    TunnelFactory,
    clean,
    opening_tunnels,
)

Ending = Callable[[socket.socket], None]
SIDES = "visitor", "service"


@pytest.fixture(scope="module")
def host() -> Iterator[Server]:
    """A gunicorn gthread with 8 threads for these tests alone, since they count what it holds."""
    with clean("tests.support.tunnelapp:application") as server:
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


def assert_ended(sock: socket.socket) -> None:
    """It was told, by an end of the stream or by a reset, before the ten seconds were over that
    one side waits for the other."""
    until(lambda: peer_left(sock), "the peer has closed", 8)


def read(sock: socket.socket, size: int) -> bytes:
    return sock.recv(size, socket.MSG_WAITALL)


def drained(sock: socket.socket) -> bytes:
    """All bytes up to the end, or the reset, of the stream."""
    parts = []
    try:
        while data := sock.recv(1 << 20):
            parts.append(data)
    except ConnectionError:
        pass
    return b"".join(parts)


# --- bytes


def test_bytes_pass_unchanged_both_ways_at_once(host: Server, tunnel: TunnelFactory) -> None:
    sides = tunnel(host).sockets("visitor")
    messages = [random.Random(seed).randbytes(2_000_000) for seed in (1, 2)]

    def send(side: int) -> None:
        sizes, position = random.Random(side), 0
        while position < len(messages[side]):
            end = position + sizes.choice([1, 2, 14, 125, 1000, 65536, 200_000])
            sides[side].sendall(messages[side][position:end])
            position = end
        half_close(sides[side])

    with ThreadPoolExecutor(4) as pool:
        sent, heard = pool.map(send, (0, 1)), list(pool.map(drained, sides))
        assert list(sent) == [None, None]
    assert heard == messages[::-1]


def test_many_tunnels_do_not_mix(host: Server, service: ServiceFactory) -> None:
    upstream = service(echoing)
    visitors = [Visitor(host.port) for _ in range(30)]
    for visitor in visitors:
        visitor.open(path_form(upstream.port, "/x"))
    for turn in range(3):
        for number, visitor in enumerate(visitors):
            visitor.send_frame(TEXT, f"{number} {turn}".encode())
        for number, visitor in enumerate(visitors):
            answer = visitor.frame()
            assert answer is not None
            assert answer.payload == f"{number} {turn}".encode()
    for visitor in visitors:
        visitor.close()


# --- endings


@pytest.mark.case("half-close, reset, slow reader, silence, either side vanishes")
@FROM_EITHER_SIDE
def test_one_side_ends_and_the_other_goes_on(
    host: Server, tunnel: TunnelFactory, first: str
) -> None:
    one, other = tunnel(host).sockets(first)
    one.sendall(b"question")
    half_close(one)
    assert drained(other) == b"question"
    for _ in range(3):
        other.sendall(b"answer ")
        assert read(one, 7) == b"answer "
    close(other)
    assert drained(one) == b""


@pytest.mark.case("half-close, reset, slow reader, silence, either side vanishes")
@FROM_EITHER_SIDE
@pytest.mark.parametrize("ending", [close, reset])
def test_one_side_vanishes(host: Server, tunnel: TunnelFactory, first: str, ending: Ending) -> None:
    one, other = tunnel(host).sockets(first)
    ending(one)
    assert_ended(other)


@FROM_EITHER_SIDE
@pytest.mark.parametrize("second", [close, reset, half_close])
def test_one_side_after_the_other(
    host: Server, tunnel: TunnelFactory, first: str, second: Ending
) -> None:
    one, other = tunnel(host).sockets(first)
    half_close(one)
    assert_ended(other)
    second(other)
    assert_ended(one)


@FROM_EITHER_SIDE
@pytest.mark.parametrize("ending", [close, half_close])
def test_what_was_sent_before_the_end_arrives(
    host: Server, tunnel: TunnelFactory, first: str, ending: Ending
) -> None:
    """All that the relay has taken when a side ends reaches the other, however late that reads."""
    sender, reader = tunnel(host, receive_buffer=65536).sockets(first)
    sent = send_until_stopped(sender)
    ending(sender)
    assert len(drained(reader)) == sent
    close(reader)


def test_a_close_frame_arrives_though_the_service_resets_behind_it(
    host: Server, tunnel: TunnelFactory
) -> None:
    """A service that closes with the visitor's bytes unread resets the connection (RFC 2525)."""
    ends = tunnel(host)
    ends.visitor.send(b"never read")
    until(lambda: ends.service.sock.recv(1, socket.MSG_PEEK), "the service has something unread")
    ends.service.send(frame(TEXT, b"goodbye"))
    ends.service.sock.close()
    assert drained(ends.visitor.sock) == frame(TEXT, b"goodbye")


def test_a_close_frame_arrives_though_the_visitors_last_words_cannot_be_delivered(
    host: Server, tunnel: TunnelFactory, worker: int
) -> None:
    ends = tunnel(host)
    os.kill(worker, signal.SIGSTOP)  # so that the relay finds all this at once, in this order
    try:
        ends.visitor.send(b"last words")
        ends.service.send(frame(TEXT, b"goodbye"))
        reset(ends.service.sock)
    finally:
        os.kill(worker, signal.SIGCONT)
    assert drained(ends.visitor.sock) == frame(TEXT, b"goodbye")


def test_the_visitors_connection_is_kept_alive_by_tcp(host: Server, tunnel: TunnelFactory) -> None:
    ends = tunnel(host)
    here, there = ends.visitor.sock.getsockname()[1], host.port
    until(lambda: keepalive_is_on(there, here), "the worker's side has the keep-alive timer")


# --- slow readers, and no busy loop, whatever state a tunnel is in


@pytest.mark.case("half-close, reset, slow reader, silence, either side vanishes")
@pytest.mark.promise("Memory is bounded")
@FROM_EITHER_SIDE
def test_a_slow_reader_stops_the_sender_and_costs_no_memory(
    host: Server, tunnel: TunnelFactory, worker: int, first: str
) -> None:
    pairs = [tunnel(host).sockets(first) for _ in range(8)]
    before = resident_mib(worker)
    with ThreadPoolExecutor(len(pairs)) as pool:
        sent = list(pool.map(send_until_stopped, [sender for sender, _ in pairs]))
        # 256 KiB each; the rest is the kernel's.
        assert resident_mib(worker) - before < 8 * 0.25 + 2
        for sender, _ in pairs:
            close(sender)
        received = pool.map(drained, [reader for _, reader in pairs])
        assert [len(data) for data in received] == sent
    for _, reader in pairs:
        close(reader)


def test_the_worker_is_at_rest(host: Server, tunnel: TunnelFactory, worker: int) -> None:
    """In all states: either side reads or does not, and then one of them ends in some way."""
    reading = [SIDES, SIDES[:1], SIDES[1:], ()]
    endings: list[tuple[Ending | None, tuple[str, str]]] = [(None, SIDES)]
    endings += product((half_close, reset), (SIDES, SIDES[::-1]))

    def bring_about(readers: tuple[str, ...], how: tuple[Ending | None, tuple[str, str]]) -> None:
        ends = tunnel(host, receive_buffer=65536)
        for silent in {*SIDES} - {*readers}:
            _, sender = ends.sockets(silent)
            send_until_stopped(sender)
        ending, (first, second) = how
        one, other = ends.sockets(first)
        if ending is not None:
            ending(one)
            if second in readers:
                assert_ended(other)

    states = list(product(reading, endings))
    with ThreadPoolExecutor(len(states)) as pool:
        list(pool.map(bring_about, *zip(*states, strict=True)))
    before = cpu_seconds(worker)
    time.sleep(0.7)  # what is measured: how much it does while nothing happens
    # A loop would take all of it, or what a busy machine leaves to one process.
    assert cpu_seconds(worker) - before < 0.1


# --- how long a tunnel is waited for


@pytest.mark.case("half-close, reset, slow reader, silence, either side vanishes")
def test_silence_is_cut_and_a_word_in_either_direction_is_none(
    host: Server, tunnel: TunnelFactory
) -> None:
    started = time.monotonic()
    silent, asking, telling = (tunnel(host, "idle") for _ in range(3))
    while not (peer_left(silent.visitor.sock) and peer_left(silent.service.sock)):
        asking.visitor.send(b"a")
        assert asking.service.read(1) == b"a"
        telling.service.send(b"t")
        assert telling.visitor.read(1) == b"t"
        time.sleep(0.05)
    assert time.monotonic() - started > IDLE
    for ends in (asking, telling):
        assert not peer_left(ends.visitor.sock)
        assert not peer_left(ends.service.sock)


def test_who_waits_for_whom_and_how_long() -> None:
    """A visitor who vanished while the service was closing sends no answer, for ever. One who reads
    slowly gets everything, however long it takes. One who was silent for as long is still waited
    for when the host stops."""
    with (
        clean("tests.support.streamapp:application", env={**HURRIED, "DRAIN": "20"}) as host,
        opening_tunnels() as tunnel,
    ):
        slow = tunnel(host, receive_buffer=65536)
        sent = send_until_the_relay_keeps_some(slow, host)
        close(slow.service.sock)
        silent = tunnel(host)
        started = time.monotonic()
        lingering = []
        for first in SIDES:
            one, other = tunnel(host).sockets(first)
            half_close(one)
            assert_ended(other)
            lingering.append(one)
        with ThreadPoolExecutor(len(lingering)) as pool:
            for waited in pool.map(lambda sock: drained(sock) or time.monotonic(), lingering):
                assert isinstance(waited, float)
                assert waited - started > LINGER
        time.sleep(LINGER / 4)  # until the others would be missed for sure
        assert len(drained(slow.visitor.sock)) == sent

        os.kill(host.pid, signal.SIGTERM)
        goodbye = silent.visitor.frame()
        assert goodbye is not None
        assert goodbye.code == 1001
        time.sleep(LINGER / 4)  # beyond what is between the looks of the relay
        silent.visitor.send_close(1001)
        answer = read_frame(silent.service.read)
        assert answer is not None
        assert answer.code == 1001


def send_until_the_relay_keeps_some(ends: Ends, host: Server) -> int:
    """Send to a visitor who reads nothing until the kernel takes no more for them, and the relay
    has read all of it; how many bytes."""
    visitor = ends.visitor.sock.getsockname()[1]
    service_to_relay = ends.service.sock.getpeername()[1], ends.service.sock.getsockname()[1]
    sent = kept = 0

    def relay_keeps() -> list[int]:
        """How many bytes it has, once none is on the way to it; the rest is in the kernel."""
        (_, coming), (going, _), (_, gone) = queued(
            service_to_relay, (host.port, visitor), (visitor, host.port)
        )
        return [] if coming else [sent - going - gone]

    while kept <= 65536:
        assert sent < 1 << 25
        ends.service.send(b"\xff" * 131072)
        sent += 131072
        (kept,) = until(relay_keeps, "the relay has read all")
    assert kept < 262144  # or it would stop reading
    return sent


# --- descriptors run out


def test_without_a_free_descriptor_503_and_recovery(service: ServiceFactory) -> None:
    with clean("tests.support.tunnelapp:application") as fresh:
        worker = worker_of(fresh)
        before = settled_descriptors(worker)
        # The relay takes two, which then stay open, and a hand-over three.
        for left in (0, 1, 2, 0, 1, 2):
            reply = hand_over_with(left, fresh, service, worker)
            assert reply.startswith(b"HTTP/1.1 503 "), (left, reply)
            assert b"\r\nRetry-After: 5\r\n" in reply
            until(lambda: descriptors(worker) <= before + 2, "all is closed again")
        assert hand_over_with(3, fresh, service, worker).startswith(b"HTTP/1.1 101 ")
        until(lambda: descriptors(worker) == before + 2, "all is closed again")


def hand_over_with(left: int, host: Server, service: ServiceFactory, worker: int) -> bytes:
    """The head of the answer to a handshake when `left` descriptors are free at the 101."""
    may_answer = threading.Event()

    def script(exchange: Exchange) -> None:
        head = exchange.read_head()
        may_answer.wait(30)
        exchange.send(switching(head))
        exchange.read(1)

    upstream = service(script)
    usual = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    with Visitor(host.port) as visitor:
        visitor.send(handshake(path_form(upstream.port, "/x"), settings("at-the-101")))
        until(lambda: upstream.heads, "the service has the handshake")
        limit = limit_that_leaves(left, worker)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (limit, usual[1]))
        try:
            may_answer.set()
            return visitor.read_head() + b"\r\n"
        finally:
            resource.prlimit(worker, resource.RLIMIT_NOFILE, usual)


def limit_that_leaves(left: int, pid: int) -> int:
    """The limit below which `left` descriptor numbers are free. Not below what is open: poll()
    fails with more entries than the limit (poll(2))."""
    numbers = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    limit = free = 0
    while free < left or limit in numbers:
        free += limit not in numbers
        limit += 1
    return limit


# --- the wrapped app forks


@pytest.mark.parametrize("page", ["/fork", "/c-fork"])
def test_closing_reaches_both_sides_though_a_child_of_the_app_lives(
    host: Server, tunnel: TunnelFactory, page: str
) -> None:
    pairs = [tunnel(host).sockets(first) for first in ("visitor", "service", "visitor", "visitor")]
    child = int(ask(host.port, "GET", page).body)
    try:
        if page == "/fork":
            held = {sock.getsockname()[1] for pair in pairs for sock in pair}
            until(lambda: not {peer for _, peer in established(child)} & held, "it lets go of all")
        for one, other in pairs:
            one.sendall(b"still")
            assert read(other, 5) == b"still"
            other.sendall(b"there")
            assert read(one, 5) == b"there"
        for (one, other), ending in zip(pairs[:3], (close, close, reset), strict=True):
            ending(one)
            assert_ended(other)
        one, other = tunnel(host).sockets("visitor")
        one.sendall(b"new")
        assert read(other, 3) == b"new"
    finally:
        os.kill(child, signal.SIGKILL)
        until(lambda: ask(host.port, "GET", "/reap").body == b"0", "the app has reaped its child")
    one, other = pairs[3]
    one.sendall(b"after")
    assert read(other, 5) == b"after"
