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
from typing import Any

import pytest

from tests.support.client import Client, request_bytes
from tests.support.portapp import NAVIGATES, OFFSET, Site, held, service_on
from tests.support.procfs import children, cpu_seconds, descriptors, has_ended, worker_of
from tests.support.received import OK, Received, recording
from tests.support.servers import gunicorn
from tests.support.service import answers
from tests.support.urls import path_form, query_form
from tests.support.waiting import until
from tests.support.websocket import echoing, handshake

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
    except ConnectionResetError:  # just while it was closed
        return False
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
        idle = descriptors(pid)
        with contextlib.ExitStack() as stack:
            for _ in range(50):  # each takes three, of which one is the server's
                stack.enter_context(socket.create_connection(("127.0.0.1", number), 10))
            until(lambda: descriptors(pid) > idle + 9, "some are accepted")
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
