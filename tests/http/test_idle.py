"""Connections that wait for their next request: few in a process, none for long, and the first to
go where descriptors are scarce."""

from __future__ import annotations

import contextlib
import gc
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import werkzeug.test

from tests.conftest import ServiceFactory
from tests.support.client import Client, request_bytes
from tests.support.procfs import descriptors, established, visitors, worker_of
from tests.support.received import OK
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, Service, answers
from tests.support.urls import query_form
from tests.support.waiting import PATIENCE, peer_left, until
from wsgi_portproxy import PortProxy
from wsgi_portproxy.upstream import pool as idle

from .common import get

APP = "tests.support.sharedapp"
THREADS = 8
FOR_EVER = "3600"  # seconds


@contextlib.contextmanager
def keeping(oldest: str, **env: str) -> Iterator[Server]:
    """A host that keeps idle connections for so many seconds, and those of its visitors, whose
    number counts, for as long as they like: gunicorn closes them after two seconds else."""
    options = ("--keep-alive", FOR_EVER)
    with gunicorn(APP, threads=THREADS, options=options, env={"OLDEST": oldest, **env}) as server:
        yield server
        assert "Traceback" not in server.output()


@pytest.fixture(scope="module")
def lasting() -> Iterator[Server]:
    with keeping(FOR_EVER) as server:
        yield server


def kept(server: Server, upstreams: list[Service]) -> int:
    """How many connections the worker has to these."""
    ports = {upstream.port for upstream in upstreams}
    return sum(remote in ports for _, remote in established(worker_of(server)))


def is_kept(upstream: Service) -> bool:
    """Whether the last connection to it stands."""
    return not has_ended(upstream.exchanges[-1])


def has_ended(exchange: Exchange) -> bool:
    try:
        return peer_left(exchange.sock)
    except ValueError:  # the service has heard of it, and closed its end too
        return True


# --- How many ------------------------------------------------------------------------------------


@pytest.mark.promise("Descriptors are bounded")
@pytest.mark.case("thousands of requests to many ports; few descriptors")
def test_at_most_64_in_the_process_and_those_used_last(
    lasting: Server, service: ServiceFactory
) -> None:
    upstreams = [service(answers(OK)) for _ in range(100)]
    for upstream in upstreams:
        assert get(lasting, upstream).body == b"hi"
        assert kept(lasting, upstreams) <= idle.MOST + 1  # the one that is under way
    until(lambda: kept(lasting, upstreams) == idle.MOST, "64 are left")
    until(lambda: [is_kept(one) for one in upstreams] == [False] * 36 + [True] * 64, "the last 64")
    for upstream in upstreams:
        assert get(lasting, upstream).body == b"hi"
    assert [one.connections for one in upstreams[:36]] == [2] * 36


def test_at_most_64_whatever_goes_on_at_once(lasting: Server, service: ServiceFactory) -> None:
    upstreams = [service(answers(OK)) for _ in range(70)]
    most = 0
    with ThreadPoolExecutor(THREADS) as pool:
        visits = [pool.submit(get, lasting, one) for one in upstreams * 6]
        while not all(visit.done() for visit in visits):
            most = max(most, kept(lasting, upstreams))
        assert {visit.result().body for visit in visits} == {b"hi"}
    assert most <= idle.MOST + THREADS
    assert 0 < kept(lasting, upstreams) <= idle.MOST


def test_one_port_may_have_all_of_them(lasting: Server, service: ServiceFactory) -> None:
    """As many as were in use at a time are there for the next time."""
    together = threading.Barrier(THREADS)

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            together.wait(PATIENCE)
            exchange.send(OK)

    upstream = service(script)
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(5):
            replies = pool.map(lambda _: get(lasting, upstream), range(THREADS))
            assert [reply.body for reply in replies] == [b"hi"] * THREADS
            until(lambda: kept(lasting, [upstream]) == THREADS, "all of them are idle")
    assert upstream.connections == THREADS


# --- How long ------------------------------------------------------------------------------------


@pytest.mark.promise("Descriptors are bounded")
@pytest.mark.case("thousands of requests to many ports; few descriptors")
def test_none_stays_for_long_though_nobody_asks_again(service: ServiceFactory) -> None:
    assert idle.OLDEST == 10.0
    upstreams = [service(answers(OK)) for _ in range(20)]
    with keeping("0.2") as server:
        for upstream in upstreams * 2:
            assert get(server, upstream).body == b"hi"
        until(lambda: not any(is_kept(one) for one in upstreams), "all are closed")
        assert kept(server, upstreams) == 0
        for _ in range(2):  # and again, once that thread has ended
            assert get(server, upstreams[0]).body == b"hi"
            until(lambda: not is_kept(upstreams[0]), "closed again")


# --- Where descriptors are scarce ----------------------------------------------------------------

DESCRIPTORS = 300
FOR_OTHERS = 75  # a quarter of them


@pytest.fixture
def narrow() -> Iterator[Server]:
    """With nothing left of other tests: the numbers of its descriptors count."""
    with keeping(FOR_EVER, DESCRIPTORS=str(DESCRIPTORS)) as server:
        yield server


