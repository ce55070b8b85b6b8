"""What a process holds, told as plain numbers."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, ask, request_bytes
from tests.support.procfs import settled_descriptors, worker_of
from tests.support.received import OK
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, answers
from tests.support.urls import query_form
from tests.support.waiting import PATIENCE, until
from wsgi_portproxy import PortProxy

from .common import get

DESCRIPTORS = 500


@pytest.fixture(scope="module")
def host() -> Iterator[Server]:
    """Two requests per port at a time; others wait. Idle connections are kept."""
    env = {"DESCRIPTORS": str(DESCRIPTORS), "PER_PORT": "2", "OLDEST": "3600", "LEAVING": "none"}
    with gunicorn("tests.support.sharedapp", threads=8, env=env) as server:
        yield server
        assert "Traceback" not in server.output()


def stats(host: Server) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(ask(host.port, "GET", "/stats").body)
    return told


def wait_for(host: Server, **numbers: int) -> None:
    until(lambda: numbers.items() <= stats(host).items(), f"{numbers}")


def test_all_are_plain_numbers(host: Server) -> None:
    told = stats(host)
    assert {name: type(value) for name, value in told.items()} == {
        "requests": int,
        "queued": int,
        "waiting": int,
        "streams": int,
        "websockets": int,
        "idle_connections": int,
        "descriptors": int,
        "descriptor_limit": int,
        "relay_longest_turn": float,
    }
    assert told["descriptor_limit"] == DESCRIPTORS


def test_requests_and_those_that_wait(host: Server, service: ServiceFactory) -> None:
    go_on = threading.Event()

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            go_on.wait(PATIENCE)
            exchange.send(OK)

    upstreams = [service(script), service(script)]
    with contextlib.ExitStack() as stack:
        clients = []
        for upstream, count, held, waits in [(upstreams[0], 3, 2, 1), (upstreams[1], 1, 3, 1)]:
            for _ in range(count):
                clients.append(stack.enter_context(Client(host.port)))
                clients[-1].send(request_bytes("GET", query_form(upstream.port, "/x")))
            wait_for(host, requests=held, queued=waits)
        go_on.set()
        assert [client.reply().body for client in clients] == [b"hi"] * 4
    wait_for(host, requests=0, queued=0)


def test_idle_connections(host: Server, service: ServiceFactory) -> None:
    before = stats(host)["idle_connections"]
    upstreams = [service(answers(OK)) for _ in range(5)]
    for upstream in upstreams * 2:
        assert get(host, upstream).body == b"hi"
    until(lambda: stats(host)["idle_connections"] == before + 5, "each is counted once")


def test_descriptors_whoever_opened_them(host: Server) -> None:
    pid = worker_of(host)
    before = settled_descriptors(pid)
    until(lambda: stats(host)["descriptors"] == before + 1, "with the visitor's own")
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(Client(host.port))
            client.send(request_bytes("GET", "/login"))
            assert client.reply().status == 200
        until(lambda: stats(host)["descriptors"] == before + 1 + 20, "20 more")


def test_one_that_was_never_asked_holds_nothing() -> None:
    proxy = PortProxy(lambda environ, start_response: [], authorizer=lambda request, target: True)
    told = proxy.stats()
    assert (told.requests, told.waiting) == (0, 0)
    with pytest.raises(AttributeError):
        told.requests = 1  # type: ignore[misc]
    proxy.close()
