"""A port whose service hangs keeps its share of the server's threads, and no more."""

from __future__ import annotations

import contextlib
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.endings import reset
from tests.support.ports import free_port
from tests.support.received import OK
from tests.support.servers import Server, gunicorn, running
from tests.support.service import Exchange, Script, Service, answers
from tests.support.urls import path_form, query_form
from tests.support.waiting import PATIENCE, peer_left, until
from tests.support.websocket import handshake, switching

from .conftest import running_host
from .strain import CHUNKED, target

# Requests that cannot leave their thread are what a cap is for; whatever the test run says.
STAYING, LEAVING = {"LEAVING": "none"}, {"LEAVING": ""}
DEFAULT = "tests.support.limitsapp:default"  # no cap of its own


class Hanging:
    """A service that answers nobody before it is `released`."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        exchange.read_head()
        while not self.released.wait(0.02):
            if peer_left(exchange.sock):
                return
        exchange.send(OK)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    one = Hanging()
    yield one
    one.released.set()


@contextlib.contextmanager
def visits(server: Server, upstream: Service, count: int) -> Iterator[list[Client]]:
    """As many requests at once, whose answers are not waited for."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in range(count)]
        for client in clients:
            client.send(request_bytes("GET", target(upstream)))
        yield clients


def assert_others_are_answered(server: Server, other: Service) -> None:
    for path in ["/login", target(other)] * 5:
        assert ask(server.port, "GET", path).status == 200


def assert_too_many(reply: Reply, upstream: Service) -> None:
    assert (reply.status, reply.value("Retry-After")) == (503, "2")
    assert reply.text == (
        f"Too many requests to the service on port {upstream.port} are in progress.\n"
        "It may be busy or stuck. Try again in a moment, or restart it.\n"
    )


@pytest.mark.case("a port that hangs does not stop the others")
@pytest.mark.promise("A service that hangs leaves threads to others")
def test_50_requests_that_hang_leave_threads_to_the_others(
    service: ServiceFactory, hanging: Hanging
) -> None:
    upstream = service(hanging)
    with (
        gunicorn(DEFAULT, threads=8, env={"PATIENCE": "60", **STAYING}) as server,
        visits(server, upstream, 50) as clients,
    ):
        assert_others_are_answered(server, service(answers(OK)))  # and nobody is released yet
        # Four are under way, three wait, and a thread is left.
        until(lambda: len(select.select([c.sock for c in clients], [], [], 0)[0]) == 43, "refusals")
        assert upstream.connections == 4
        assert_others_are_answered(server, service(answers(OK)))
        hanging.released.set()
        replies = [client.reply() for client in clients]
        refused = [reply for reply in replies if reply.status != 200]
        assert len(refused) == 43
        for reply in refused:
            assert_too_many(reply, upstream)
        assert ask(server.port, "GET", target(upstream)).status == 200


# --- Servers -------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(name: str) -> Iterator[Server]:
    """The app under another server; with 4 threads, where it has a number of them."""
    port = free_port()
    patched = ["-m", "gevent.monkey", "--module"] if name == "gevent" else ["-m"]
    with running(
        [sys.executable, *patched, "tests.support.limitsapp", name, str(port)], port, env=STAYING
    ) as it:
        yield it


@pytest.mark.promise("A service that hangs leaves threads to others")
@pytest.mark.parametrize("name", ["waitress", "cheroot", "uwsgi"])
def test_half_of_the_threads_is_left_where_their_number_is_known(
    name: str, service: ServiceFactory, hanging: Hanging
) -> None:
    upstream = service(hanging)
    with serving(name) as server, visits(server, upstream, 8):
        until(lambda: upstream.connections == 2, "two of four")
        assert_others_are_answered(server, service(answers(OK)))
        assert upstream.connections == 2
        hanging.released.set()


@pytest.mark.parametrize("name", ["werkzeug", "gevent"])
def test_there_is_no_cap_where_threads_are_not_counted(
    name: str, service: ServiceFactory, hanging: Hanging
) -> None:
    upstream = service(hanging)
    with serving(name) as server, visits(server, upstream, 30) as clients:
        until(lambda: upstream.connections == 30, "all are asked")
        hanging.released.set()
        assert [client.reply().status for client in clients] == [200] * 30


# --- Each place is given back, once --------------------------------------------------------------


@pytest.fixture(scope="module")
def one_each() -> Iterator[Server]:
    """One request per port at a time."""
    with running_host("tests.hostile.hosts:one_each", env=STAYING) as server:
        yield server
        assert "Traceback" not in server.output()


@pytest.fixture(scope="module")
def one_each_leaving() -> Iterator[Server]:
    """The same, where requests leave their thread."""
    with running_host("tests.hostile.hosts:one_each", env=LEAVING) as server:
        yield server
        assert "Traceback" not in server.output()


