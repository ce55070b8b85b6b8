"""A port whose service hangs keeps its share of the server's threads, and no more."""

from __future__ import annotations

import contextlib
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.ports import free_port
from tests.support.received import OK
from tests.support.servers import Server, gunicorn, running
from tests.support.service import Exchange, Script, Service, answers
from tests.support.urls import path_form
from tests.support.waiting import PATIENCE, Steps, peer_left, until
from tests.support.websocket import Visitor, echoing

from .strain import reset, target

THREADS = 8


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


def seconds_of(server: Server, path: str) -> float:
    begin = time.monotonic()
    assert ask(server.port, "GET", path).status == 200
    return time.monotonic() - begin


def assert_too_many(reply: Reply, upstream: Service) -> None:
    assert (reply.status, reply.value("Retry-After")) == (503, "2")
    assert reply.text == (
        f"Too many requests to the service on port {upstream.port} are under way.\n"
        "It may be busy or stuck. Try again in a moment, or restart it.\n"
    )


def test_50_requests_that_hang_leave_the_others_their_latency(
    service: ServiceFactory, hanging: Hanging
) -> None:
    port_a, port_b = service(hanging), service(answers(OK))
    with gunicorn("tests.support.limitsapp:default", threads=THREADS) as server:
        paths = ["/login", target(port_b)] * 20
        before = [seconds_of(server, path) for path in paths]
        with visits(server, port_a, 50) as clients:
            first = seconds_of(server, target(port_b))  # at worst when all threads have just begun
            during = [seconds_of(server, path) for path in paths]
            for client in clients:
                client.sock.settimeout(0.01)
            until(lambda: sum(bool(c.buffer) or has_come(c) for c in clients) == 46, "46 refusals")
            assert port_a.connections == THREADS // 2
            hanging.released.set()
            for client in clients:
                client.sock.settimeout(PATIENCE)
            replies = [client.reply() for client in clients]
        refused = [reply for reply in replies if reply.status != 200]
        assert len(refused) == 46
        for reply in refused:
            assert_too_many(reply, port_a)
        assert first < 1.0  # it would be 30 s
        assert max(during) < 0.5
        assert statistics.median(during) < 3 * statistics.median(before) + 0.01
        assert ask(server.port, "GET", target(port_a)).status == 200
        print(f"before {statistics.median(before) * 1000:.1f} ms, first {first * 1000:.0f} ms,"
              f" during {statistics.median(during) * 1000:.1f} ms, at most"
              f" {max(during) * 1000:.1f} ms")  # fmt: skip


def has_come(client: Client) -> bool:
    """Whether some of an answer is there."""
    try:
        return client.fill()
    except TimeoutError:
        return False


def test_a_quick_service_refuses_nobody_though_many_ask_at_once(service: ServiceFactory) -> None:
    def takes_a_moment(exchange: Exchange) -> None:
        while exchange.read_head():
            time.sleep(0.01)
            exchange.send(OK)

    with gunicorn("tests.support.limitsapp:default", threads=4) as server:
        for _ in range(5):
            with visits(server, service(takes_a_moment), 12) as clients:
                assert [client.reply().status for client in clients] == [200] * 12


def test_each_port_has_a_cap_of_its_own(service: ServiceFactory, hanging: Hanging) -> None:
    port_a, port_b = service(hanging), service(hanging)
    with (
        gunicorn("tests.support.limitsapp:one_each", threads=4, env={"PATIENCE": "0.3"}) as server,
        visits(server, port_a, 1),
        visits(server, port_b, 1),
    ):
        until(lambda: (port_a.connections, port_b.connections) == (1, 1), "both are asked")
        for upstream in (port_a, port_b):
            assert_too_many(ask(server.port, "GET", target(upstream)), upstream)
        hanging.released.set()


# --- Servers -------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(name: str) -> Iterator[Server]:
    """The app with no cap of its own; 4 threads, where the server has a number of them."""
    app = "tests.support.limitsapp:default"
    if name.startswith("gunicorn"):
        worker = name.removeprefix("gunicorn-")
        with gunicorn(app, worker=worker, threads=4 if worker == "gthread" else 1) as server:
            yield server
        return
    port = free_port()
    patched = ["-m", "gevent.monkey", "--module"] if name == "gevent" else ["-m"]
    with running(
        [sys.executable, *patched, "tests.support.limitsapp", name, str(port)], port
    ) as it:
        yield it


@pytest.mark.parametrize("name", ["gunicorn-gthread", "waitress", "cheroot", "uwsgi"])
def test_half_of_the_threads_is_left_where_their_number_is_known(
    name: str, service: ServiceFactory, hanging: Hanging
) -> None:
    upstream, other = service(hanging), service(answers(OK))
    with serving(name) as server, visits(server, upstream, 8):
        until(lambda: upstream.connections == 2, "two of four")
        for _ in range(5):
            assert seconds_of(server, "/login") < 2
            assert seconds_of(server, target(other)) < 2
        assert upstream.connections == 2
        hanging.released.set()


@pytest.mark.parametrize("name", ["gunicorn-gevent", "werkzeug", "gevent"])
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
    with gunicorn("tests.support.limitsapp:one_each", threads=4, env={"PATIENCE": "0.3"}) as server:
        yield server
        assert "Traceback" not in server.output()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def leaves(server: Server, path: str) -> None:
    """Goes away before an answer."""
    with Client(server.port) as client:
        client.send(request_bytes("GET", path))
        time.sleep(0.05)


def leaves_a_body(server: Server, path: str) -> None:
    with Client(server.port) as client:
        client.send(request_bytes("GET", path))
        client.read_head()
        reset(client.sock)


