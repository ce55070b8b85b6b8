"""The count of requests per port: who waits for a place, for how long, and who is refused."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.waiting import until
from wsgi_portproxy.errors import TooManyRequests
from wsgi_portproxy.policy import concurrency as module
from wsgi_portproxy.policy.concurrency import LAST_PATIENCE, PATIENCE, ConcurrencyLimits
from wsgi_portproxy.servers import server_threads

from .clock import Clock as FakeClock

PORT = 15000


class Clock(FakeClock):
    def until_refused(self, caps: ConcurrencyLimits, port: int = PORT) -> float:
        begin = self.now
        with pytest.raises(TooManyRequests) as caught:
            caps.enter(port, {})
        assert (caught.value.status, dict(caught.value.headers)) == (503, {"Retry-After": "2"})
        return self.now - begin


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    monkeypatch.setattr(
        module,
        "threading",
        SimpleNamespace(Condition=made.condition, Lock=threading.Lock, local=threading.local),
    )
    return made


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_as_many_as_the_limit_enter_and_the_others_wait(clock: Clock, limit: int) -> None:
    caps, waited = ConcurrencyLimits(limit), []
    for _ in range(limit):
        caps.enter(PORT, {})
    for _ in range(2):  # who was refused has given back its place among those that wait
        clock.meanwhile = [lambda: waited.append(clock.until_refused(caps))] * 9
        waited.append(clock.until_refused(caps))
    assert waited == pytest.approx([PATIENCE] * 20)
    caps.enter(PORT + 1, {})  # another port
    caps.leave(PORT)
    caps.enter(PORT, {})


@pytest.mark.parametrize(("threads", "waiting"), [(4, 1), (8, 3), (32, 15), (2, 0), (1, 0)])
def test_of_a_known_number_of_threads_one_is_left(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, threads: int, waiting: int
) -> None:
    monkeypatch.setattr(module, "server_threads", lambda environ: threads)
    caps, waited = ConcurrencyLimits(None), []
    for _ in range(max(1, threads // 2)):
        caps.enter(PORT, {})
    clock.meanwhile = [lambda: waited.append(clock.until_refused(caps))] * waiting
    waited.append(clock.until_refused(caps))
    assert sorted(waited) == pytest.approx([LAST_PATIENCE, *[PATIENCE] * waiting])


def test_where_threads_are_scarce_none_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "server_threads", lambda environ: 8)
    caps = ConcurrencyLimits(None)
    assert [caps.try_enter(PORT + number, {}) for number in range(6)] == [True] * 4 + [False] * 2
    caps.leave(PORT)
    assert caps.try_enter(PORT, {})
    one = ConcurrencyLimits(1)
    assert [one.try_enter(PORT, {}), one.try_enter(PORT, {})] == [True, False]


def test_a_place_that_is_given_back_is_for_whoever_waits(clock: Clock) -> None:
    caps = ConcurrencyLimits(1)
    caps.enter(PORT, {})
    clock.meanwhile = [lambda: caps.leave(PORT)]
    caps.enter(PORT, {})
    assert clock.now == 1000.0


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """More of it than a test waits: who waits has to be woken."""
    monkeypatch.setattr(module, "PATIENCE", 40.0)


@pytest.mark.usefixtures("patience")
def test_whoever_waits_is_woken() -> None:
    caps = ConcurrencyLimits(1)
    caps.enter(PORT, {})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(caps.enter, PORT, {})
        until(lambda: caps._ports[PORT].waiting == 1, "it waits")
        caps.leave(PORT)
        waiting.result(30)


def test_who_is_under_way_and_who_waits_is_counted(clock: Clock) -> None:
    caps, seen = ConcurrencyLimits(1), []
    assert caps.counts() == (0, 0)
    caps.enter(PORT, {})
    caps.enter(PORT + 1, {})
    clock.meanwhile = [lambda: seen.append(caps.counts())]  # the lock is free meanwhile
    clock.until_refused(caps)
    assert (seen, caps.counts()) == ([(2, 1)], (2, 0))
    caps.leave(PORT)
    assert caps.counts() == (1, 0)


@pytest.mark.usefixtures("patience")
def test_many_threads_never_exceed_the_limit_and_leave_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "server_threads", lambda environ: None)  # not those of our pool
    caps, held, most = ConcurrencyLimits(3), 0, 0
    lock, all_places = threading.Lock(), threading.Barrier(3)

    def visit(_: int) -> None:
        nonlocal held, most
        caps.enter(PORT, {})
        with lock:
            held += 1
            most = max(most, held)
        all_places.wait(30)
        with lock:
            held -= 1
        caps.leave(PORT)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(visit, range(3 * 60)))
    assert most == 3
    [port] = caps._ports.values()
    assert (port.held, port.waiting) == (0, 0)


def test_ports_that_had_requests_do_not_pile_up() -> None:
    caps = ConcurrencyLimits(3)
    for number in range(100):
        caps.enter(number, {})
        caps.enter(number, {})
        caps.leave(number)
        caps.leave(number)
    assert len(caps._ports) == 64


def test_without_a_limit_the_servers_pool_gives_one(clock: Clock) -> None:
    caps = ConcurrencyLimits(None)
    for _ in range(100):
        caps.enter(PORT, {})  # this thread is of no pool
    for workers, limit in [(1, 1), (6, 3)]:  # as gunicorn's gthread
        with ThreadPoolExecutor(workers) as pool:
            for _ in range(limit):
                pool.submit(caps.enter, PORT + workers, {}).result()
            pool.submit(clock.until_refused, caps, PORT + workers).result()


def test_a_pool_is_looked_for_once_by_each_of_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def threads(environ: object) -> int | None:
        asked.append(threading.get_ident())
        return None if threading.current_thread() is threading.main_thread() else 32

    monkeypatch.setattr(module, "server_threads", threads)
    caps = ConcurrencyLimits(None)
    with ThreadPoolExecutor(1) as pool:
        for number in range(3):  # of a thread that is of no pool: each time; it may be a greenlet
            caps.enter(PORT, {})
            assert len(asked) == number  # but for the first request, which always has a place
        for _ in range(3):
            pool.submit(caps.enter, PORT, {}).result()
    assert len(asked) == 3


@pytest.mark.parametrize("workers", [1, 32])
def test_a_pool_of_the_standard_library_is_counted_by_its_own_threads(workers: int) -> None:
    with ThreadPoolExecutor(workers) as pool:
        assert pool.submit(server_threads, {}).result() == workers


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"waitress.client_disconnected": None},
        {"waitress.client_disconnected": SimpleNamespace(__self__=SimpleNamespace())},
        {"uwsgi.version": b"2.0"},
    ],
    ids=["plain", "waitress-none", "waitress-changed", "uwsgi-elsewhere"],
)
def test_where_nothing_tells_the_number_is_not_known(environ: dict[str, Any]) -> None:
    assert server_threads(environ) is None
    found: list[int | None] = []
    thread = threading.Thread(target=lambda *args: found.append(server_threads(environ)), args=(1,))
    thread.start()
    thread.join()
    assert found == [None]
