"""Real WebSocket libraries on both sides of a tunnel notice nothing of it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol
from wsproto import WSConnection
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

from tests.conftest import ServiceFactory
from tests.support.ports import bound_socket
from tests.support.servers import Server
from tests.support.service import Exchange
from tests.support.urls import path_form

PATIENCE = 10.0


@contextmanager
def serving(handler: Callable[[ServerConnection], None], **settings: Any) -> Iterator[int]:
    """The port of a service made with the websockets library."""
    sock = bound_socket()
    sock.listen()
    with serve(handler, sock=sock, max_size=None, **settings) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield sock.getsockname()[1]
        server.shutdown()
    thread.join(PATIENCE)


def visiting(
    host: Server, port: int, path: str = "/x", **settings: Any
) -> AbstractContextManager[ClientConnection]:
    """A client of the websockets library, through the tunnel, as alice."""
    connection: AbstractContextManager[ClientConnection] = connect(
        f"ws://127.0.0.1:{host.port}{path_form(port, path)}",
        additional_headers={"Cookie": "user=alice"},
        proxy=None,
        max_size=None,
        **settings,
    )
    return connection


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


COMPRESSION = pytest.mark.parametrize("compression", [None, "deflate"], ids=["plain", "deflate"])


@COMPRESSION
def test_messages_of_all_sizes(host: Server, compression: str | None) -> None:
    dice = random.Random(1)
    with (
        serving(echo, compression=compression) as port,
        visiting(host, port, compression=compression) as visitor,
    ):
        assert bool(visitor.protocol.extensions) == (compression is not None)
        for size in (0, 1, 125, 126, 65535, 65536, 1 << 20):
            data = dice.randbytes(size // 2) + bytes(size - size // 2)
            visitor.send(data)
            assert visitor.recv(PATIENCE) == data
        visitor.send("Grüße, 世界 \U0001f30d")
        assert visitor.recv(PATIENCE) == "Grüße, 世界 \U0001f30d"


@COMPRESSION
def test_a_message_of_16_mib(host: Server, compression: str | None) -> None:
    data = random.Random(2).randbytes(1 << 20) * 16
    with (
        serving(echo, compression=compression) as port,
        visiting(host, port, compression=compression) as visitor,
    ):
        visitor.send(data)
        assert visitor.recv(30) == data


@COMPRESSION
def test_fragments_stay_fragments(host: Server, compression: str | None) -> None:
    heard: list[list[str]] = []

    def reflect(connection: ServerConnection) -> None:
        parts = list(connection.recv_streaming())
        heard.append([str(part) for part in parts])
        connection.send(iter(parts))

    parts = ["one", "", "two" * 50_000, "three"]
    with (
        serving(reflect, compression=compression) as port,
        visiting(host, port, compression=compression) as visitor,
    ):
        visitor.send(iter(parts))
        answer = [str(part) for part in visitor.recv_streaming()]
    # This library ends a message that it takes from an iterator with an empty frame.
    assert heard[0] == [*parts, ""]
    assert answer == [*parts, "", ""]


def test_pings_and_pongs_both_ways(host: Server) -> None:
    answered = threading.Event()

    def ping_first(connection: ServerConnection) -> None:
        if connection.ping(b"from the service").wait(PATIENCE):
            answered.set()
        echo(connection)

    with serving(ping_first) as port, visiting(host, port) as visitor:
        assert visitor.ping(b"from the visitor").wait(PATIENCE)
        assert answered.wait(PATIENCE)
        visitor.send("after them")
        assert visitor.recv(PATIENCE) == "after them"


def test_a_subprotocol_is_agreed_on(host: Server) -> None:
    agreed: list[str | None] = []

    def note(connection: ServerConnection) -> None:
        agreed.append(connection.subprotocol)

    def select(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return offered[0] if offered else None

    with serving(note, select_subprotocol=select) as port:
        with visiting(host, port, subprotocols=["v1.token", "v0"]) as visitor:
            assert visitor.subprotocol == "v1.token"
        with visiting(host, port) as visitor:
            assert visitor.subprotocol is None
    assert agreed == ["v1.token", None]


CLOSINGS = [
    pytest.param(1000, "", id="1000"),
    pytest.param(1000, "good night", id="1000-reason"),
    pytest.param(1001, "going away", id="1001"),
    pytest.param(1011, "oops", id="1011"),
    pytest.param(3000, "registered", id="3000"),
    pytest.param(4000, "schön \U0001f44b", id="4000-unicode"),
    pytest.param(4999, "x" * 123, id="4999-longest-reason"),
]


@pytest.mark.parametrize(("code", "reason"), CLOSINGS)
def test_the_visitor_closes(host: Server, code: int, reason: str) -> None:
    heard: list[tuple[int, str]] = []
    over = threading.Event()

    def listen(connection: ServerConnection) -> None:
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(PATIENCE)
        heard.extend([received(closed.value)])
        over.set()

    with serving(listen) as port, visiting(host, port) as visitor:
        visitor.close(code, reason)
        assert over.wait(PATIENCE)
    assert heard == [(code, reason)]
    assert visitor.close_code == code  # the service's answer came back


@pytest.mark.parametrize(("code", "reason"), CLOSINGS)
def test_the_service_closes(host: Server, code: int, reason: str) -> None:
    def leave(connection: ServerConnection) -> None:
        connection.send("the last word")
        connection.close(code, reason)

    with serving(leave) as port, visiting(host, port) as visitor:
        assert visitor.recv(PATIENCE) == "the last word"
        with pytest.raises(ConnectionClosed) as closed:
            visitor.recv(PATIENCE)
    assert received(closed.value) == (code, reason)


def received(closed: ConnectionClosed) -> tuple[int, str]:
    assert closed.rcvd is not None
    return closed.rcvd.code, closed.rcvd.reason


def test_the_service_refuses(host: Server) -> None:
    def refuse(connection: ServerConnection, request: Any) -> Any:
        return connection.respond(401, "who are you?\n")

    with serving(echo, process_request=refuse) as port, pytest.raises(InvalidStatus) as refused:
        visiting(host, port).__enter__()
    assert refused.value.response.status_code == 401
    assert refused.value.response.body == b"who are you?\n"


# --- wsproto: frames as they come, whatever the message


def frame_by_frame(exchange: Exchange) -> None:
    """An echo on wsproto, which sends every piece of a message on as it was received."""
    connection = WSConnection(ConnectionType.SERVER)
    while connection.state is not ConnectionState.CLOSED:
        data = exchange.sock.recv(65536)
        connection.receive_data(data or None)
        for event in connection.events():
            exchange.send(answer(connection, event))


def answer(connection: WSConnection, event: Event) -> bytes:
    if isinstance(event, Request):
        return connection.send(AcceptConnection(extensions=[PerMessageDeflate()]))
    if isinstance(event, (TextMessage, BytesMessage)):
        return connection.send(event)
    if isinstance(event, (Ping, CloseConnection)):
        return connection.send(event.response())
    return b""


@COMPRESSION
def test_an_echo_on_wsproto(host: Server, service: ServiceFactory, compression: str | None) -> None:
    upstream = service(frame_by_frame)
    data = random.Random(3).randbytes(300_000)
    with visiting(host, upstream.port, compression=compression) as visitor:
        assert bool(visitor.protocol.extensions) == (compression is not None)
        visitor.send(data)
        assert visitor.recv(PATIENCE) == data
        visitor.send(iter(["one", "two", "three"]))
        assert visitor.recv(PATIENCE) == "onetwothree"
        assert visitor.ping().wait(PATIENCE)
        visitor.close(4001, "enough")
    assert visitor.close_code == 4001
