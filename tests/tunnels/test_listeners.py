"""Listeners for the port form that we open ourselves: when, how many, for how long, and what passes
through them."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.client import Client, request_bytes
from tests.support.endings import close, reset
from tests.support.portapp import NAVIGATES, OFFSET, Site, held, service_on
from tests.support.ports import bound_socket, free_port
from tests.support.procfs import children, cpu_seconds, descriptors, has_ended, worker_of
from tests.support.received import OK, Received, recording
from tests.support.servers import gunicorn
from tests.support.service import Exchange, Service, answers
from tests.support.urls import path_form, query_form
from tests.support.waiting import PATIENCE, until
from tests.support.websocket import echoing, handshake
from tests.unit.given import environ
from wsgi_portproxy import Listen
from wsgi_portproxy.locate.visit import Visit
from wsgi_portproxy.servers.listening import forget_listening, listening_at
from wsgi_portproxy.tunnel.listeners import Listeners

from .conftest import assert_clean

APP = "tests.support.portapp:listening"


@contextlib.contextmanager
def a_site(*options: str, env: dict[str, str] | None = None, **given: Any) -> Iterator[Site]:
    with held(4) as ports, gunicorn(APP, options=options, env=env, **given) as server:
        yield Site("gunicorn", server, ports.ports, on_demand=True)
        assert_clean(server)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """With two listeners at a time."""
    with a_site(env={"LISTENERS": "2"}) as one:
        yield one


def is_refused(number: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", number), timeout=10).close()
    except ConnectionRefusedError:
        return True
    return False


def is_answered(site: Site, number: int) -> bool:
    try:
        return site.ask(number, "GET", "/x").status in (200, 502)
    except OSError:
        return False


# --- When, and how many --------------------------------------------------------------------------


def test_one_is_opened_for_who_may_use_the_service_and_for_nobody_else(site: Site) -> None:
    port = site.ports[0]
    number, own = port + OFFSET, site.server.port
    assert is_refused(number)
    for cookie, status in (("user=bob", 403), ("", 403)):
        there = query_form(port, "/")
        reply = site.ask(own, "GET", there, headers=NAVIGATES, cookie=cookie)
        assert reply.status == status
    with service_on(port, answers(OK)):
        for target in (path_form(port, "/"), query_form(port, "/")):
            assert site.ask(own, "GET", target).status == 200  # a program stays where it is
        assert site.ask(own, "GET", "/x", f"localhost:{number}").status == 200
    assert is_refused(number)
    assert site.open(port) == number
    assert not is_refused(number)


def test_the_one_that_was_not_used_for_longest_is_closed_and_its_connections_go_on(
    site: Site,
) -> None:
    first, second, third = site.ports[1:]
    with contextlib.ExitStack() as stack:
        for port in (first, second, third):
            stack.enter_context(service_on(port, answers(OK)))
        with site.connect(site.open(first)) as visitor:

            def is_served() -> bool:
                visitor.send(request_bytes("GET", "/x", host=f"localhost:{first + OFFSET}"))
                return visitor.reply().body == b"hi"

            assert is_served()
            site.open(second)
            site.open(first)  # used again
            site.open(third)
            until(lambda: is_refused(second + OFFSET), "it is closed")
            assert not is_refused(first + OFFSET)
            site.open(second)
            until(lambda: is_refused(first + OFFSET), "it is closed")
            # A Host that another listener would have is looked for among the descriptors.
            site.ask(site.server.port, "GET", "/x", f"localhost:{site.ports[0] + OFFSET}")
            assert is_served(), "though nobody listens there now"
            site.open(first)
            assert is_served()


def test_a_websocket_goes_on_when_its_listener_is_closed(site: Site) -> None:
    number = site.open(site.ports[0])
    with service_on(site.ports[0], echoing), site.connect(number) as visitor:
        visitor.send(handshake("/x", host=f"localhost:{number}"))
        visitor.switched()
        for port in site.ports[1:3]:
            site.open(port)
        until(lambda: is_refused(number), "it is closed")
        visitor.says_and_hears()


def test_where_another_program_listens_the_visitor_goes_to_the_path_form(site: Site) -> None:
    port = site.ports[0]
    number = port + OFFSET
    for other in site.ports[1:3]:  # so that it is not open
        site.open(other)
    until(lambda: is_refused(number), "it is closed")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", number))
        taken.listen(1)
        reply = site.ask(site.server.port, "GET", query_form(port, "/x"), headers=NAVIGATES)
        assert (reply.status, reply.value("Location")) == (307, path_form(port, "/x"))
        line = f"cannot listen on port {number}: Address already in use"
        until(lambda: line in site.server.output(), "the log says so")
    assert site.open(port) == number


@pytest.mark.parametrize("workers", ["1", "2"])
def test_another_site_of_the_same_user_does_not_get_half_of_the_visitors(workers: str) -> None:
    with (
        a_site("--workers", workers) as site,
        gunicorn(APP, options=("--workers", workers)) as another,
        service_on(site.ports[0], answers(OK)),
    ):
        port, number = site.ports[0], site.open(site.ports[0])
        other = Site("another", another, site.ports)
        for _ in range(3):
            moved = other.ask(another.port, "GET", query_form(port, "/x"), headers=NAVIGATES)
            assert moved.value("Location") == path_form(port, "/x")
        for _ in range(5):
            assert site.open(port) == number


def test_two_workers_share_a_number() -> None:
    with a_site("--workers", "2") as site, service_on(site.ports[0], answers(OK)):
        number = site.ports[0] + OFFSET
        workers = children(site.server.pid)
        assert len(workers) == 2

        def listens() -> bool:
            """Whether both do; a visitor is sent there by either."""
            site.open(site.ports[0])
            return sum(_listens(pid, number) for pid in workers) == 2

        until(listens, "both listen")
        for _ in range(20):
            assert site.ask(number, "GET", "/x").body == b"hi"


def _listens(pid: int, number: int) -> bool:
    with open(f"/proc/{pid}/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    inodes = {row[9] for row in rows if row[3] == "0A" and row[1].endswith(f":{number:04X}")}
    held_here = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            held_here.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return bool(held_here & {f"socket:[{inode}]" for inode in inodes})


# --- The visitor's address -----------------------------------------------------------------------


class From(Client):
    """A connection from an address of this machine."""

    def __init__(self, address: str, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 30, (address, 0))
        self.buffer = b""


@pytest.mark.parametrize(
    ("worker", "version", "requests"),
    # gthread keeps it for the first request of a connection only.
    [("gthread", "v1", 1), ("gthread", "auto", 1), ("sync", "v1", 1), ("gevent", "auto", 3)],
)
def test_the_server_is_told_the_visitors_address(worker: str, version: str, requests: int) -> None:
    seen: list[Received] = []
    options = ("--proxy-protocol", version)
    with (
        a_site(*options, env={"PROXY_PROTOCOL": "1"}, worker=worker) as site,
        service_on(site.ports[0], recording(seen)),
    ):
        number = site.open(site.ports[0])
        with From("127.0.0.5", number) as visitor:
            for _ in range(requests):
                visitor.send(request_bytes("GET", "/x", host=f"localhost:{number}"))
                assert visitor.reply().status == 200
    assert [one.values("X-Forwarded-For") for one in seen] == [["127.0.0.5"]] * requests


def test_without_it_visitors_come_from_this_machine(site: Site) -> None:
    seen: list[Received] = []
    with service_on(site.ports[0], recording(seen)):
        number = site.open(site.ports[0])
        with From("127.0.0.5", number) as visitor:
            visitor.send(request_bytes("GET", "/x", host=f"localhost:{number}"))
            assert visitor.reply().status == 200
    assert seen[0].values("X-Forwarded-For") == ["127.0.0.1"]


# --- When things run out -------------------------------------------------------------------------


def test_where_descriptors_are_scarce_the_server_keeps_some_and_nothing_spins() -> None:
    with a_site() as site, service_on(site.ports[0], answers(OK)):
        number = site.open(site.ports[0])
        pid = worker_of(site.server)
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (100, hard))
        with contextlib.ExitStack() as stack:
            for _ in range(50):  # each takes three, of which one is the server's
                stack.enter_context(socket.create_connection(("127.0.0.1", number), 10))
            until(lambda: descriptors(pid) > 70, "some are accepted")
            time.sleep(0.5)  # what is measured: how much is done while nothing can be
            before = cpu_seconds(pid)
            time.sleep(1.5)
            assert cpu_seconds(pid) - before < 0.4
            assert site.ask(site.server.port, "GET", "/login").status == 200
            assert descriptors(pid) < 100
        until(lambda: is_answered(site, number), "it accepts again")
        assert worker_of(site.server) == pid


def test_a_process_that_ends_does_not_wait_for_its_listeners() -> None:
    with a_site("--graceful-timeout", "25") as site:
        number = site.open(site.ports[0])
        with service_on(site.ports[0], answers(OK)), site.connect(number) as visitor:
            visitor.send(request_bytes("GET", "/x", host=f"localhost:{number}"))
            assert visitor.reply().body == b"hi"
            with site.connect(number):  # and one that says nothing
                worker = worker_of(site.server)
                begin = time.monotonic()
                os.kill(site.server.pid, signal.SIGTERM)
                until(lambda: has_ended(worker), "the worker has ended")
                assert time.monotonic() - begin < 12
        until(lambda: is_refused(number), "nobody listens")


def test_a_worker_that_is_replaced_leaves_the_number_to_the_next() -> None:
    with a_site() as site, service_on(site.ports[0], answers(OK)):
        number = site.open(site.ports[0])
        old = worker_of(site.server)
        os.kill(site.server.pid, signal.SIGHUP)
        until(lambda: has_ended(old), "it has ended")
        until(lambda: is_refused(number), "nobody listens")
        site.open(site.ports[0])
        assert site.ask(number, "GET", "/x").body == b"hi"


# --- In this process: what passes ----------------------------------------------------------------


class Opened:
    """Listeners of this process, in front of a scripted server."""

    def __init__(self, server: Service, **settings: Any) -> None:
        self.listeners = Listeners(Listen(**settings))
        reached = (socket.AF_INET, ("127.0.0.1", server.port))
        visit: Any = SimpleNamespace(reached=reached, environ={"wsgi.multiprocess": True})
        self.visit = visit
        self.number = free_port()

    def open(self, number: int | None = None) -> bool:
        return self.listeners.open(number or self.number, self.visit)


@contextlib.contextmanager
def opened(script: Any, **settings: Any) -> Iterator[Opened]:
    server = Service(script)
    one = Opened(server, **settings)
    try:
        assert one.open()
        yield one
    finally:
        one.listeners.close()
        until(lambda: is_refused(one.number), "it is closed")
        server.close()


def shout(exchange: Exchange) -> None:
    """All bytes come back in upper case, until the visitor has no more."""
    while data := exchange.sock.recv(65536):
        exchange.send(data.upper())
    exchange.send(b"over")


def test_bytes_pass_as_they_are() -> None:
    payload = bytes(range(97, 123)) * 100_000
    with opened(shout) as one, Client(one.number) as visitor:
        visitor.send(b"\0\xff hello")
        while len(visitor.buffer) < 8:
            assert visitor.fill()
        assert visitor.buffer == b"\0\xff HELLO"
        visitor.buffer = b""

        for begin in range(0, len(payload), 65536):
            part = payload[begin : begin + 65536]
            visitor.send(part)
            while len(visitor.buffer) < begin + len(part):
                assert visitor.fill()
        visitor.sock.shutdown(socket.SHUT_WR)
        while visitor.fill():
            pass
        assert visitor.buffer == payload.upper() + b"over"


@pytest.mark.parametrize("leave", [close, reset])
def test_whoever_leaves_the_other_hears_of_it(leave: Any) -> None:
    left: list[bool] = []

    def script(exchange: Exchange) -> None:
        exchange.send(b"hello")
        left.append(exchange.peer_closed(PATIENCE))

    with opened(script) as one, Client(one.number) as visitor:
        assert visitor.fill()
        leave(visitor.sock)
        assert until(lambda: left, "the server hears of it") == [True]

    def leaving(exchange: Exchange) -> None:
        leave(exchange.sock)

    with opened(leaving) as one, Client(one.number) as visitor:
        assert not visitor.fill()


def test_where_the_server_is_gone_the_connection_ends() -> None:
    server = Service(shout)
    one = Opened(server)
    assert one.open()
    server.close()
    with Client(one.number) as visitor:
        assert not visitor.fill()
    one.listeners.close()
    until(lambda: is_refused(one.number), "it is closed")


def test_a_closed_listener_is_gone_and_can_be_opened_anew() -> None:
    with opened(shout) as one:
        with Client(one.number) as visitor:
            visitor.send(b"a")
            assert visitor.fill()
            one.listeners.close()
            until(lambda: is_refused(one.number), "it is closed")
            visitor.send(b"a")
            assert visitor.fill()
            assert one.listeners.is_relayed(one.number)
        assert one.open()
        assert not is_refused(one.number)
        assert not one.listeners.is_relayed(one.number + 1)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it has threads
def test_a_forked_child_drops_them() -> None:
    with opened(shout) as one:
        forget_listening()
        assert listening_at(one.number) == {"127.0.0.1"}
        child = os.fork()
        if child == 0:
            kept = listening_at(one.number) or one.listeners.is_relayed(one.number)
            one.listeners.close()  # of the parent's nothing
            os._exit(1 if kept else 0)
        assert os.waitpid(child, 0)[1] == 0
        assert not is_refused(one.number)
        assert one.listeners.is_relayed(one.number)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.4", "0.0.0.0", "::1", "::"])
def test_it_listens_where_it_is_told(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    seen: list[bytes] = []

    def script(exchange: Exchange) -> None:
        seen.append(exchange.sock.recv(65536))

    server = Service(script)
    one = Opened(server, address=address, proxy_protocol=True)
    there = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    try:
        assert one.open()
        with socket.socket(family) as visitor:
            visitor.connect((there, one.number))
            own = visitor.getsockname()
            until(lambda: seen, "the server has the line")
        version = 6 if ":" in address else 4
        line = f"PROXY TCP{version} {own[0]} {there} {own[1]} {one.number}\r\n"
        assert seen == [line.encode()]
    finally:
        one.listeners.close()
        server.close()


def test_where_it_cannot_listen_it_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with opened(shout, address="127.0.0.1") as one, bound_socket() as other:
        other.listen(1)
        taken = other.getsockname()[1]
        assert not one.open(taken)
        assert not one.listeners.is_relayed(taken)
        silent: Any = SimpleNamespace(reached=None)
        assert not one.listeners.open(free_port(), silent)
        elsewhere = Listeners(Listen(address="192.0.2.7"))
        assert not elsewhere.open(free_port(), one.visit)
    texts = [record.getMessage() for record in caplog.records]
    assert [text.partition(": ")[2] for text in texts] == [
        "Address already in use",
        "the server does not show where it listens",
        "Cannot assign requested address",
    ]


def test_without_settings_nothing_is_opened() -> None:
    visit: Any = SimpleNamespace(reached=None)
    number = free_port()
    listeners = Listeners(None)
    assert listeners.open(number, visit)
    assert is_refused(number)
    assert not listeners.is_relayed(number)
    listeners.close()


def test_where_the_server_was_reached_is_known_after_a_request_has_left_it() -> None:
    """A page that takes long may turn out to need a root of its own."""
    with bound_socket() as sock:
        fields: Any = {"gunicorn.socket": sock}
        visit = Visit(environ(**fields))
        reached = (socket.AF_INET, sock.getsockname())
        visit.forget_server(lambda headers: None)
    assert visit.socket is None
    assert visit.reached == reached
    assert Visit(environ()).reached is None