def test_each_port_has_a_cap_of_its_own(
    one_each: Server, service: ServiceFactory, hanging: Hanging
) -> None:
    port_a, port_b = service(hanging), service(hanging)
    with visits(one_each, port_a, 1) as a, visits(one_each, port_b, 1) as b:
        until(lambda: (port_a.connections, port_b.connections) == (1, 1), "both are asked")
        for upstream in (port_a, port_b):
            assert_too_many(ask(one_each.port, "GET", target(upstream)), upstream)
        hanging.released.set()
        assert [client.reply().status for client in (*a, *b)] == [200, 200]


EVENTS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"9\r\ndata: 1\n\n\r\n"
)
Visit = Callable[[Client, Service], object]


def asks(client: Client, upstream: Service) -> None:
    client.send(request_bytes("GET", target(upstream)))
    client.reply()


def leaves(client: Client, upstream: Service) -> None:
    """Before an answer."""
    client.send(request_bytes("GET", target(upstream)))
    until(lambda: upstream.heads, "it is asked")


def leaves_a_body(client: Client, upstream: Service) -> None:
    client.send(request_bytes("GET", target(upstream)))
    client.read_head()
    reset(client.sock)


def uploads_no_chunks(client: Client, upstream: Service) -> None:
    headers = [("Transfer-Encoding", "chunked")]
    client.send(request_bytes("POST", target(upstream), headers=headers) + b"zz\r\n")
    client.fill()


def silent(exchange: Exchange) -> None:
    exchange.read_head()
    until(lambda: peer_left(exchange.sock), "the proxy leaves", 30)


def streams(exchange: Exchange) -> None:
    exchange.read_head()
    exchange.send(CHUNKED)
    while not peer_left(exchange.sock):
        exchange.send(chunk(b"x" * 1000))
        time.sleep(0.01)  # a service that is no flood


# All other ways in which a request ends: http/test_metrics, http/test_account.
WAYS: dict[str, tuple[Script, Visit]] = {
    "answer": (answers(OK, keep_open=False), asks),
    "refused": (answers(b"SSH-2.0\r\n", keep_open=False), asks),
    "cut": (answers(CHUNKED + b"5\r\nhel", keep_open=False), asks),
    "left-before-the-head": (silent, leaves),
    "left-in-the-body": (streams, leaves_a_body),
    "malformed-upload": (silent, uploads_no_chunks),
}


@pytest.mark.parametrize(("script", "visit"), WAYS.values(), ids=WAYS)
def test_a_place_is_given_back_once_however_a_request_ends(
    one_each: Server, service: ServiceFactory, script: Script, visit: Visit
) -> None:
    ended, let_go = threading.Event(), threading.Event()

    def service_script(exchange: Exchange) -> None:
        """`script` at first, then one request that hangs, and all others are answered."""
        if not ended.is_set():
            script(exchange)
            return
        if b"hang" in exchange.read_head():
            let_go.wait(PATIENCE)
        exchange.send(OK)

    upstream = service(service_script)
    with Client(one_each.port) as client:
        visit(client, upstream)
    ended.set()
    until(lambda: ask(one_each.port, "GET", target(upstream)).status == 200, "there is a place")
    with contextlib.ExitStack() as stack:

        def hanging_one() -> Client | None:
            client = stack.enter_context(Client(one_each.port))
            client.send(request_bytes("GET", query_form(upstream.port, "/hang")))
            until(lambda: hangs() or select.select([client.sock], [], [], 0)[0], "it is served")
            return client if hangs() else None  # the place may not be back yet

        def hangs() -> bool:
            return any(b"hang" in head for head in upstream.heads)

        holder = until(hanging_one, "one hangs")
        assert holder is not None
        assert ask(one_each.port, "GET", target(upstream)).status == 503  # there is one, not two
        let_go.set()
        assert holder.reply().status == 200
    until(lambda: ask(one_each.port, "GET", target(upstream)).status == 200, "and it is back")


@pytest.mark.parametrize("kind", ["websocket", "events"])
def test_what_left_its_thread_takes_no_place(
    one_each_leaving: Server, service: ServiceFactory, kind: str
) -> None:
    def script(exchange: Exchange) -> None:
        head = exchange.read_head()
        if b"/begin" not in head:
            exchange.send(OK)
            return
        exchange.send(switching(head) if kind == "websocket" else EVENTS)
        exchange.peer_closed(30)

    upstream = service(script)
    begin = path_form(upstream.port, "/begin")
    with Client(one_each_leaving.port) as client:
        client.send(handshake(begin) if kind == "websocket" else request_bytes("GET", begin))
        client.read_head()
        until(
            lambda: ask(one_each_leaving.port, "GET", target(upstream)).status == 200,
            "there is a place",
        )
        assert not peer_left(client.sock)  # and it goes on
