"""Connections that break at any step, from either side, and descriptors that run out."""

from __future__ import annotations

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.endings import reset
from tests.support.procfs import descriptors, settled_descriptors, worker_of
from tests.support.received import OK
from tests.support.servers import Server
from tests.support.service import Exchange, Service, answers
from tests.support.waiting import peer_left, until

from .conftest import running_host
from .strain import CHUNKED, little_memory, target


@pytest.mark.parametrize("reads", [None, 0, 1000], ids=["at-once", "after-the-head", "midway"])
def test_a_reset_during_an_upload_is_seen_and_overcome(
    strained: Server, service: ServiceFactory, reads: int | None
) -> None:
    """At every byte of an answer: faults/test_service_faults."""

    def script(exchange: Exchange) -> None:
        if reads is not None:
            exchange.read_head()
            exchange.read(reads)
        reset(exchange.sock)

    body = b"x" * (8 * 2**20 if reads else 100)
    # Of a large one the answer may be lost: the server closes before it has read all.
    lost = contextlib.suppress(ConnectionError) if reads else contextlib.nullcontext()
    with Client(strained.port) as client, lost:
        client.send(request_bytes("POST", target(service(script)), body=body))
        assert client.reply().status == 502
    assert ask(strained.port, "POST", target(service(answers(OK))), body=b"x").status == 200


@pytest.mark.case("a full listen queue; errors of the system at any step")
def test_without_a_free_descriptor_it_is_503_until_there_is_one(service: ServiceFactory) -> None:
    """The visitor's connection is kept: gunicorn's worker ends if it cannot accept another."""
    with running_host("tests.hostile.hosts:strained", env={"LEAVING": "none"}) as host:
        starve(host, service(answers(OK)), service(answers(OK)))


def starve(host: Server, upstream: Service, other: Service) -> None:

    def visit(client: Client, path: str) -> Reply:
        client.send(request_bytes("GET", path))
        return client.reply()

    with Client(host.port) as client:
        assert visit(client, target(upstream)).status == 200
        assert visit(client, "/starve").status == 404
        try:
            assert visit(client, target(upstream)).status == 200  # on the connection that is kept
            for _ in range(3):
                reply = visit(client, target(other))
                assert reply.status == 503
                assert "Errno" not in reply.text
            assert other.connections == 0
        finally:
            assert visit(client, "/feed").status == 404
        assert visit(client, target(other)).status == 200


# --- And again, a thousand times -----------------------------------------------------------------

VISITORS = 8  # as many as the host has threads


def goes_on(exchange: Exchange) -> None:
    """Answers until the visitor leaves."""
    exchange.read_head()
    exchange.send(CHUNKED)
    while not peer_left(exchange.sock):
        exchange.send(b"5\r\nhello\r\n")
        time.sleep(0.001)  # a service that is no flood


def settle(upstream: Service) -> None:
    """Wait until the service has seen the end of each request."""

    def is_over(sock: socket.socket) -> bool:
        return sock.fileno() < 0 or peer_left(sock)

    until(lambda: all(is_over(each.sock) for each in upstream.exchanges), "all are over")


def threads(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("Threads:")[1].split()[0])


@pytest.mark.case("thousands that are aborted leave nothing")
@pytest.mark.promise("Whatever is aborted leaves nothing")
def test_a_thousand_aborted_requests_leave_nothing(
    strained: Server, service: ServiceFactory
) -> None:
    upstream = service(goes_on)
    pid = worker_of(strained)
    plain = request_bytes("GET", target(upstream))
    upload = request_bytes("POST", target(upstream), headers=[("Content-Length", "100000")])

    def abort(number: int) -> None:
        request = upload + b"x" * (number * 97 % 99_000) if number % 3 else plain
        with Client(strained.port) as client:
            client.send(request[: number * 131 % len(request)] if number % 5 else request)
            if number % 2:
                reset(client.sock)
            elif number % 7 == 0:  # it leaves while it is answered
                client.sock.settimeout(0.01)
                with contextlib.suppress(OSError):
                    client.fill()

    with contextlib.ExitStack() as stack:  # first, what a process opens once: all its threads
        for client in [stack.enter_context(Client(strained.port)) for _ in range(VISITORS)]:
            client.send(plain)
            assert client.fill()
    settle(upstream)
    open_before, threads_before = settled_descriptors(pid), threads(pid)
    with little_memory(strained, 16), ThreadPoolExecutor(VISITORS) as pool:
        list(pool.map(abort, range(1000)))
    settle(upstream)
    until(lambda: descriptors(pid) <= open_before, "no descriptor is left")
    # The relay's may have come, on a machine that is slow enough for a stream to be handed over.
    until(lambda: threads(pid) <= threads_before + 1, "no thread is left")
    assert ask(strained.port, "GET", "/login").status == 200
