"""What the relay keeps of the exchanges that wait in it."""

from __future__ import annotations

import _socket
import gc
import select
import socket
import sys
import time
import weakref
from contextlib import ExitStack

import pytest

from wsgi_portproxy.errors import ServiceUnreachable
from wsgi_portproxy.tunnel.carrier import Carrier
from wsgi_portproxy.tunnel.places import Places
from wsgi_portproxy.tunnel.records import NewTunnel
from wsgi_portproxy.tunnel.waiting import Waiters, Waiting
from wsgi_portproxy.upstream.channel import Route
from wsgi_portproxy.upstream.connection import connect
from wsgi_portproxy.upstream.steps import Ready, Steps, Wait, ready_for

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
