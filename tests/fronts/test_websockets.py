"""WebSockets over TLS."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.conftest import ServiceFactory
from tests.support.service import Exchange
from tests.support.urls import path_form
from tests.support.websocket import Visitor, accepting, echo, echoing, handshake

from .conftest import Front, many_descriptors, started

MANY = 400  # two connections each: more than the 768 that Debian's nginx.conf allows


def opening(front: Front, port: int, origin: str) -> AbstractContextManager[ClientConnection]:
    connection: AbstractContextManager[ClientConnection] = connect(
        front.url(port, "/socket").replace("https:", "wss:", 1),
        ssl=front.tls.context(),
        origin=Origin(origin),
        additional_headers={"Cookie": "user=alice"},
        proxy=None,
        max_size=None,
        compression=None,
    )
    return connection


def test_a_message_of_1_mib_comes_back(front: Front, service: ServiceFactory) -> None:
    message = bytes(range(256)) * 4096
    with opening(front, service(echoing).port, front.origin) as connection:
        for text in ("hello", "hello again"):
            connection.send(text)
            assert connection.recv() == text
        connection.send(message)
        assert connection.recv() == message


@pytest.mark.parametrize("origin", ["http://{}", "https://evil.test", "https://localhost"])
def test_a_foreign_page_opens_none(front: Front, service: ServiceFactory, origin: str) -> None:
    upstream = service(echoing)
    with (
        pytest.raises(InvalidStatus) as refused,
        opening(front, upstream.port, origin.format(front.authority)),
    ):
        pass
    assert refused.value.response.status_code == 403
    assert upstream.connections == 0


def test_reloading_the_front_end_leaves_them_open(front: Front, service: ServiceFactory) -> None:
    with (
        started(front.name, front.behind, front.tls) as another,
        opening(another, service(echoing).port, another.origin) as connection,
    ):
        connection.send("before")
        assert connection.recv() == "before"
        another.server.reload()
        connection.send("after")
        assert connection.recv() == "after"


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set when the test is."""
    event = threading.Event()
    yield event
    event.set()


def test_400_are_open_at_a_time(
    front: Front, service: ServiceFactory, over: threading.Event
) -> None:
    def one(exchange: Exchange) -> None:
        if exchange.number == MANY - 1:
            echo(exchange)
        else:
            over.wait()

    port = service(accepting(one)).port
    context = front.tls.context()
    with many_descriptors(), ExitStack() as stack:
        for _ in range(MANY):
            visitor = Visitor(front.server.port, tls=context)
            stack.callback(visitor.close)
            visitor.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            visitor.send(handshake(path_form(port, "/socket"), host=front.authority))
            visitor.switched()
        visitor.says_and_hears()
        over.set()
