"""How the relay carries bytes and ends tunnels: in every order, without a trace in the worker."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import ask
from tests.support.endings import close, half_close, reset, send_until_stopped
from tests.support.procfs import (
    cpu_seconds,
    descriptors,
    established,
    keepalive_is_on,
    queued,
    resident_mib,
    settled_descriptors,
    worker_of,
)
from tests.support.servers import ROOT, Server, gunicorn
from tests.support.service import Exchange, Service
from tests.support.urls import MOUNT, path_form
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
    Ends,
    TunnelFactory,
    assert_clean,
    clean,
    opening_tunnels,
)

Ending = Callable[[socket.socket], None]


@pytest.fixture(scope="module")
def host() -> Iterator[Server]:
    """A gunicorn gthread with 8 threads for these tests alone, since they count what it holds."""
    yield from clean("tests.support.tunnelapp:forking")


@pytest.fixture(scope="module")
def worker(host: Server) -> int:
    """Its worker's process id, once the relay runs."""
    upstream = Service(echoing)
    with Visitor(host.port) as visitor:
        visitor.open(path_form(upstream.port, "/x"))
        visitor.says_and_hears()
    upstream.close()
    return worker_of(host)


@pytest.fixture(scope="module")
def quiet_descriptors(worker: int) -> int:
    """What the worker holds when no tunnel is open."""
    return settled_descriptors(worker)


@pytest.fixture(autouse=True)
def _no_descriptor_is_left(worker: int, quiet_descriptors: int) -> Iterator[None]:
    yield
    until(
        lambda: descriptors(worker) == quiet_descriptors, "the worker holds what it held before", 15
    )


def assert_ended(*socks: socket.socket) -> None:
    """Both ends were told, by an end of the stream or by a reset."""
    for sock in socks:
        until(lambda sock=sock: peer_left(sock), "the peer has closed", 3)  # type: ignore[misc]


def drained(sock: socket.socket) -> bytes:
    """All bytes up to the end, or the reset, of the stream."""
    parts = []
    try:
        while data := sock.recv(1 << 20):
            parts.append(data)
    except ConnectionError:
        pass
    return b"".join(parts)


# --- Three waits of ten seconds, which begin here and are looked at in the end


@dataclass
class Waits:
    """Tunnels of a host of their own.

    lingering: for two of which one side ended, the seconds until the connection of that side was
    closed. slow: its service sent `sent` bytes and closed, its visitor reads nothing.
    """

    host: Server
    lingering: list[Future[float]]
    slow: Ends
    sent: int
    silent: Ends


@pytest.fixture(scope="module", autouse=True)
def waits() -> Iterator[Waits]:
    application = "tests.support.hostapp:application"
    with (
        gunicorn(application) as host,
        opening_tunnels() as tunnel,
        ThreadPoolExecutor(2) as pool,
    ):
        visitor_ended, service_ended, silent = (tunnel(host) for _ in range(3))
        slow = tunnel(host, receive_buffer=65536)
        sent = send_until_the_relay_keeps_some(slow, host)
        close(slow.service.sock)
        lingering = []
        for side in (visitor_ended.visitor.sock, service_ended.service.sock):
            side.settimeout(30)
            half_close(side)
            lingering.append(pool.submit(seconds_until_closed, side))
        assert_ended(visitor_ended.service.sock, service_ended.visitor.sock)
        yield Waits(host, lingering, slow, sent, silent)
        assert_clean(host)


def seconds_until_closed(sock: socket.socket) -> float:
    started = time.monotonic()
    assert drained(sock) == b""
    return time.monotonic() - started


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


# --- bytes


