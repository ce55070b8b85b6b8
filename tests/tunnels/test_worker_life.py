"""Tunnels, streams and requests that wait at the end of their worker: they are told or cut, it does
not wait for those who do not answer, and the next one serves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import ask
from tests.support.endings import close, send_until_stopped
from tests.support.procfs import children, has_ended
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange
from tests.support.streams import CHUNKED, CLOSE, LENGTH, StreamVisitor, leaving, stream_target
from tests.support.urls import path_form
from tests.support.waiting import Steps, until
from tests.support.websocket import (
    BINARY,
    TEXT,
    Frame,
    Visitor,
    close_frame,
    echoing,
    frame,
    read_frame,
    switching,
)
from tests.tunnels.conftest import StreamFactory, TunnelFactory, clean

APPLICATION = "tests.support.streamapp:application"
GOING_AWAY = Frame(0x80 | frame(8)[0], close_frame(1001)[2:])
# A worker waits for two seconds by design. What it need not wait for is tested with many more, so
# that to wait is to be late.
LONG = {"DRAIN": "28"}
SOON = 20  # seconds: a hang is longer, gunicorn kills after 30, and no busy machine takes them

# gunicorn makes a gthread of a sync worker that is given threads.
WORKERS = {"sync": 1, "gthread": 4, "gevent": 1}


def stop(host: Server) -> None:
    os.kill(host.pid, signal.SIGTERM)
    until(lambda: "Handling signal: term" in host.output(), "gunicorn is told")


def reload(host: Server) -> None:
    os.kill(host.pid, signal.SIGHUP)
    until(lambda: "Handling signal: hup" in host.output(), "gunicorn is told")


def use_up(host: Server) -> None:
    """Make the last of the requests that --max-requests allows, and none that would wait."""
    while "Autorestarting" not in host.output():
        assert ask(host.port, "GET", "/login").status == 200


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


def count(host: Server, ending: str) -> int:
    """How many streams the log says to have come to this end."""
    return host.output().count(f": stream (200) {ending} after")


@pytest.mark.case("a worker that ends with tunnels and streams")
@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.parametrize("ending", [stop, reload, use_up])
def test_a_worker_that_ends_says_goodbye(
    service: ServiceFactory,
    tunnel: TunnelFactory,
    stream: StreamFactory,
    worker: str,
    ending: Callable[[Server], None],
) -> None:
    options = ("--max-requests", "12") if ending is use_up else ()
    with clean(
        APPLICATION, worker=worker, threads=WORKERS[worker], options=options, env=LONG
    ) as host:
        (old,) = children(host.pid)
        polite, slow, last = (tunnel(host, receive_buffer=65536) for _ in range(3))
        last.visitor.sock.shutdown(1)
        assert last.service.read(1) == b""
        slow.service.send(frame(BINARY, bytes(1 << 19)) * 4)
        streams = [stream(host) for _ in range(2)] if worker != "gevent" else []
        ending(host)
        while (received := slow.visitor.frame()) == Frame(0x80 | BINARY, bytes(1 << 19)):
            pass  # a message that has begun is brought to its end
        assert received == GOING_AWAY
        slow.visitor.close()
        assert_told(polite.visitor, polite.service)
        assert last.visitor.frame() == GOING_AWAY
        for one in streams:
            one.send(b"the end")
            one.end()
            one.visitor.read_until(b"the end\r\n0\r\n\r\n")
            assert one.visitor.is_closed()
            one.visitor.close()
        until(lambda: count(host, "complete") == len(streams), "their ends are told")
        until(lambda: has_ended(old), "the old worker is gone", SOON)
        if ending is stop:
            until(lambda: has_ended(host.pid), "the host has ended", SOON)
        else:
            with Visitor(host.port) as visitor:
                visitor.open(path_form(service(echoing).port, "/x"))
                visitor.says_and_hears()
            assert children(host.pid) != {old}


@pytest.mark.case("a worker that ends with tunnels and streams")
@pytest.mark.parametrize("worker", WORKERS)
def test_who_does_not_answer_is_not_waited_for(
    service: ServiceFactory, tunnel: TunnelFactory, stream: StreamFactory, worker: str
) -> None:
    """Nor is who reads nothing, nor a service that does not end a message, into the middle of which
    nothing is put; and streams are cut visibly."""
    unfinished = frame(BINARY, bytes(1000))[:500]

    def unfinished_with_the_101(exchange: Exchange) -> None:
        exchange.send(switching(exchange.read_head()) + frame(TEXT, b"whole") + unfinished)
        exchange.read(1)

    cases = [(CHUNKED, "HTTP/1.1"), (LENGTH, "HTTP/1.1"), (CLOSE, "HTTP/1.0")]
    cases += [(CHUNKED, "HTTP/1.0")]
    with clean(APPLICATION, worker=worker, threads=WORKERS[worker]) as host:
        silent, cut, stuck = (tunnel(host, receive_buffer=65536) for _ in range(3))
        streams = [stream(host, *case) for case in cases] if worker != "gevent" else []
        early = service(unfinished_with_the_101)
        with Visitor(host.port) as surprised:
            surprised.open(path_form(early.port, "/x"))
            assert surprised.frame() == Frame(0x80 | TEXT, b"whole")
            cut.service.send(frame(TEXT, b"whole") + unfinished)
            assert cut.visitor.frame() == Frame(0x80 | TEXT, b"whole")
            send_until_stopped(stuck.service.sock)
            stop(host)
            assert silent.visitor.frame() == GOING_AWAY
            for visitor in (cut.visitor, surprised):
                assert visitor.read(2000) == unfinished
            assert silent.visitor.frame() is None
            assert silent.service.read(1) == b""
            assert stuck.service.peer_closed(SOON)
            for one in streams:
                while one.visitor.fill():
                    pass
                if one.framing is not LENGTH:  # which tells of the cut by itself
                    assert not one.visitor.buffer.endswith(b"0\r\n\r\n")
                    assert one.visitor.was_reset or b"\r\n" in one.visitor.buffer
            until(lambda: has_ended(host.pid), "the host has ended", SOON)
        assert count(host, "cut") == len(streams)


@pytest.mark.parametrize("worker", ["sync", "gthread"])
@pytest.mark.parametrize("ending", [stop, reload])
def test_a_worker_that_ends_lets_requests_that_wait_have_their_responses(
    service: ServiceFactory, worker: str, ending: Callable[[Server], None]
) -> None:
    """For a while; then it tells those whose service has not responded that they may ask again."""
    with clean(
        APPLICATION, worker=worker, threads=WORKERS[worker], env={"DRAIN_WAITING": "3"}
    ) as host:
        (old,) = children(host.pid)
        steps = Steps(LENGTH.head(5), b"whole"), Steps(b"never")
        targets = [stream_target(service(one).port) for one in steps]
        with StreamVisitor(host.port) as answered, StreamVisitor(host.port) as unanswered:
            for visitor, target in zip((answered, unanswered), targets, strict=True):
                visitor.ask(target)
                leaving(host, target)
            ending(host)
            steps[0].go(3)
            reply = answered.reply()
            assert (reply.status, reply.body, reply.complete) == (200, b"whole", True)
            reply = unanswered.reply()
            assert (reply.status, reply.complete) == (503, True)
            assert unanswered.is_closed()
        until(lambda: has_ended(old), "the old worker is gone", SOON)


def test_a_worker_that_is_killed_is_replaced(
    service: ServiceFactory, tunnel: TunnelFactory
) -> None:
    with gunicorn(APPLICATION) as host:
        (old,) = children(host.pid)
        ends = tunnel(host)
        os.kill(old, signal.SIGKILL)
        assert ends.visitor.frame() is None
        assert ends.service.read(1) == b""
        close(ends.service.sock)
        with Visitor(host.port) as visitor:
            visitor.open(path_form(service(echoing).port, "/x"))
            visitor.says_and_hears()
        assert "Traceback" not in host.output()
