"""Tunnels that stay in their thread, because Python ends the TLS of the visitor's connection."""

from __future__ import annotations

import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.chosen import settings
from tests.support.client import request_bytes
from tests.support.endings import close, half_close, reset, send_until_stopped
from tests.support.ports import free_port
from tests.support.procfs import cpu_seconds, nothing_left, resident_mib, worker_of
from tests.support.servers import Server, running
from tests.support.tunnelapp import IDLE
from tests.support.urls import path_form
from tests.support.waiting import peer_left, until
from tests.support.websocket import BINARY, Frame, Visitor, echoing, handshake
from tests.tunnels.conftest import (
    FROM_EITHER_SIDE,
    Ends,
    TunnelFactory,
    assert_clean,
    opening_tunnels,
)

THREADS = 3


@pytest.fixture(scope="module")
def host(tls: ssl.SSLContext, certificate: tuple[str, str]) -> Iterator[Server]:
    """A gunicorn with TLS and three threads."""
    port = free_port()
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "gunicorn", "-k", "gthread"]
    command += ["-b", f"127.0.0.1:{port}", "--threads", str(THREADS), "--graceful-timeout", "2"]
    command += ["--certfile", certificate[0], "--keyfile", certificate[1]]

    def probe(port: int) -> None:
        Visitor(port, tls=tls).close()

    with running([*command, "tests.support.tunnelapp:application"], port, probe=probe) as server:
        yield server
        assert_clean(server)


@pytest.fixture(scope="module")
def worker(host: Server, tls: ssl.SSLContext) -> int:
    """Its worker's process id, once the relay runs, where the tunnels are counted."""
    with opening_tunnels() as tunnel:
        tunnel(host, tls=tls)
    return worker_of(host)


@pytest.fixture
def ends(host: Server, tunnel: TunnelFactory, tls: ssl.SSLContext, worker: int) -> Iterator[Ends]:
    """A tunnel; when it is over, nothing is left of it."""
    with nothing_left(worker):
        yield (opened := tunnel(host, tls=tls))
        opened.visitor.close()
        opened.service.sock.close()


def test_a_large_message_both_ways_at_once(
    host: Server, service: ServiceFactory, tls: ssl.SSLContext
) -> None:
    message = bytes(range(256)) * 32768  # 8 MiB: more than the buffers on the way hold
    with Visitor(host.port, tls=tls) as visitor:
        visitor.open(path_form(service(echoing).port, "/x"))
        sender = threading.Thread(target=visitor.send_frame, args=(BINARY, message))
        sender.start()
        assert visitor.frame() == Frame(0x80 | BINARY, message)
        sender.join()
        visitor.says_and_hears()


@pytest.mark.parametrize("ending", [close, reset])
def test_the_visitor_vanishes(ends: Ends, ending: Callable[[object], None]) -> None:
    ending(ends.visitor.sock)
    # Less than the ten seconds that one side waits for the other to answer.
    until(lambda: peer_left(ends.service.sock), "the service's connection is closed", 8)


@pytest.mark.parametrize("ending", [close, reset, half_close])
def test_the_service_vanishes(ends: Ends, ending: Callable[[object], None]) -> None:
    ends.service.send(b"the last word")
    ending(ends.service.sock)
    assert ends.visitor.read(100) == b"the last word" or ending is reset


def test_silence_is_cut(
    host: Server, tunnel: TunnelFactory, tls: ssl.SSLContext, worker: int
) -> None:
    with nothing_left(worker):
        started = time.monotonic()
        ends = tunnel(host, "idle", tls=tls)
        assert ends.visitor.frame() is None
        assert ends.service.read(1) == b""
        assert time.monotonic() - started > IDLE
        ends.visitor.close()


@FROM_EITHER_SIDE
def test_a_slow_reader_stops_the_sender_and_costs_nothing(
    ends: Ends, worker: int, first: str
) -> None:
    sender, reader = ends.sockets(first)
    before = resident_mib(worker)
    sent = send_until_stopped(sender)
    assert resident_mib(worker) - before < 3
    used = cpu_seconds(worker)
    time.sleep(0.5)  # what is measured: how much is done while nothing happens
    assert cpu_seconds(worker) - used < 0.1
    while sent > 0:  # TLS may have taken a part of the last block too
        received = reader.recv(1 << 20)
        assert received
        sent -= len(received)


def test_they_count_and_their_threads_come_back(
    host: Server, tunnel: TunnelFactory, tls: ssl.SSLContext, worker: int
) -> None:
    for _ in range(2):  # more tunnels in all than there are threads
        with nothing_left(worker):
            pair = [tunnel(host, "two", tls=tls) for _ in range(2)]
            with Visitor(host.port, tls=tls) as third:
                third.send(handshake(path_form(free_port(), "/x"), settings("two")))
                assert third.reply().status == 503
            with Visitor(host.port, tls=tls) as visitor:
                visitor.send(request_bytes("GET", "/login"))
                assert visitor.reply().status == 200
            for ends in pair:
                ends.visitor.close()
                ends.service.sock.close()
