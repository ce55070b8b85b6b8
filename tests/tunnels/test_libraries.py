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

from tests.support.ports import bound_socket
from tests.support.servers import Server
from tests.support.urls import path_form
from tests.support.waiting import PATIENCE


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


@pytest.mark.case("16 MiB, fragments, pings, deflate, close codes")
@COMPRESSION
def test_messages_of_all_sizes(host: Server, compression: str | None) -> None:
    dice = random.Random(1)
    with (
        serving(echo, compression=compression) as port,
        visiting(host, port, compression=compression) as visitor,
    ):
        assert bool(visitor.protocol.extensions) == (compression is not None)
        for size in (0, 1, 125, 126, 65535, 65536, 16 << 20):
            data = dice.randbytes(size // 8) + bytes(size - size // 8)
            visitor.send(data)
            assert visitor.recv(PATIENCE) == data
        visitor.send("Grüße, 世界 \U0001f30d")
        assert visitor.recv(PATIENCE) == "Grüße, 世界 \U0001f30d"


@pytest.mark.case("16 MiB, fragments, pings, deflate, close codes")
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


@pytest.mark.case("16 MiB, fragments, pings, deflate, close codes")
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
    def tell(connection: ServerConnection) -> None:
        connection.send(repr(connection.subprotocol))

    def select(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return offered[0] if offered else None

    with serving(tell, select_subprotocol=select) as port:
        with visiting(host, port, subprotocols=["v1.token", "v0"]) as visitor:
            assert visitor.subprotocol == "v1.token"
            assert visitor.recv(PATIENCE) == "'v1.token'"
        with visiting(host, port) as visitor:
            assert visitor.subprotocol is None
            assert visitor.recv(PATIENCE) == "None"


CLOSINGS = [
    pytest.param(1000, "", id="1000"),
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


@pytest.mark.case("16 MiB, fragments, pings, deflate, close codes")
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
