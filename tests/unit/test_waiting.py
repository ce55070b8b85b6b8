"""What the relay keeps of the exchanges that wait in it."""

from __future__ import annotations

import _socket
import gc
import select
import socket
import sys
import time
import weakref

import pytest

from wsgi_portproxy.tunnel.carrier import Carrier
from wsgi_portproxy.tunnel.places import Places
from wsgi_portproxy.tunnel.records import NewTunnel
from wsgi_portproxy.tunnel.waiting import Waiters, Waiting
from wsgi_portproxy.upstream.steps import Steps, Wait

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
