"""What the relay keeps of the exchanges that wait in it."""

from __future__ import annotations

import _socket
import gc
import select
import socket
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from wsgi_portproxy.errors import ServiceUnreachable
from wsgi_portproxy.tunnel.carrier import Carrier
from wsgi_portproxy.tunnel.places import Places
from wsgi_portproxy.tunnel.records import NewTunnel
from wsgi_portproxy.tunnel.waiting import Waiters, Waiting
from wsgi_portproxy.upstream.channel import Channel, Route
from wsgi_portproxy.upstream.connection import connect
from wsgi_portproxy.upstream.request_body import Dechunked, Upload
from wsgi_portproxy.upstream.steps import Ready, Steps, Turn, Wait, ready_for

PORT = 10_000


def nothing_to_send(result: object, error: BaseException | None) -> NewTunnel:
    raise RuntimeError("our own")


def test_an_exchange_that_is_over_is_forgotten_though_another_waits_for_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each has a deadline, which is far away."""
    told: list[object] = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: told.append(error[0]))
    places = Places()
    carrier = Carrier(places)
    carrier.epoll = select.epoll()
    waiters = Waiters(carrier, places, lambda one: None)
    ours, theirs = socket.socketpair()

    def wait(until: float) -> Wait:
        return Wait(ours, select.POLLIN, until, None, select.poll())

    def steps() -> Steps[None]:
        yield wait(0.0)

    def begun(until: float) -> Waiting:
        places.take(PORT, limit=10_000, limit_of_port=10_000)
        exchange = steps()
        waits = next(exchange)
        assert isinstance(waits, Wait)
        waits = waits._replace(until=until)
        visitor, dummy = _socket.socketpair()
        one = Waiting(PORT, exchange, waits, nothing_to_send, visitor, dummy, key=object())
        waiters.begin(one)
        return one

    now = time.monotonic()
    with ours, theirs, carrier.epoll:
        longest = begun(now + 60)
        kept = []
        for _ in range(1000):
            waiters._unwatch(longest)  # there is but one socket of a service
            one = begun(now + 120)
            waiters.stop(one.key, TimeoutError())
            kept.append(weakref.ref(one.steps))
        del one
        gc.collect()
        assert len(waiters) == 1
        assert sum(reference() is not None for reference in kept) <= 256 + 2
        assert waiters.deadline == now + 60
        waiters.stop(longest.key, TimeoutError())
        carrier.abandon()
    assert told == [RuntimeError] * 1001


def test_whether_a_service_is_on_ipv6_is_waited_for_as_everything_is() -> None:
    """Where the queue of a service is full, that takes long, and the relay has others."""
    with socket.socket(socket.AF_INET6) as service, ExitStack() as stack:
        service.bind(("::1", 0))
        service.listen(0)
        port = service.getsockname()[1]
        for _ in range(3):
            waiting = stack.enter_context(socket.socket(socket.AF_INET6))
            waiting.setblocking(False)
            waiting.connect_ex(("::1", port))
        now = time.monotonic()
        route = Route(None, False, now + 5, 5.0, None)
        steps = connect(port, route, timeout=5.0, make_room=bool)
        asked = next(steps)
        while isinstance(asked, Wait) and asked.sock.family == socket.AF_INET:
            asked = steps.send(ready_for(asked))
        assert isinstance(asked, Wait)
        assert asked.until is not None
        assert asked.until < now + 1
        with pytest.raises(ServiceUnreachable):
            steps.send(Ready())


class OneBytePerChunk:
    """The connection of a visitor who sends a body so."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    def buffered(self) -> bool:
        return False

    def read(self, limit: int) -> bytes:
        return b"1\r\nx\r\n" * 1000

    def give_back(self, data: bytes) -> None: ...

    def stand_in(self, read: Callable[[int], bytes]) -> None: ...


def test_an_upload_with_one_byte_per_chunk_lets_others_go_first() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        upload = Upload(Dechunked(OneBytePerChunk(theirs)), None)
        route = Route(None, False, time.monotonic() + 5, 5.0, None)
        channel = Channel(ours, select.poll(), upload, route)
        channel.send_head(b"POST / HTTP/1.1\r\n\r\n")
        sending = channel.receive(100, expect_wait=True)
        assert isinstance(next(sending), Wait), "for the first of it"
        assert isinstance(sending.send(Ready(visitor=True)), Turn)
        sent = [len(theirs.recv(65536))]
        for _ in range(20):
            assert isinstance(sending.send(Ready()), Turn)
            sent.append(len(theirs.recv(65536)))
        assert max(sent) < 500
        sending.close()


def test_an_exchange_that_lets_others_go_first_goes_on_when_it_is_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "excepthook", lambda *error: None)
    queued: list[Waiting] = []
    went_on: list[object] = []
    places = Places()
    carrier = Carrier(places)
    carrier.epoll = select.epoll()
    waiters = Waiters(carrier, places, queued.append)
    places.take(PORT, limit=10, limit_of_port=10)

    def steps() -> Steps[None]:
        for _ in range(3):
            went_on.append((yield Turn()))

    exchange = steps()
    visitor, dummy = _socket.socketpair()
    with carrier.epoll:
        one = Waiting(PORT, exchange, next(exchange), nothing_to_send, visitor, dummy, key=1)
        waiters.begin(one)
        assert (queued, went_on) == ([one], [])
        waiters.resume(one)
        assert (queued, went_on) == ([one, one], [Ready()])
        waiters.stop(1, RuntimeError())
        waiters.resume(one)
        assert len(went_on) == 1, "it was stopped"
        assert not waiters
        carrier.abandon()