@contextlib.contextmanager
def staying(server: Server, count: int) -> Iterator[None]:
    """Visitors who keep their connections to the server."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(Client(server.port))
            client.send(request_bytes("GET", "/login"))
            assert client.reply().status == 200
        yield


@pytest.mark.promise("Descriptors are bounded")
@pytest.mark.case("thousands of requests to many ports; few descriptors")
def test_a_worker_with_few_descriptors_lives(narrow: Server, service: ServiceFactory) -> None:
    pid = worker_of(narrow)
    upstreams = [service(answers(OK)) for _ in range(150)]
    with staying(narrow, 140), ThreadPoolExecutor(THREADS) as pool:
        replies = pool.map(partial(get, narrow), upstreams * 4)
        assert {reply.body for reply in replies} == {b"hi"}
        assert 0 < kept(narrow, upstreams) <= idle.MOST
        assert descriptors(pid) <= DESCRIPTORS - FOR_OTHERS + THREADS
    assert worker_of(narrow) == pid


def test_those_left_to_others_are_not_taken_for_idle_connections(
    narrow: Server, service: ServiceFactory
) -> None:
    upstream = service(answers(OK))
    with staying(narrow, DESCRIPTORS - FOR_OTHERS):
        for number in range(1, 4):
            assert get(narrow, upstream).body == b"hi"
            assert upstream.connections == number
            until(lambda: not is_kept(upstream), "it is not kept")
    until(lambda: visitors(worker_of(narrow)) == 0, "the visitors have left")
    for _ in range(3):
        assert get(narrow, upstream).body == b"hi"
    assert upstream.connections == 4


@pytest.mark.promise("Descriptors are bounded")
@pytest.mark.case("thousands of requests to many ports; few descriptors")
def test_where_none_is_left_idle_connections_give_theirs(
    lasting: Server, service: ServiceFactory
) -> None:
    upstreams = [service(answers(OK)) for _ in range(4)]
    with Client(lasting.port) as client:

        def asked(path: str) -> int:
            client.send(request_bytes("GET", path))
            return client.reply().status

        paths = [query_form(upstream.port, "/x") for upstream in upstreams]
        assert [asked(path) for path in paths[:3]] == [200] * 3
        assert all(map(is_kept, upstreams[:3]))
        try:
            assert asked("/starve") == 200
            assert asked(paths[3]) == 200
        finally:
            assert asked("/feed") == 200
        until(lambda: not any(map(is_kept, upstreams[:3])), "they were closed")
        assert [asked(path) for path in paths] == [200] * 4


# --- Whose ---------------------------------------------------------------------------------------


@pytest.fixture
def none_idle() -> None:
    """In this process, whatever tests before this one left."""
    idle.idle.close_all()


def in_this_process() -> PortProxy:
    """Where the limits can be changed. No request is for the wrapped app."""
    return PortProxy(lambda environ, start_response: [], authorizer=lambda request, target: True)


def visit(proxy: PortProxy, upstream: Service) -> None:
    reply = werkzeug.test.Client(proxy).get(f"/x?port={upstream.port}")
    assert reply.data == b"hi"


@pytest.mark.usefixtures("none_idle")
def test_each_proxy_of_a_process_has_its_own(service: ServiceFactory) -> None:
    """One may be told that a port is open, and another that it is not."""
    upstream = service(answers(OK))
    one, other = in_this_process(), in_this_process()
    for proxy in (one, other, one, other):
        visit(proxy, upstream)
    assert [len(exchange.requests) for exchange in upstream.exchanges] == [2, 2]
    one.close()
    until(lambda: has_ended(upstream.exchanges[0]), "its own is closed")
    visit(other, upstream)
    visit(one, upstream)  # closed is not over
    assert [len(exchange.requests) for exchange in upstream.exchanges] == [2, 3, 1]
    other.close()
    one.close()


@pytest.mark.usefixtures("none_idle")
def test_they_share_one_bound(service: ServiceFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "MOST", 2)
    upstreams = [service(answers(OK)) for _ in range(5)]
    proxies = [in_this_process() for _ in range(3)]
    for proxy, upstream in zip(itertools.cycle(proxies), upstreams, strict=False):
        visit(proxy, upstream)
    assert [is_kept(upstream) for upstream in upstreams[-2:]] == [True, True]
    until(lambda: not any(map(is_kept, upstreams[:3])), "the others are closed")
    assert proxies[0].stats().idle_connections == 2
    for proxy in proxies:
        proxy.close()
    assert proxies[0].stats().idle_connections == 0


@pytest.mark.usefixtures("none_idle")
def test_a_proxy_that_is_dropped_takes_its_idle_connections_along(service: ServiceFactory) -> None:
    """Left to the garbage collector, their sockets would warn of being unclosed."""
    upstream = service(answers(OK))
    proxy = in_this_process()
    visit(proxy, upstream)
    assert (is_kept(upstream), len(idle.idle)) == (True, 1)
    del proxy
    gc.collect()
    assert len(idle.idle) == 0  # before it is too old
    until(lambda: not is_kept(upstream), "it is closed")


@pytest.mark.usefixtures("none_idle")
def test_what_is_under_way_when_its_proxy_is_closed_is_closed_after_it(
    service: ServiceFactory,
) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            asked.set()
            go_on.wait(PATIENCE)
            exchange.send(OK)

    upstream = service(script)
    proxy = in_this_process()
    thread = threading.Thread(target=visit, args=(proxy, upstream))
    thread.start()
    assert asked.wait(PATIENCE)
    proxy.close()
    go_on.set()
    thread.join(PATIENCE)
    assert proxy.stats().idle_connections == 0
    until(lambda: not is_kept(upstream), "it is closed")
