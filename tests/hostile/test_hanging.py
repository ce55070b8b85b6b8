"""Services that keep silent, or nearly so: the thread that waits for them is back in time."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, ask, request_bytes
from tests.support.ports import bound_socket
from tests.support.received import OK
from tests.support.servers import Server
from tests.support.service import Exchange, Script, answers
from tests.support.waiting import peer_left, until

from .strain import HEAD_TIMEOUT, OK_LINE, PATIENT, all_at_once, target


def never(exchange: Exchange) -> None:
    """Reads, and says nothing."""
    while exchange.sock.recv(65536):
        pass


def deaf(exchange: Exchange) -> None:
    """Does not even read."""
    until(lambda: peer_left(exchange.sock), "the proxy gives up")


def drips(data: bytes) -> Script:
    """Sends `data` byte by byte, slowly, for as long as it is listened to."""

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        for position in range(len(data)):
            exchange.send(data[position : position + 1])
            if exchange.peer_closed(0.1):
                return

    return script


@pytest.mark.parametrize(
    ("script", "method"),
    [
        pytest.param(never, "GET", id="silence"),
        pytest.param(never, "POST", id="silence-to-an-upload"),
        pytest.param(deaf, "POST", id="deaf"),
        pytest.param(
            drips(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100), "GET", id="drips-of-fields"
        ),
        pytest.param(drips(OK_LINE + b"A: " + b"x" * 600), "GET", id="drips-of-a-field"),
        pytest.param(drips(b"HTTP/1.1 100 Continue\r\n\r\n" * 9), "GET", id="drips-of-interims"),
    ],
)
def test_no_head_in_time_is_504_and_the_thread_is_back(
    strained: Server, service: ServiceFactory, script: Script, method: str
) -> None:
    upstream = service(script)
    begin = time.monotonic()

    def visit() -> None:
        body = b"x" * 1000 if method == "POST" else b""
        assert ask(strained.port, method, target(upstream), body=body).status == 504

    all_at_once(8, visit)  # as many as the host has threads
    assert HEAD_TIMEOUT * 0.9 < time.monotonic() - begin < PATIENT
    assert ask(strained.port, "GET", target(service(answers(OK)))).status == 200


def test_a_service_that_hangs_does_not_keep_the_app_from_its_own_pages(
    strained: Server, service: ServiceFactory
) -> None:
    hanging, quick = service(never), service(answers(OK))
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(Client(strained.port))
            client.send(request_bytes("GET", target(hanging)))
        until(lambda: hanging.connections == 4, "four requests hang")
        begin = time.monotonic()
        for _ in range(10):
            assert ask(strained.port, "GET", "/login").status == 200
            assert ask(strained.port, "GET", target(quick)).status == 200
        assert time.monotonic() - begin < PATIENT  # it would be 40 s if they waited


@pytest.fixture
def full_queue() -> Iterator[int]:
    """A port whose listener accepts nobody, and whose queue is full."""
    with bound_socket() as listener, contextlib.ExitStack() as stack:
        listener.listen(0)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_full_listen_queue_is_504_at_the_connect_timeout(
    strained: Server, full_queue: int
) -> None:
    begin = time.monotonic()
    reply = ask(strained.port, "GET", f"/alice/vision/?port={full_queue}")
    assert reply.status == 504
    assert 0.8 < time.monotonic() - begin < PATIENT  # the limit is 1 s
