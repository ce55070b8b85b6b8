"""Connections that break at any step, from either side, and descriptors that run out."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.procfs import descriptors, resident_mib, settled_descriptors, worker_of
from tests.support.received import OK
from tests.support.servers import Server
from tests.support.service import Exchange, Script, Service, answers
from tests.support.waiting import peer_left, until

from .conftest import noted_host
from .strain import CHUNKED, PATIENT, all_at_once, reset, target


def threads(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("Threads:")[1].split()[0])


def resets_after(data: bytes, *, reads: bool = True) -> Script:
    def script(exchange: Exchange) -> None:
        if reads:
            exchange.read_head()
        exchange.send(data)
        if data:
            # So that the proxy has read it: a reset discards what is still on its way.
            time.sleep(0.05)
        reset(exchange.sock)

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
        reset(exchange.sock)

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


def goes_on(exchange: Exchange) -> None:
    """Answers until the visitor leaves."""
    exchange.read_head()
    exchange.send(CHUNKED)
    while not peer_left(exchange.sock):
        exchange.send(b"5\r\nhello\r\n")
        time.sleep(0.001)


def test_a_thousand_aborted_requests_leave_nothing(
    strained: Server, service: ServiceFactory
) -> None:
    upstream = service(goes_on)
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
                    reset(client.sock)
                elif number % 7 == 0:
                    client.sock.settimeout(0.01)
                    with contextlib.suppress(OSError):
                        client.fill()

    all_at_once(8, abort)  # first, what a process opens once: its threads, its relay
    settle(upstream)
    open_before = settled_descriptors(pid)
    threads_before, memory_before = threads(pid), resident_mib(pid)
    for _ in range(4):
        all_at_once(8, abort)
    settle(upstream)
    until(lambda: descriptors(pid) <= open_before, "no descriptor is left")
    until(lambda: threads(pid) <= threads_before, "no thread is left")
    assert resident_mib(pid) - memory_before < 16
    assert ask(strained.port, "GET", "/login").status == 200


def settle(upstream: Service) -> None:
    """Wait until the service has seen the end of each request."""

    def is_over(sock: socket.socket) -> bool:
        return sock.fileno() < 0 or peer_left(sock)

    until(lambda: all(is_over(each.sock) for each in upstream.exchanges), "all are over", PATIENT)
