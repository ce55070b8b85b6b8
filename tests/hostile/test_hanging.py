"""Services that keep silent, or nearly so: the thread that waits for them is back in time."""

from __future__ import annotations

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Reply, ask
from tests.support.patientapp import HURRY, hurried
from tests.support.ports import bound_socket
from tests.support.received import OK
from tests.support.servers import Server
from tests.support.service import Exchange, Script, answers
from tests.support.urls import query_form
from tests.support.waiting import peer_left, until

from .strain import target


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
            if exchange.peer_closed(0.05):
                return

    return script


# As many as the host has threads. Each drip would go on for half a minute.
SLOW = [
    (never, "GET"),
    (never, "POST"),
    (deaf, "GET"),
    (deaf, "POST"),
    (drips(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100), "GET"),
    (drips(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100), "POST"),
    (drips(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 600), "GET"),
    (drips(b"HTTP/1.1 100 Continue\r\n\r\n" * 24), "GET"),
]


@pytest.mark.case("no answer, a slow head, an endless head")
def test_no_head_in_time_is_504_and_the_thread_is_back(
    strained: Server, service: ServiceFactory
) -> None:
    begin = time.monotonic()

    def visit(script: Script, method: str) -> Reply:
        body = b"x" * 1000 if method == "POST" else b""
        return ask(strained.port, method, hurried(target(service(script))), body=body)

    with ThreadPoolExecutor(len(SLOW)) as pool:
        replies = list(pool.map(visit, *zip(*SLOW, strict=True)))
    assert [reply.status for reply in replies] == [504] * len(SLOW)
    assert time.monotonic() - begin > HURRY * 0.9
    assert ask(strained.port, "GET", target(service(answers(OK)))).status == 200


@pytest.mark.case("a full listen queue; errors of the system at any step")
def test_a_full_listen_queue_is_504_at_the_connect_timeout(strained: Server) -> None:
    with bound_socket() as listener, contextlib.ExitStack() as stack:
        listener.listen(0)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        path = query_form(listener.getsockname()[1], "/")
        begin = time.monotonic()
        assert ask(strained.port, "GET", hurried(path)).status == 504
        assert time.monotonic() - begin > HURRY * 0.9
