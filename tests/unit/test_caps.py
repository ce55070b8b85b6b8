"""The count of requests per port: who waits for a place, for how long, and who is refused."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.waiting import until
from wsgi_portproxy import caps as module
from wsgi_portproxy.caps import LONGEST_WAIT, STANDSTILL, Caps
from wsgi_portproxy.errors import TooManyRequests
from wsgi_portproxy.servers import server_threads

PORT = 15000


PATIENCE = 2 * LONGEST_WAIT  # seconds, in place of the real one, so that tests need not wait


@pytest.fixture(autouse=True)
def _shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", PATIENCE)


@contextlib.contextmanager
def patient_ones(caps: Caps, number: int) -> Iterator[None]:
    """Those that wait for long are there already, and are refused in the end."""
    with ThreadPoolExecutor(number) as pool:
        waiting = [pool.submit(seconds_until_refused, caps) for _ in range(number)]
        until(lambda: caps._ports[PORT].patient == number, "they wait")
        yield
        assert all(PATIENCE * 0.9 < one.result() < PATIENCE + 0.5 for one in waiting)


def seconds_until_refused(caps: Caps, port: int = PORT) -> float:
    begin = time.monotonic()
    with pytest.raises(TooManyRequests) as caught:
        caps.enter(port, {})
    assert (caught.value.status, dict(caught.value.headers)) == (503, {"Retry-After": "2"})
    return time.monotonic() - begin


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_as_many_as_the_limit_enter_and_the_next_is_refused(limit: int) -> None:
    caps = Caps(limit)
    for _ in range(limit):
        caps.enter(PORT, {})
    with patient_ones(caps, max(1, limit // 2)):
        assert seconds_until_refused(caps) < STANDSTILL + 0.5
        caps.enter(PORT + 1, {})  # another port


def test_at_a_port_that_stands_still_nobody_waits() -> None:
    caps = Caps(1)
    caps.enter(PORT, {})
    with patient_ones(caps, 1):
        seconds_until_refused(caps)
        assert seconds_until_refused(caps) < 0.1


def test_a_place_that_is_given_back_is_for_whoever_waits() -> None:
    caps = Caps(1)
    caps.enter(PORT, {})
    begin = time.monotonic()
    threading.Timer(STANDSTILL / 3, lambda: caps.leave(PORT)).start()
    caps.enter(PORT, {})
    assert time.monotonic() - begin >= STANDSTILL / 3
    caps.leave(PORT)
    caps.enter(PORT, {})


def test_where_turns_come_a_request_waits_longer_but_not_for_ever() -> None:
    caps = Caps(2)
    caps.enter(PORT, {})
    caps.enter(PORT, {})
    stop = threading.Event()

    def turn() -> None:
        """Others come and go, and are always quicker."""
        while not stop.wait(STANDSTILL / 5):
            with caps._lock:
                caps._ports[PORT].moved = time.monotonic()

    turning = threading.Thread(target=turn)
    turning.start()
    with patient_ones(caps, 1):
        waited = seconds_until_refused(caps)
        stop.set()
        turning.join()
    assert LONGEST_WAIT * 0.9 < waited < LONGEST_WAIT + 0.5


def test_many_threads_never_exceed_the_limit_and_leave_nothing_behind() -> None:
    caps, held, most = Caps(3), 0, 0
    lock = threading.Lock()

    def visit(_: int) -> None:
        nonlocal held, most
        caps.enter(PORT, {})
        with lock:
            held += 1
            most = max(most, held)
        time.sleep(0.001)
        with lock:
            held -= 1
        caps.leave(PORT)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(visit, range(400)))
    assert most == 3
    assert [port.held + port.waiting for port in caps._ports.values()] == [0]


def test_ports_that_had_requests_do_not_pile_up() -> None:
    caps = Caps(3)
    for number in range(1000):
        caps.enter(number, {})
        caps.leave(number)
    assert len(caps._ports) < 100


def test_without_a_limit_the_servers_pool_gives_one() -> None:
    caps = Caps(None)
    for _ in range(100):
        caps.enter(PORT, {})  # this thread is of no pool
    with ThreadPoolExecutor(6) as pool:  # as gunicorn's gthread
        for _ in range(3):
            pool.submit(caps.enter, PORT + 1, {}).result()
        with pytest.raises(TooManyRequests):
            pool.submit(caps.enter, PORT + 1, {}).result()


def test_a_pool_is_looked_for_once_by_each_of_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def threads(environ: object) -> int | None:
        asked.append(threading.get_ident())
        return None if threading.current_thread() is threading.main_thread() else 32

    monkeypatch.setattr(module, "server_threads", threads)
    caps = Caps(None)
    with ThreadPoolExecutor(1) as pool:
        caps.enter(PORT, {})  # of a thread that is of no pool: each time, as it may be a greenlet
        caps.enter(PORT, {})
        assert len(asked) == 1
        caps.enter(PORT, {})
        assert len(asked) == 2
        for _ in range(3):
            pool.submit(caps.enter, PORT, {}).result()
    assert len(asked) == 3


def test_one_thread_is_enough_for_one_request() -> None:
    caps = Caps(None)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(caps.enter, PORT, {}).result()


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_lets_nobody_in_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="max_requests_per_port"):
        Caps(limit)


@pytest.mark.parametrize("workers", [1, 4, 32])
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
