"""Services that hang, drip, flood and break off: bounded in time and memory, and no harm beyond."""

from __future__ import annotations

import contextlib
import gzip
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.ports import bound_socket
from tests.support.procfs import descriptors, resident_mib, worker_of
from tests.support.received import OK
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, Script, Service, answers
from tests.support.waiting import PATIENCE, peer_left, until

from .conftest import noted_host

# Seconds: the hosts' limit for a head, and the time after which a busy machine is no excuse.
HEAD_TIMEOUT = 2.0
PATIENT = HEAD_TIMEOUT + 4.0
OK_LINE = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK_LINE + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def strained() -> Iterator[Server]:
    """A host of its own, whose memory, threads and descriptors are counted."""
    with gunicorn(threads=8) as server:
        yield server
        output = server.output()
        assert "ResourceWarning" not in output
        assert "Traceback" not in output, output[output.find("Traceback") - 500 :][:4000]


def target(upstream: Service) -> str:
    return f"/alice/vision/x?port={upstream.port}"


def threads(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("Threads:")[1].split()[0])


def all_at_once(count: int, visit: Callable[[], None]) -> None:
    """`visit` in as many threads; raises what the first of them raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            visit()
        except BaseException as error:
            errors.append(error)

    running = [threading.Thread(target=run) for _ in range(count)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if errors:
        raise errors[0]


# --- Silence and drips ---------------------------------------------------------------------------


def never(exchange: Exchange) -> None:
    """Reads, and says nothing."""
    while exchange.sock.recv(65536):
        pass


def deaf(exchange: Exchange) -> None:
    """Does not even read."""
    until(lambda: peer_left(exchange.sock), "the proxy gives up")


def drips(data: bytes) -> Script:
    """Sends `data` byte by byte, slowly, for as long as it is listened to."""

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        for position in range(len(data)):
            exchange.send(data[position : position + 1])
            if exchange.peer_closed(0.1):
                return

    return script


@pytest.mark.parametrize(
    ("script", "method"),
    [
        pytest.param(never, "GET", id="silence"),
        pytest.param(never, "POST", id="silence-to-an-upload"),
        pytest.param(deaf, "POST", id="deaf"),
        pytest.param(
            drips(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100), "GET", id="drips-of-fields"
        ),
        pytest.param(drips(OK_LINE + b"A: " + b"x" * 600), "GET", id="drips-of-a-field"),
        pytest.param(drips(b"HTTP/1.1 100 Continue\r\n\r\n" * 9), "GET", id="drips-of-interims"),
    ],
)
def test_no_head_in_time_is_504_and_the_thread_is_back(
    strained: Server, service: ServiceFactory, script: Script, method: str
) -> None:
    upstream = service(script)
    begin = time.monotonic()

    def visit() -> None:
        body = b"x" * 1000 if method == "POST" else b""
        assert ask(strained.port, method, target(upstream), body=body).status == 504

    all_at_once(8, visit)  # as many as the host has threads
    assert HEAD_TIMEOUT * 0.9 < time.monotonic() - begin < PATIENT
    assert ask(strained.port, "GET", target(service(answers(OK)))).status == 200


def test_a_service_that_hangs_does_not_keep_the_app_from_its_own_pages(
    strained: Server, service: ServiceFactory
) -> None:
    hanging, quick = service(never), service(answers(OK))
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(Client(strained.port))
            client.send(request_bytes("GET", target(hanging)))
        until(lambda: hanging.connections == 4, "four requests hang")
        begin = time.monotonic()
        for _ in range(10):
            assert ask(strained.port, "GET", "/login").status == 200
            assert ask(strained.port, "GET", target(quick)).status == 200
        assert time.monotonic() - begin < HEAD_TIMEOUT


@pytest.fixture
def full_queue() -> Iterator[int]:
    """A port whose listener accepts nobody, and whose queue is full."""
    with bound_socket() as listener, contextlib.ExitStack() as stack:
        listener.listen(0)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_full_listen_queue_is_504_at_the_connect_timeout(
    strained: Server, full_queue: int
) -> None:
    begin = time.monotonic()
    reply = ask(strained.port, "GET", f"/alice/vision/?port={full_queue}")
    assert reply.status == 504
    assert 0.8 < time.monotonic() - begin < 5.0  # the limit is 1 s


# --- Floods --------------------------------------------------------------------------------------


class Flood:
    """Sends `first`, then `again` without end, until nobody listens: then it is `over`."""

    def __init__(self, first: bytes, again: bytes) -> None:
        self._first = first
        self._again = again * (65536 // len(again) + 1)
        self.sent = 0
        self.over = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        exchange.read_head()
        try:
            exchange.send(self._first)
            while True:
                exchange.send(self._again)
                self.sent += len(self._again)
        except OSError:
            self.over.set()


HEAD_FLOODS = {
    "one-field": (b"HTTP/1.1 200 OK\r\nA: ", b"x"),
    "fields": (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    "reason": (b"HTTP/1.1 200 ", b"x"),
    "interim-answers": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "early-hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "no-http": (b"", b"x"),
    "nuls": (b"", b"\0"),
    "line-ends": (b"HTTP/1.1 200 OK", b"\n"),
}


@pytest.mark.parametrize(("first", "again"), HEAD_FLOODS.values(), ids=HEAD_FLOODS)
def test_an_endless_head_is_502(
    strained: Server, service: ServiceFactory, first: bytes, again: bytes
) -> None:
    flood = Flood(first, again)
    pid = worker_of(strained)
    before = resident_mib(pid)
    begin = time.monotonic()
    assert ask(strained.port, "GET", target(service(flood))).status == 502
    assert time.monotonic() - begin < HEAD_TIMEOUT
    assert flood.over.wait(PATIENCE)
    assert resident_mib(pid) - before < 8


BODY_FLOODS = {
    "until-it-closes": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000),
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", b"x" * 1000),
    "one-chunk": (CHUNKED + b"ffffffffff\r\n", b"x" * 1000),
    "chunks": (CHUNKED, b"20\r\n0123456789abcdef0123456789abcdef\r\n"),
}


@pytest.mark.parametrize(("first", "again"), BODY_FLOODS.values(), ids=BODY_FLOODS)
def test_an_endless_body_waits_for_a_visitor_that_reads_slowly(
    strained: Server, service: ServiceFactory, first: bytes, again: bytes
) -> None:
    flood = Flood(first, again)
    upstream = service(flood)
    pid = worker_of(strained)
    with Client(strained.port) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(request_bytes("GET", target(upstream)))
        client.read_head()
        before = resident_mib(pid)
        stands_still(flood)
        for _ in range(50):
            client.sock.recv(65536)
        stands_still(flood)
        # What the kernel and a few buffers hold: without back-pressure it would be gigabytes.
        assert flood.sent < 64 * 2**20
        assert resident_mib(pid) - before < 24
    assert flood.over.wait(PATIENCE)
    assert ask(strained.port, "GET", "/login").status == 200


def stands_still(flood: Flood) -> None:
    """Wait until nothing has been sent for a while: everybody in between is full."""
    last, since = flood.sent, time.monotonic()
    deadline = since + PATIENCE
    while time.monotonic() - since < 0.3:
        assert time.monotonic() < deadline, "it goes on and on"
        time.sleep(0.01)
        if flood.sent != last:
            last, since = flood.sent, time.monotonic()


CHUNK_FLOODS = {
    "size": (CHUNKED, b"1"),
    "extension": (CHUNKED + b"1;", b"x"),
    "trailers": (CHUNKED + b"0\r\n", b"A: b\r\n"),
    "trailer": (CHUNKED + b"0\r\nA: ", b"x"),
}


@pytest.mark.parametrize(("first", "again"), CHUNK_FLOODS.values(), ids=CHUNK_FLOODS)
def test_endless_framing_is_a_broken_answer(
    strained: Server, service: ServiceFactory, first: bytes, again: bytes
) -> None:
    flood = Flood(first, again)
    upstream = service(flood)
    begin = time.monotonic()
    with Client(strained.port) as client:
        client.send(request_bytes("GET", target(upstream)))
        with contextlib.suppress(ConnectionError):  # it may break before its head is out
            reply = client.reply()
            assert reply.status == 502 or not reply.complete
    assert time.monotonic() - begin < HEAD_TIMEOUT
    assert flood.over.wait(PATIENCE)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """64 MiB in a thousandth of that."""
    compressed = gzip.compress(b"\0" * 2**26)
    assert len(compressed) < 2**19
    return compressed


@pytest.mark.parametrize("accept", [True, False], ids=["accepted", "not-accepted"])
def test_a_gzip_bomb_passes_as_it_is(
    strained: Server, service: ServiceFactory, bomb: bytes, accept: bool
) -> None:
    fields = f"Content-Encoding: gzip\r\nContent-Type: text/html\r\nContent-Length: {len(bomb)}"
    upstream = service(answers(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode() + bomb))
    pid = worker_of(strained)
    before = resident_mib(pid)
    headers = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")]
    headers += [("Accept-Encoding", "gzip")] if accept else []
    path = f"/alice/vision/proxy/{upstream.port}/"
    reply = ask(strained.port, "GET", path, headers=headers)
    assert (reply.status, reply.value("Content-Encoding")) == (200, "gzip")
    assert reply.body == bomb
    assert resident_mib(pid) - before < 24


@pytest.mark.parametrize(
    "field",
    [b"A:" + b" " * 60000 + b"\x01", b"Refresh: 0" + b" " * 60000 + b"x", b"Link: " + b"<" * 60000],
    ids=["malformed", "refresh", "link"],
)
def test_no_field_takes_the_processor_for_long(
    strained: Server, service: ServiceFactory, field: bytes
) -> None:
    upstream = service(answers(b"HTTP/1.1 200 OK\r\n" + field + b"\r\nContent-Length: 0\r\n\r\n"))
    begin = time.monotonic()
    assert ask(strained.port, "GET", target(upstream)).status in (200, 502)
    assert time.monotonic() - begin < 1.5


# --- Breaking off --------------------------------------------------------------------------------


def reset(exchange: Exchange) -> None:
    """Close with an RST instead of a FIN."""
    exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def resets_after(data: bytes, *, reads: bool = True) -> Script:
    def script(exchange: Exchange) -> None:
        if reads:
            exchange.read_head()
        exchange.send(data)
        if data:
            # So that the proxy has read it: a reset discards what is still on its way.
            time.sleep(0.05)
        reset(exchange)

    return script


@pytest.mark.parametrize(
    ("script", "status"),
    [
        pytest.param(resets_after(b"", reads=False), 502, id="at-once"),
        pytest.param(resets_after(b""), 502, id="after-the-request"),
        pytest.param(resets_after(b"H"), 502, id="after-a-byte"),
        pytest.param(resets_after(b"HTTP/1.1 200 OK\r\nA: b\r\n"), 502, id="in-the-head"),
        pytest.param(resets_after(b"HTTP/1.1 103 Hints\r\n\r\n"), 502, id="after-hints"),
        pytest.param(resets_after(OK[:-1]), 200, id="in-the-body"),
        pytest.param(resets_after(CHUNKED + b"5\r\nhel"), 200, id="in-a-chunk"),
        pytest.param(resets_after(CHUNKED + b"5\r\nhello\r\n"), 200, id="between-chunks"),
        pytest.param(resets_after(b"HTTP/1.1 200 OK\r\n\r\nhello"), 200, id="of-unknown-length"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_reset_at_any_step_is_seen_and_overcome(
    strained: Server, service: ServiceFactory, script: Script, status: int, method: str
) -> None:
    upstream = service(script)
    with Client(strained.port) as client:
        body = b"x" * 100 if method == "POST" else b""
        client.send(request_bytes(method, target(upstream), body=body))
        reply = client.reply()
    assert reply.status == status
    assert reply.complete is (status != 200)
    for _ in range(3):
        assert ask(strained.port, "GET", target(service(answers(OK)))).status == 200


def test_a_reset_in_mid_upload_is_seen_and_overcome(
    strained: Server, service: ServiceFactory
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.read(1000)
        reset(exchange)

    body = b"x" * (8 * 2**20)
    with Client(strained.port) as client, contextlib.suppress(ConnectionError):
        client.send(request_bytes("POST", target(service(script)), body=body))
        assert client.reply().status == 502
    assert ask(strained.port, "POST", target(service(answers(OK))), body=b"x").status == 200


def test_without_a_free_descriptor_it_is_503_until_there_is_one(
    service: ServiceFactory, tmp_path: Path
) -> None:
    upstream, other = service(answers(OK)), service(answers(OK))

    def visit(client: Client, path: str) -> Reply:
        client.send(request_bytes("GET", path))
        return client.reply()

    with noted_host("starved", tmp_path) as host, Client(host.port) as client:
        assert visit(client, target(upstream)).status == 200
        assert visit(client, "/starve").status == 404
        assert visit(client, target(upstream)).status == 200  # on the connection that is kept
        for _ in range(3):
            reply = visit(client, target(other))
            assert reply.status == 503
            assert "Errno" not in reply.text
        assert other.connections == 0
        assert visit(client, "/feed").status == 404
        for _ in range(3):
            assert visit(client, target(other)).status == 200
        assert "Traceback" not in host.server.output()


# --- And again, a thousand times -----------------------------------------------------------------


def chunked_slowly(exchange: Exchange) -> None:
    while exchange.read_head():
        exchange.send(CHUNKED)
        for _ in range(20):
            exchange.send(b"5\r\nhello\r\n")
            if exchange.peer_closed(0.001):
                return
        exchange.send(b"0\r\n\r\n")


def test_a_thousand_aborted_requests_leave_nothing(
    strained: Server, service: ServiceFactory
) -> None:
    upstream = service(chunked_slowly)
    pid = worker_of(strained)
    plain = request_bytes("GET", target(upstream))
    upload = request_bytes("POST", target(upstream), headers=[("Content-Length", "100000")])
    numbers = iter(range(10_000))
    lock = threading.Lock()

    def abort() -> None:
        for _ in range(32):
            with lock:
                number = next(numbers)
            request = upload + b"x" * (number * 97 % 99_000) if number % 3 else plain
            with Client(strained.port) as client:
                client.send(request[: number * 131 % len(request)] if number % 5 else request)
                if number % 2:
                    linger = struct.pack("ii", 1, 0)
                    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                elif number % 7 == 0:
                    client.sock.settimeout(0.01)
                    with contextlib.suppress(OSError):
                        client.fill()

    def open_now() -> tuple[int, int]:
        return descriptors(pid), threads(pid)

    all_at_once(8, abort)  # first, what a process opens once: its threads, its relay
    settle(strained, upstream)
    open_before, memory_before = open_now(), resident_mib(pid)
    for _ in range(4):
        all_at_once(8, abort)
    settle(strained, upstream)
    until(lambda: open_now() <= open_before, f"{open_now()} are {open_before} again")
    assert resident_mib(pid) - memory_before < 16
    assert ask(strained.port, "GET", "/login").status == 200


def settle(host: Server, upstream: Service) -> None:
    """Wait until no aborted request is left, and no idle connection to a service."""

    def is_quiet() -> bool:
        return all(peer_left_or_closed(exchange.sock) for exchange in upstream.exchanges)

    until(is_quiet, "the service sees all its connections closed or idle", PATIENT * 2)
    assert ask(host.port, "GET", "/login").status == 200


def peer_left_or_closed(sock: socket.socket) -> bool:
    return sock.fileno() < 0 or peer_left(sock)
