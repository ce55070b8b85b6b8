"""A host whose requests leave their thread, and services that are slow on purpose."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.support.chunks import Dechunker
from tests.support.client import Client, ask
from tests.support.ports import free_port
from tests.support.servers import Server, running
from tests.support.service import Exchange
from tests.support.waiting import PATIENCE

AT_ONCE = 30  # many times the threads of any server here
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ERRORS = ("Traceback", "Exception ignored", "[ERROR]")
BODY = bytes(range(256)) * 40


@contextlib.contextmanager
def serving(name: str, **env: str) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "tests.support.waitingapp", name, str(port)]
    with running(command, port, env={"LEAVING": "", **env}) as server:
        yield server
        output = server.output()
        assert not any(sign in output for sign in ERRORS), output[-4000:]


def on(names: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("server", names, indirect=True)


def hanging(let_go: threading.Event) -> Callable[[Exchange], None]:
    """Answers once it is let go, with what it was sent."""

    def script(exchange: Exchange) -> None:
        body = body_of(exchange, exchange.read_head())
        let_go.wait(PATIENCE)
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    return script


def silent(exchange: Exchange) -> None:
    """Answers nobody."""
    exchange.read_head()
    while exchange.sock.recv(65536):
        pass


def body_of(exchange: Exchange, head: bytes) -> bytes:
    if b"\r\nTransfer-Encoding: chunked\r\n" in head:
        dechunker = Dechunker()
        body = dechunker.feed(exchange.buffer)
        while not dechunker.complete:
            data = exchange.sock.recv(65536)
            assert data, "the upload ended early"
            body += dechunker.feed(data)
        return body
    length = head.partition(b"\r\nContent-Length: ")[2].partition(b"\r\n")[0]
    return exchange.read(int(length or 0))


def assert_the_app_answers(server: Server) -> None:
    for _ in range(5):
        assert ask(server.port, "GET", "/login").status == 200


@contextlib.contextmanager
def clients(server: Server, requests: list[bytes]) -> Iterator[list[Client]]:
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(Client(server.port, timeout=PATIENCE)) for _ in requests]
        for client, request in zip(made, requests, strict=True):
            client.send(request)
        yield made