def test_bytes_pass_unchanged_both_ways_at_once(host: Server, tunnel: TunnelFactory) -> None:
    ends = tunnel(host)
    sides = [ends.visitor.sock, ends.service.sock]
    messages = [random.Random(seed).randbytes(3_000_000) for seed in (1, 2)]
    sizes = [random.Random(seed) for seed in (3, 4)]
    heard: list[bytes] = [b"", b""]

    def send(side: int) -> None:
        position = 0
        while position < len(messages[side]):
            end = position + sizes[side].choice([1, 2, 14, 125, 1000, 65536, 200_000])
            sides[side].sendall(messages[side][position:end])
            position = end
        half_close(sides[side])

    def receive(side: int) -> None:
        heard[side] = drained(sides[side])

    threads = [threading.Thread(target=do, args=(n,)) for do in (send, receive) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [hashlib.sha256(data).hexdigest() for data in heard] == [
        hashlib.sha256(data).hexdigest() for data in reversed(messages)
    ]


def test_many_tunnels_do_not_mix(host: Server, service: ServiceFactory) -> None:
    upstream = service(echoing)
    visitors = [Visitor(host.port) for _ in range(50)]
    for visitor in visitors:
        visitor.open(path_form(upstream.port, "/x"))
    for turn in range(5):
        for number, visitor in enumerate(visitors):
            visitor.send_frame(TEXT, f"{number} {turn}".encode())
        for number, visitor in enumerate(visitors):
            answer = visitor.frame()
            assert answer is not None
            assert answer.payload == f"{number} {turn}".encode()
    for visitor in visitors:
        visitor.close()


# --- endings


def test_the_visitor_ends_and_the_service_goes_on(host: Server, tunnel: TunnelFactory) -> None:
    ends = tunnel(host)
    ends.visitor.send(b"question")
    half_close(ends.visitor.sock)
    assert drained(ends.service.sock) == b"question"
    for _ in range(3):
        ends.service.send(b"answer ")
        assert ends.visitor.read(7) == b"answer "
    ends.service.sock.close()
    assert drained(ends.visitor.sock) == b""


def test_the_service_ends_and_the_visitor_goes_on(host: Server, tunnel: TunnelFactory) -> None:
    ends = tunnel(host)
    ends.service.send(b"question")
    half_close(ends.service.sock)
    assert drained(ends.visitor.sock) == b"question"
    for _ in range(3):
        ends.visitor.send(b"answer ")
        assert ends.service.read(7) == b"answer "
    ends.visitor.close()
    assert drained(ends.service.sock) == b""


@pytest.mark.parametrize("ending", [close, reset])
def test_the_visitor_vanishes(host: Server, tunnel: TunnelFactory, ending: Ending) -> None:
    ends = tunnel(host)
    ending(ends.visitor.sock)
    assert_ended(ends.service.sock)


@pytest.mark.parametrize("ending", [close, reset])
def test_the_service_vanishes(host: Server, tunnel: TunnelFactory, ending: Ending) -> None:
    ends = tunnel(host)
    ending(ends.service.sock)
    assert_ended(ends.visitor.sock)


@pytest.mark.parametrize("second", [close, reset, half_close])
def test_one_side_after_the_other(host: Server, tunnel: TunnelFactory, second: Ending) -> None:
    one, other = tunnel(host), tunnel(host)
    half_close(one.visitor.sock)
    assert_ended(one.service.sock)
    second(one.service.sock)
    assert_ended(one.visitor.sock)
    half_close(other.service.sock)
    assert_ended(other.visitor.sock)
    second(other.visitor.sock)
    assert_ended(other.service.sock)


def ends_before_it_is_read(sender: socket.socket, reader: socket.socket, ending: Ending) -> None:
    """All that the relay has taken when a side ends reaches the other, however late that reads."""
    sent = send_until_stopped(sender)
    ending(sender)
    assert len(drained(reader)) == sent


@pytest.mark.parametrize("ending", [close, half_close])
def test_what_the_visitor_sent_before_it_ended_arrives(
    host: Server, tunnel: TunnelFactory, ending: Ending
) -> None:
    ends = tunnel(host)
    ends_before_it_is_read(ends.visitor.sock, ends.service.sock, ending)
    ends.service.sock.close()


@pytest.mark.parametrize("ending", [close, half_close])
def test_what_the_service_sent_before_it_ended_arrives(
    host: Server, tunnel: TunnelFactory, ending: Ending
) -> None:
    ends = tunnel(host, receive_buffer=65536)
    ends_before_it_is_read(ends.service.sock, ends.visitor.sock, ending)
    ends.visitor.close()


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


def test_the_process_of_the_service_is_killed(host: Server) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.echo_service"], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout, Visitor(host.port) as visitor:
        visitor.open(path_form(int(process.stdout.readline()), "/x"))
        visitor.says_and_hears()
        process.send_signal(signal.SIGKILL)
        assert visitor.frame() is None
    process.wait(10)


def test_the_visitors_connection_is_kept_alive_by_tcp(host: Server, tunnel: TunnelFactory) -> None:
    ends = tunnel(host)
    here, there = ends.visitor.sock.getsockname()[1], host.port
    until(lambda: keepalive_is_on(there, here), "the worker's side has the keep-alive timer")


# --- slow readers


def slow_visitor(ends: Ends) -> tuple[socket.socket, socket.socket]:
    return ends.service.sock, ends.visitor.sock


def slow_service(ends: Ends) -> tuple[socket.socket, socket.socket]:
    return ends.visitor.sock, ends.service.sock


@pytest.mark.parametrize("sides", [slow_visitor, slow_service])
def test_a_slow_reader_stops_the_sender_and_costs_no_memory(
    host: Server,
    tunnel: TunnelFactory,
    worker: int,
    sides: Callable[[Ends], tuple[socket.socket, socket.socket]],
) -> None:
    pairs = [sides(tunnel(host)) for _ in range(8)]
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


# --- no busy loop, whatever state a tunnel is in


def idle(ends: Ends) -> None:
    pass


def visitor_half_closed(ends: Ends) -> None:
    half_close(ends.visitor.sock)
    assert_ended(ends.service.sock)


def service_half_closed(ends: Ends) -> None:
    half_close(ends.service.sock)
    assert_ended(ends.visitor.sock)


def visitor_reads_nothing(ends: Ends) -> None:
    send_until_stopped(ends.service.sock)


def service_reads_nothing(ends: Ends) -> None:
    send_until_stopped(ends.visitor.sock)


def nobody_reads(ends: Ends) -> None:
    send_until_stopped(ends.visitor.sock)
    send_until_stopped(ends.service.sock)


def visitor_reads_nothing_and_half_closed(ends: Ends) -> None:
    send_until_stopped(ends.service.sock)
    half_close(ends.visitor.sock)
    assert_ended(ends.service.sock)


def visitor_reads_nothing_and_service_half_closed(ends: Ends) -> None:
    send_until_stopped(ends.service.sock)
    half_close(ends.service.sock)


def visitor_reads_nothing_and_service_reset(ends: Ends) -> None:
    send_until_stopped(ends.service.sock)
    reset(ends.service.sock)


def visitor_reads_nothing_and_resets(ends: Ends) -> None:
    send_until_stopped(ends.service.sock)
    reset(ends.visitor.sock)
    assert_ended(ends.service.sock)


def service_reads_nothing_and_half_closed(ends: Ends) -> None:
    send_until_stopped(ends.visitor.sock)
    half_close(ends.service.sock)
    assert_ended(ends.visitor.sock)


def service_reads_nothing_and_visitor_half_closed(ends: Ends) -> None:
    send_until_stopped(ends.visitor.sock)
    half_close(ends.visitor.sock)


def service_reads_nothing_and_visitor_reset(ends: Ends) -> None:
    send_until_stopped(ends.visitor.sock)
    reset(ends.visitor.sock)


def service_reads_nothing_and_resets(ends: Ends) -> None:
    send_until_stopped(ends.visitor.sock)
    reset(ends.service.sock)
    assert_ended(ends.visitor.sock)


def nobody_reads_and_visitor_reset(ends: Ends) -> None:
    nobody_reads(ends)
    reset(ends.visitor.sock)


def nobody_reads_and_service_reset(ends: Ends) -> None:
    nobody_reads(ends)
    reset(ends.service.sock)


STATES = {
    "open": [
        idle,
        visitor_half_closed,
        service_half_closed,
        visitor_reads_nothing,
        service_reads_nothing,
        nobody_reads,
    ],
    "blocked-and-half-closed": [
        visitor_reads_nothing_and_half_closed,
        visitor_reads_nothing_and_service_half_closed,
        service_reads_nothing_and_half_closed,
        service_reads_nothing_and_visitor_half_closed,
    ],
    "blocked-and-reset": [
        visitor_reads_nothing_and_service_reset,
        visitor_reads_nothing_and_resets,
        service_reads_nothing_and_visitor_reset,
        service_reads_nothing_and_resets,
        nobody_reads_and_visitor_reset,
        nobody_reads_and_service_reset,
    ],
}


@pytest.mark.parametrize("states", STATES.values(), ids=STATES)
def test_the_worker_is_at_rest(
    host: Server, tunnel: TunnelFactory, worker: int, states: list[Callable[[Ends], None]]
) -> None:
    opened = [tunnel(host, receive_buffer=65536) for _ in states]
    with ThreadPoolExecutor(len(states)) as pool:
        list(pool.map(lambda state, ends: state(ends), states, opened))
    before = cpu_seconds(worker)
    time.sleep(0.7)  # what is measured: how much it does while nothing happens
    # A loop would take all of it, or what a busy machine leaves to one process.
    assert cpu_seconds(worker) - before < 0.1


# --- the idle limit


@pytest.fixture(scope="module")
def impatient() -> Iterator[Server]:
    """A host that cuts a tunnel after one and a half seconds of silence."""
    yield from clean("tests.support.tunnelapp:impatient")


def test_silence_is_cut_and_a_word_in_either_direction_is_none(
    impatient: Server, tunnel: TunnelFactory
) -> None:
    started = time.monotonic()
    silent, asking, telling = (tunnel(impatient) for _ in range(3))
    while not (peer_left(silent.visitor.sock) and peer_left(silent.service.sock)):
        assert time.monotonic() - started < 10
        asking.visitor.send(b"a")
        assert asking.service.read(1) == b"a"
        telling.service.send(b"t")
        assert telling.visitor.read(1) == b"t"
        time.sleep(0.05)
    assert time.monotonic() - started > 1.5
    for ends in (asking, telling):
        assert not peer_left(ends.visitor.sock)
        assert not peer_left(ends.service.sock)


# --- descriptors run out


def test_no_descriptor_for_the_hand_over_is_503_and_recovers(
    host: Server, service: ServiceFactory, worker: int, quiet_descriptors: int
) -> None:
    for left in (0, 1, 2):
        reply = hand_over_with(left, host, service, worker)
        assert reply.startswith(b"HTTP/1.1 503 "), (left, reply)
        assert b"\r\nRetry-After: 5\r\n" in reply
        until(lambda: descriptors(worker) == quiet_descriptors, "all is closed again")
    assert hand_over_with(3, host, service, worker).startswith(b"HTTP/1.1 101 ")


def test_no_descriptor_for_the_relay_itself_is_503_and_recovers(service: ServiceFactory) -> None:
    for fresh in clean("tests.support.tunnelapp:forking"):
        worker = worker_of(fresh)
        before = settled_descriptors(worker)
        replies = []
        for left in range(6):
            replies.append(hand_over_with(left, fresh, service, worker)[:13])
            if replies[-1] == b"HTTP/1.1 101 ":
                break
            # What was opened of the relay may stay open for the next tunnel.
            assert settled_descriptors(worker) <= before + 2
        assert replies[:2] == [b"HTTP/1.1 503 "] * 2
        assert replies[-1] == b"HTTP/1.1 101 "
        assert set(replies[:-1]) == {b"HTTP/1.1 503 "}
        assert settled_descriptors(worker) <= before + 2


def hand_over_with(left: int, host: Server, service: ServiceFactory, worker: int) -> bytes:
    """The head of the answer to a handshake when `left` descriptors are free at the 101."""
    may_answer = threading.Event()

    def script(exchange: Exchange) -> None:
        head = exchange.read_head()
        may_answer.wait(10)
        exchange.send(switching(head))
        exchange.read(1)

    upstream = service(script)
    usual = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    with Visitor(host.port) as visitor:
        visitor.send(handshake(path_form(upstream.port, "/x")))
        until(lambda: upstream.heads, "the service has the handshake")
        resource.prlimit(
            worker, resource.RLIMIT_NOFILE, (limit_that_leaves(left, worker), usual[1])
        )
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


def end_child(host: Server, child: int) -> None:
    os.kill(child, signal.SIGKILL)
    until(lambda: ask(host.port, "GET", "/reap").body == b"0", "the app has reaped its child")


@pytest.mark.parametrize("page", ["/fork", "/multiprocessing", "/c-fork"])
def test_closing_reaches_both_sides_though_a_child_of_the_app_lives(
    host: Server, tunnel: TunnelFactory, page: str
) -> None:
    ends = [tunnel(host) for _ in range(4)]
    reply = ask(host.port, "GET", page)
    child = int(reply.body)
    try:
        for each in ends:
            each.visitor.send(b"still")
            assert each.service.read(5) == b"still"
            each.service.send(b"there")
            assert each.visitor.read(5) == b"there"
        close(ends[0].visitor.sock)
        assert_ended(ends[0].service.sock)
        close(ends[1].service.sock)
        assert_ended(ends[1].visitor.sock)
        reset(ends[2].visitor.sock)
        assert_ended(ends[2].service.sock)
        late = tunnel(host)
        late.visitor.send(b"new")
        assert late.service.read(3) == b"new"
    finally:
        end_child(host, child)
    ends[3].visitor.send(b"after")
    assert ends[3].service.read(5) == b"after"


def test_a_child_of_the_app_holds_no_tunnel(host: Server, tunnel: TunnelFactory) -> None:
    opened = [tunnel(host) for _ in range(4)]
    child = int(ask(host.port, "GET", "/fork").body)
    try:
        held = {ends.visitor.sock.getsockname()[1] for ends in opened}
        held |= {ends.service.sock.getsockname()[1] for ends in opened}
        until(lambda: not {remote for _, remote in established(child)} & held, "the child lets go")
    finally:
        end_child(host, child)


# --- aborts at random points


def test_tunnels_aborted_anywhere_leave_nothing(
    host: Server, service: ServiceFactory, worker: int
) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    dice = random.Random(seed)

    def script(exchange: Exchange) -> None:
        head = exchange.read_head()
        answer = switching(head) + frame(TEXT, b"x" * 1000) if head else b""
        exchange.send(answer[: dice.choice([0, 10, 130, 200, len(answer)])])
        if dice.random() < 0.5:
            exchange.read(dice.choice([1, 1000]))
        dice.choice([close, reset])(exchange.sock)

    upstream = service(script)
    request = handshake(path_form(upstream.port, "/x")) + frame(TEXT, bytes(500), mask=Visitor.MASK)
    for _ in range(200):
        with Visitor(host.port) as visitor:
            visitor.send(request[: dice.choice([1, 100, len(request) - 300, len(request)])])
            if dice.random() < 0.5:
                visitor.sock.settimeout(dice.choice([0.001, 0.02]))
                with contextlib.suppress(OSError):
                    visitor.sock.recv(dice.choice([1, 10_000]))
            if dice.random() < 0.5:
                reset(visitor.sock)
    assert ask(host.port, "GET", f"{MOUNT}/").status == 200


# --- The waits of the beginning


def test_who_waits_for_whom_and_how_long(waits: Waits) -> None:
    """A visitor who vanished while the service was closing sends no answer, for ever. One who reads
    slowly gets everything, however long it takes. One who was silent for as long is still waited
    for when the host stops."""
    for lingered in waits.lingering:
        assert 8 < lingered.result(20) < 16  # by design 10, and up to a second more
    assert len(drained(waits.slow.visitor.sock)) == waits.sent

    os.kill(waits.host.pid, signal.SIGTERM)
    goodbye = waits.silent.visitor.frame()
    assert goodbye is not None
    assert goodbye.code == 1001
    time.sleep(1.2)  # within the two that a host waits, beyond the one between its looks
    waits.silent.visitor.send_close(1001)
    answer = read_frame(waits.silent.service.read)
    assert answer is not None
    assert answer.code == 1001
