"""Tunnels and the end of their worker: they are told, it does not wait, and the next one serves."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import ask
from tests.support.endings import send_until_stopped
from tests.support.procfs import children, has_ended
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange
from tests.support.urls import MOUNT, path_form
from tests.support.waiting import until
from tests.support.websocket import (
    BINARY,
    CLOSE,
    TEXT,
    Frame,
    Visitor,
    echoing,
    frame,
    read_frame,
    switching,
)
from tests.tunnels.conftest import TunnelFactory, assert_clean

GOING_AWAY = Frame(0x80 | CLOSE, b"\x03\xe9")
TUNNELS = 3
MAX_REQUESTS = 8
# Seconds for a tunnel to be told and cut, 2 by design; the rest is for a busy machine.
DRAINED = 4.0
# Seconds for a worker to be gone, and for another to be there.
REPLACED = 8.0

WORKERS = pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])


@contextmanager
def hosting(worker: str, *options: str) -> Iterator[Server]:
    """A gunicorn with one worker of this class. Its log is clean when the block is left."""
    # gunicorn makes a gthread of a sync worker that is given threads.
    threads = 4 if worker == "gthread" else 1
    application = "tests.support.hostapp:application"
    with gunicorn(application, worker=worker, threads=threads, options=options) as server:
        yield server
        assert_clean(server)


def stop(server: Server) -> None:
    os.kill(server.pid, signal.SIGTERM)


def reload(server: Server) -> None:
    os.kill(server.pid, signal.SIGHUP)


def use_up(server: Server) -> None:
    """Make the last of the requests that --max-requests allows, and none that would wait."""
    for _ in range(MAX_REQUESTS - 1 - TUNNELS):  # the first asked whether the server answers
        assert ask(server.port, "GET", f"{MOUNT}/").status == 200


def assert_replaced(server: Server, old: int, service: ServiceFactory) -> None:
    """The old worker is gone, and another carries new tunnels."""
    until(lambda: has_ended(old), "the old worker is gone", REPLACED)
    until(lambda: children(server.pid) - {old}, "there is another", REPLACED)
    upstream = service(echoing)
    with Visitor(server.port) as visitor:
        visitor.open(path_form(upstream.port, "/x"))
        visitor.says_and_hears()


def assert_told(visitor: Visitor, service: Exchange) -> None:
    """The visitor hears that the host goes away and answers; the service hears the answer."""
    assert visitor.frame() == GOING_AWAY
    visitor.send_close(1001)
    assert visitor.frame() is None
    visitor.close()
    answer = read_frame(service.read)
    assert answer is not None
    assert answer.code == 1001
    assert service.read(1) == b""


@WORKERS
@pytest.mark.parametrize(
    ("ending", "options"),
    [
        pytest.param(reload, (), id="reload"),
        pytest.param(use_up, ("--max-requests", str(MAX_REQUESTS)), id="max-requests"),
    ],
)
def test_a_worker_that_is_replaced_says_goodbye(
    service: ServiceFactory,
    tunnel: TunnelFactory,
    worker: str,
    ending: Callable[[Server], None],
    options: tuple[str, ...],
) -> None:
    with hosting(worker, *options) as server:
        (old,) = children(server.pid)
        opened = [tunnel(server) for _ in range(TUNNELS)]
        started = time.monotonic()
        ending(server)
        for ends in opened:
            assert_told(ends.visitor, ends.service)
        assert time.monotonic() - started < DRAINED
        assert_replaced(server, old, service)


@WORKERS
def test_a_worker_that_is_killed_is_replaced(
    service: ServiceFactory, tunnel: TunnelFactory, worker: str
) -> None:
    with gunicorn(worker=worker, threads=4 if worker == "gthread" else 1) as server:
        (old,) = children(server.pid)
        opened = [tunnel(server) for _ in range(TUNNELS)]
        os.kill(old, signal.SIGKILL)
        for ends in opened:
            assert ends.visitor.frame() is None
            assert ends.service.read(1) == b""
        assert_replaced(server, old, service)
        assert "Traceback" not in server.output()


@WORKERS
def test_the_host_stops_with_tunnels_in_every_state(
    service: ServiceFactory, tunnel: TunnelFactory, worker: str
) -> None:
    unfinished = frame(BINARY, bytes(1000))[:500]

    def unfinished_with_the_101(exchange: Exchange) -> None:
        exchange.send(switching(exchange.read_head()) + frame(TEXT, b"whole") + unfinished)
        exchange.read(1)

    with hosting(worker) as server:
        polite, silent, cut, slow, leaving, stuck = (
            tunnel(server, receive_buffer=65536) for _ in range(6)
        )
        early = service(unfinished_with_the_101)
        with Visitor(server.port) as surprised:
            surprised.open(path_form(early.port, "/x"))
            assert surprised.frame() == Frame(0x80 | TEXT, b"whole")
            cut.service.send(frame(TEXT, b"whole") + unfinished)
            assert cut.visitor.frame() == Frame(0x80 | TEXT, b"whole")
            leaving.visitor.sock.shutdown(1)
            assert leaving.service.read(1) == b""
            slow.service.send(frame(BINARY, bytes(1 << 19)) * 4)
            send_until_stopped(stuck.service.sock)
            started = time.monotonic()
            stop(server)
            while (received := slow.visitor.frame()) == Frame(0x80 | BINARY, bytes(1 << 19)):
                pass  # a message that has begun is brought to its end
            assert received == GOING_AWAY
            assert_told(polite.visitor, polite.service)
            assert leaving.visitor.frame() == GOING_AWAY
            # Who does not answer is not waited for, nor is who reads nothing, nor who does not end
            # a message: nothing is put into the middle of it.
            assert silent.visitor.frame() == GOING_AWAY
            for visitor in (cut.visitor, surprised):
                assert visitor.read(2000) == unfinished
            assert silent.visitor.frame() is None
            assert silent.service.read(1) == b""
            assert stuck.service.peer_closed(1)
            assert time.monotonic() - started < DRAINED
            until(lambda: has_ended(server.pid), "the host has ended", REPLACED)


def test_a_host_without_tunnels_ends_at_once(tunnel: TunnelFactory) -> None:
    with hosting("gthread") as server:
        ends = tunnel(server)
        ends.visitor.close()
        assert ends.service.read(1) == b""
        ends.service.sock.close()
        started = time.monotonic()
        stop(server)
        until(lambda: has_ended(server.pid), "the host has ended", REPLACED)
        assert time.monotonic() - started < 1.8  # less than a drain
