"""Nothing waits in a front-end: events, slow downloads, uploads, and those who leave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
from h2.connection import H2Connection
from h2.events import RemoteSettingsChanged

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk
from tests.support.service import Exchange
from tests.support.streams import CHUNKED, LENGTH, Framing
from tests.support.waiting import PATIENCE, Steps, peer_left, until

from .conftest import Front

PIECES = [b"data: %d\n\n" % number for number in range(3)]
BEGINNING = b"x" * 1000
REST = b"y" * (2 << 20)  # bytes; nginx's default refuses more than 1 MiB


@pytest.mark.parametrize(
    ("framing", "content_type"),
    [(CHUNKED, b"text/event-stream"), (CHUNKED, b"text/plain"), (LENGTH, b"text/plain")],
    ids=["events", "chunked", "length"],
)
def test_pieces_arrive_one_by_one(
    front: Front,
    visitor: httpx.Client,
    version: str,
    service: ServiceFactory,
    framing: Framing,
    content_type: bytes,
) -> None:
    """The head before the first of them; no piece is sent before the one before it arrived.

    Over HTTP/2 on TLS nginx keeps a head until something comes of the body (its pull request 808).
    """
    head = framing.head(sum(map(len, PIECES)), content_type)
    steps = Steps(head, *map(framing.encode, PIECES), framing.end)
    with_head = (front.name, version) == ("nginx", "HTTP/2")
    steps.go(2 if with_head else 1)
    with visitor.stream("GET", front.url(service(steps).port, "/x")) as answer:
        body = answer.iter_raw()
        for number, piece in enumerate(PIECES):
            if number or not with_head:
                steps.go()
            assert next(body) == piece
        steps.go(2)
        assert b"".join(body) == b""


def test_an_upload_arrives_while_it_is_sent(
    front: Front, visitor: httpx.Client, service: ServiceFactory
) -> None:
    arrived = threading.Event()
    bodies: list[bytes] = []

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        beginning = exchange.read(len(BEGINNING))
        arrived.set()
        bodies.append(beginning + exchange.read(len(REST)))
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    def slowly() -> Iterator[bytes]:
        yield BEGINNING
        assert arrived.wait(PATIENCE), "nothing reached the service"
        yield REST

    length = {"Content-Length": str(len(BEGINNING + REST))}
    url = front.url(service(script).port, "/x")
    answer = visitor.post(url, content=slowly(), headers=length)
    assert (answer.status_code, answer.text) == (200, "hi")
    assert bodies == [BEGINNING + REST]


def test_an_answer_that_begins_before_the_upload_ends_is_whole(
    front: Front, visitor: httpx.Client, service: ServiceFactory
) -> None:
    answered = threading.Event()
    size = len(BEGINNING + REST)

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(CHUNKED.head(0) + chunk(b"early "))
        answered.set()
        exchange.send(chunk(b"%d" % len(exchange.read(size))) + chunk(b""))

    def slowly() -> Iterator[bytes]:
        yield BEGINNING
        assert answered.wait(PATIENCE), "nothing reached the service"
        yield REST

    url = front.url(service(script).port, "/x")
    answer = visitor.post(url, content=slowly(), headers={"Content-Length": str(size)})
    assert (answer.status_code, answer.text) == (200, f"early {size}")


def test_a_round_trip_carries_1_mib_of_an_upload_over_http_2(front: Front) -> None:
    """As far as the front-end lets a stream go before it has heard of it (RFC 9113, section 6.9.2);
    nginx's default is 64 KiB."""
    context = front.tls.context()
    context.set_alpn_protocols(["h2"])
    connection = H2Connection()
    connection.initiate_connection()
    with (
        socket.create_connection(("127.0.0.1", front.server.port), PATIENCE) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as tls,
    ):
        tls.sendall(connection.data_to_send())
        while not any(
            isinstance(event, RemoteSettingsChanged)
            for event in connection.receive_data(tls.recv(65536))
        ):
            pass
    assert connection.remote_settings.initial_window_size >= 1 << 20


def test_the_service_hears_that_the_visitor_left_a_silent_stream(
    front: Front, version: str, service: ServiceFactory
) -> None:
    left = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(CHUNKED.head(0, b"text/event-stream") + chunk(PIECES[0]))
        until(lambda: peer_left(exchange.sock), "the visitor leaves")
        left.set()

    port = service(script).port
    with (
        front.visited(version) as visitor,
        visitor.stream("GET", front.url(port, "/x")) as answer,
    ):
        assert next(answer.iter_raw()) == PIECES[0]
    assert left.wait(PATIENCE)