def asks(method: str, *, body: bytes = b"") -> Callable[[Server, str], None]:
    def visit(server: Server, path: str) -> None:
        ask(server.port, method, path, body=body)

    return visit


def uploads_too_much(server: Server, path: str) -> None:
    with Client(server.port) as client:
        client.send(request_bytes("POST", path, headers=[("Transfer-Encoding", "chunked")]))
        client.send(chunk(b"x" * 5000) + chunk(b""))
        assert client.reply().status == 413


def stops_uploading(server: Server, path: str) -> None:
    with Client(server.port) as client:
        client.send(request_bytes("POST", path, headers=[("Content-Length", "500")]) + b"x")
        time.sleep(0.05)


def sends_bad_chunks(server: Server, path: str) -> None:
    with Client(server.port) as client:
        client.send(request_bytes("POST", path, headers=[("Transfer-Encoding", "chunked")]))
        client.send(b"zz\r\n")
        client.fill()


def moves(exchange: Exchange) -> None:
    while head := exchange.read_head():
        again = b"again" in head
        exchange.send(OK if again else b"HTTP/1.1 302 x\r\nLocation: /again\r\n\r\n")
        if not again:
            return


def sends(data: bytes, *, resets: bool = False) -> Script:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(data)
        if resets:
            time.sleep(0.05)
            reset(exchange.sock)

    return script


def silent(exchange: Exchange) -> None:
    exchange.read_head()
    until(lambda: peer_left(exchange.sock), "the proxy leaves")


def streams(exchange: Exchange) -> None:
    exchange.read_head()
    exchange.send(CHUNKED + chunk(b"first"))
    until(lambda: peer_left(exchange.sock), "the proxy leaves")


WAYS = {
    "answer": (answers(OK, keep_open=False), asks("GET")),
    "head": (
        answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", keep_open=False),
        asks("HEAD"),
    ),
    "204": (answers(b"HTTP/1.1 204 No Content\r\n\r\n", keep_open=False), asks("GET")),
    "304": (
        answers(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", keep_open=False),
        asks("GET"),
    ),
    "upload": (answers(OK, keep_open=False), asks("POST", body=b"x" * 100)),
    "redirect": (moves, asks("GET")),
    "no-http": (sends(b"SSH-2.0\r\n"), asks("GET")),
    "no-answer": (sends(b"", resets=True), asks("GET")),
    "cut-in-the-head": (sends(b"HTTP/1.1 200"), asks("GET")),
    "cut-in-the-body": (sends(CHUNKED + b"5\r\nhel"), asks("GET")),
    "reset-in-the-body": (sends(CHUNKED + b"5\r\nhel", resets=True), asks("GET")),
    "bad-chunks": (sends(CHUNKED + b"zz\r\n"), asks("GET")),
    "silence": (silent, asks("GET")),
    "left-before-the-head": (silent, leaves),
    "left-in-the-body": (streams, leaves_a_body),
    "left-in-the-upload": (silent, stops_uploading),
    "malformed-upload": (silent, sends_bad_chunks),
    "too-large-upload": (silent, uploads_too_much),
    "length-too-large": (silent, asks("POST", body=b"x" * 1001)),
}


@pytest.mark.parametrize(("script", "visit"), WAYS.values(), ids=WAYS)
def test_a_place_is_given_back_once_however_a_request_ends(
    one_each: Server,
    service: ServiceFactory,
    script: Script,
    visit: Callable[[Server, str], None],
) -> None:
    held = threading.Event()

    def service_script(exchange: Exchange) -> None:
        """`script` at first, then one request that hangs, and all others are answered."""
        if exchange.number == 0 or not held.is_set():
            script(exchange)
            return
        exchange.read_head()
        if b"hang" in exchange.requests[0]:
            until(lambda: peer_left(exchange.sock), "the visitor leaves")
        else:
            exchange.send(OK)

    upstream = service(service_script)
    visit(one_each, target(upstream))
    held.set()
    until(lambda: ask(one_each.port, "GET", target(upstream)).status == 200, "there is a place")
    with Client(one_each.port) as client:
        client.send(request_bytes("GET", f"/alice/vision/hang?port={upstream.port}"))
        until(lambda: any(b"hang" in head for head in upstream.heads), "it hangs")
        assert ask(one_each.port, "GET", target(upstream)).status == 503  # there is one, not two
    until(lambda: ask(one_each.port, "GET", target(upstream)).status == 200, "and it is back")


def test_nothing_listening_gives_the_place_back(one_each: Server) -> None:
    port = free_port()
    for _ in range(5):
        assert ask(one_each.port, "GET", f"/alice/vision/?port={port}").status == 502


def test_a_websocket_that_left_its_thread_takes_no_place(
    one_each: Server, service: ServiceFactory
) -> None:
    upstream = service(echoing)
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            visitor = stack.enter_context(Visitor(one_each.port))
            visitor.open(path_form(upstream.port, "/socket"))
            visitor.says_and_hears()


def test_a_stream_that_left_its_thread_takes_no_place(
    one_each: Server, service: ServiceFactory
) -> None:
    steps = [Steps(CHUNKED.replace(b"OK\r\n", b"OK\r\nContent-Type: text/event-stream\r\n"),
                   chunk(b"data: 1\n\n")) for _ in range(5)]  # fmt: skip
    upstream = service(lambda exchange: steps[exchange.number](exchange))
    with contextlib.ExitStack() as stack:
        for one in steps:
            client = stack.enter_context(Client(one_each.port))
            client.send(request_bytes("GET", target(upstream)))
            one.go(2)
            while b"data: 1" not in client.buffer:
                assert client.fill()
