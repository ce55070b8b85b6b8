"""What lasts is judged again: WebSockets, streams and waiting requests of visitors who lose access.

On servers where they leave their thread, and where they keep it.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.chosen import settings
from tests.support.chunks import chunk
from tests.support.client import Client, ask, request_bytes
from tests.support.ports import free_port
from tests.support.servers import Server, running
from tests.support.service import Exchange
from tests.support.streams import CHUNKED, LENGTH, Framing, StreamVisitor
from tests.support.urls import path_form
from tests.support.waiting import PATIENCE, peer_left, until
from tests.support.waitingapp import RECHECK
from tests.support.websocket import (
    BINARY,
    CLOSE,
    Frame,
    Visitor,
    accepting,
    close_frame,
    echoing,
    frame,
    handshake,
)

SERVERS = ["gunicorn-gthread", "waitress", "gunicorn-gevent"]
NO_ACCESS = Frame(0x80 | CLOSE, close_frame(1008)[2:])
# An authorizer that fails on purpose, and how waitress tells that a response was cut.
DELIBERATE = ("RuntimeError: a database is down", "AuthorizerFailed", "ProtocolError", "Truncated",
              "ConnectionResetError: [Errno 104] the")  # fmt: skip
STAYS, LEAVES = "staying", "asking"
APPS = pytest.mark.parametrize("app", [LEAVES, STAYS])


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    yield from started(request.param)


@pytest.fixture(scope="module")
def behind_tls(certificate: tuple[str, str]) -> Iterator[Server]:
    yield from started("gunicorn-gthread-tls", *certificate)


def started(name: str, *paths: str) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "tests.support.waitingapp", name, str(port), *paths]

    def probe(port: int) -> None:
        Client(port).close()

    with running(command, port, env={"LEAVING": ""}, probe=probe) as one:
        yield one
        told = one.output().split("Traceback (most recent call last):")[1:]
        assert all(any(sign in text for sign in DELIBERATE) for text in told), told


def page(server: Server, target: str) -> str:
    reply = ask(server.port, "GET", target)
    assert reply.status == 200
    return reply.text


@pytest.fixture
def user(server: Server) -> Iterator[str]:
    """One of her own for each test, who is allowed."""
    name = f"user{threading.get_native_id()}"
    page(server, f"/allow?user={name}")
    yield name
    page(server, f"/allow?user={name}")


def open_socket(server: Server, port: int, user: str, app: str) -> Visitor:
    visitor = Visitor(server.port)
    visitor.send(handshake(path_form(port, "/x"), settings(app), cookie=f"user={user}"))
    visitor.switched()
    visitor.says_and_hears()
    return visitor


# --- Asked again


@pytest.mark.case("an account that is switched off while a WebSocket is open")
@pytest.mark.promise("What lasts ends when the visitor loses access")
@APPS
def test_a_websocket_is_closed(
    server: Server, service: ServiceFactory, user: str, app: str
) -> None:
    upstream = service(echoing)
    with open_socket(server, upstream.port, user, app) as visitor:
        threading.Event().wait(3 * RECHECK)
        visitor.says_and_hears(b"still allowed")
        page(server, f"/forbid?user={user}")
        assert visitor.frame() == NO_ACCESS
        visitor.send_frame(BINARY, b"one command more")
        visitor.send_close(1008)
        assert visitor.frame() is None
        # Its script ends then, which closes the connection.
        until(lambda: upstream.exchanges[0].sock.fileno() < 0, "the service hears of it")
    assert "loses its access" in server.output()


@pytest.mark.parametrize("framing", [CHUNKED, LENGTH], ids=repr)
@pytest.mark.parametrize("content_type", [b"text/event-stream", b"application/zip"])
@APPS
def test_a_stream_is_cut(
    server: Server,
    service: ServiceFactory,
    user: str,
    app: str,
    framing: Framing,
    content_type: bytes,
) -> None:
    released = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(framing.head(1000, content_type) + framing.encode(b"data: 1\n\n"))
        released.wait(PATIENCE)

    with StreamVisitor(server.port) as visitor:
        target = path_form(service(script).port, "/x")
        cookie = f"user={user}"
        visitor.send(request_bytes("GET", target, headers=settings(app), cookie=cookie))
        visitor.read_until(b"data: 1\n\n")
        page(server, f"/forbid?user={user}")
        while visitor.fill():
            pass
        assert b"0\r\n\r\n" not in visitor.buffer
    released.set()


def test_a_request_that_waits_is_refused(
    server: Server, service: ServiceFactory, user: str
) -> None:
    released = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        while not (released.wait(0.02) or peer_left(exchange.sock)):
            pass

    upstream = service(script)
    with Client(server.port, timeout=PATIENCE) as client:
        cookie = f"user={user}"
        target = path_form(upstream.port, "/x")
        client.send(request_bytes("GET", target, headers=settings(LEAVES), cookie=cookie))
        until(lambda: upstream.heads, "it is asked")
        page(server, f"/forbid?user={user}")
        if "gevent" in server.output():  # there it keeps its greenlet, and is not looked at
            released.set()
            assert client.reply().status == 502
            return
        reply = client.reply()
        assert (reply.status, reply.text) == (403, "You no longer have access to this service.\n")
        # Its script ends then, which closes the connection.
        until(lambda: upstream.exchanges[0].sock.fileno() < 0, "the service hears of it")
    released.set()


def test_without_a_verdict_it_goes_on_until_there_is_one(
    server: Server, service: ServiceFactory, user: str
) -> None:
    with open_socket(server, service(echoing).port, user, LEAVES) as visitor:
        page(server, f"/fail?user={user}")
        until(lambda: "no verdict on an open request" in server.output(), "it is asked again")
        visitor.says_and_hears(b"and still open")
        page(server, f"/allow?user={user}")
        page(server, f"/forbid?user={user}")
        assert visitor.frame() == NO_ACCESS


def test_it_waits_for_the_end_of_a_frame(
    server: Server, service: ServiceFactory, user: str
) -> None:
    whole = frame(BINARY, b"x" * 100)
    go_on = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.send(whole[:50])
        go_on.wait(PATIENCE)
        exchange.send(whole[50:] + whole)
        exchange.peer_closed(PATIENCE)

    upstream = service(accepting(script))
    with Visitor(server.port) as visitor:
        cookie = f"user={user}"
        visitor.send(handshake(path_form(upstream.port, "/x"), settings("plain"), cookie=cookie))
        visitor.switched()
        until(lambda: visitor.buffer or visitor.fill(), "half a frame")
        assert page(server, f"/revoke?user={user}") == "1"
        threading.Event().wait(0.2)
        go_on.set()
        received = []
        while (one := visitor.frame()) is not None:
            received.append(one)
            if one.opcode == CLOSE:
                visitor.send_close(1008)
        assert received[-1] == NO_ACCESS
        assert set(received[:-1]) == {Frame(0x80 | BINARY, b"x" * 100)}


def test_behind_tls_that_python_ends(
    behind_tls: Server, service: ServiceFactory, tls: object
) -> None:
    with contextlib.ExitStack() as stack:
        upstream = service(echoing)

        def visiting() -> Visitor:
            return stack.enter_context(Visitor(behind_tls.port, tls=tls))  # type: ignore[arg-type]

        visitor, other = visiting(), visiting()
        target = path_form(upstream.port, "/x")
        visitor.send(handshake(target, settings(LEAVES), cookie="user=mallory"))
        visitor.switched()
        visitor.says_and_hears()
        other.send(request_bytes("GET", "/forbid?user=mallory"))
        assert other.reply().text == "done"
        assert visitor.frame() == NO_ACCESS
        assert visitor.frame() is None


# --- Revoked


def test_revoke_by_visitor_port_and_parameters(
    server: Server, service: ServiceFactory, user: str
) -> None:
    first, second = service(echoing), service(echoing)
    with contextlib.ExitStack() as stack:

        def visiting(port: int, name: str) -> Visitor:
            return stack.enter_context(open_socket(server, port, name, "plain"))

        mine, my_other = visiting(first.port, user), visiting(second.port, user)
        theirs = visiting(first.port, "somebody")
        assert page(server, f"/revoke?user=nobody&port={first.port}") == "0"
        assert page(server, f"/revoke?port={first.port}&project=other") == "0"
        assert page(server, f"/revoke?user={user}&port={first.port}&username=alice") == "1"
        assert mine.frame() == NO_ACCESS
        my_other.says_and_hears()
        theirs.says_and_hears()
        assert page(server, f"/revoke?port={first.port}") == "1"
        assert theirs.frame() == NO_ACCESS
        my_other.says_and_hears()
        assert page(server, f"/revoke?user={user}") == "1"
        assert my_other.frame() == NO_ACCESS
        for visitor in (mine, my_other, theirs):
            visitor.send_close(1008)
            assert visitor.frame() is None


def test_a_download_that_is_revoked_looks_broken(
    server: Server, service: ServiceFactory, user: str
) -> None:
    released = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 10))
        released.wait(PATIENCE)

    with StreamVisitor(server.port) as visitor:
        target = path_form(service(script).port, "/x")
        visitor.send(request_bytes("GET", target, cookie=f"user={user}"))
        visitor.read_until(b"x" * 10)
        assert page(server, f"/revoke?user={user}") == "1"
        while visitor.fill():
            pass
        assert b"0\r\n\r\n" not in visitor.buffer
    released.set()
