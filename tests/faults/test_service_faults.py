"""A service that stops, resets, hangs, drips or floods, at every byte offset of its answer.

The visitor gets a proper status or a visibly broken transfer, never half an answer that looks
whole; the connection is not used again; the next request is answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.endings import half_close, reset
from tests.support.received import OK
from tests.support.servers import Server
from tests.support.service import Exchange, Script
from tests.support.streams import StreamVisitor
from tests.support.urls import path_form, query_form
from tests.support.websocket import handshake, switching

from .offsets import at_every_offset

BODY = b"hello, world"
ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX: y\r\n\r\n" + BODY,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\nT: u\r\n\r\n",
    "close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY,
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + BODY,
}
FLOOD = b"x" * 65536
MOST = 4 << 20  # bytes of a flood, should nobody stop it

framings = pytest.mark.parametrize("framing", ANSWERS)
Fault = Callable[[Exchange, bytes], None]


def head_size(answer: bytes) -> int:
    """How many bytes come before the body, whose first chunk has a size of three bytes."""
    start = answer.index(b"hello")
    return start - 3 if b"chunked" in answer else start


def stops(exchange: Exchange, rest: bytes) -> None:
    exchange.sock.close()


def stops_sending(exchange: Exchange, rest: bytes) -> None:
    half_close(exchange.sock)
    exchange.peer_closed(5)


def resets(exchange: Exchange, rest: bytes) -> None:
    reset(exchange.sock)


def hangs(exchange: Exchange, rest: bytes) -> None:
    if not rest:
        return
    started = time.monotonic()
    assert exchange.peer_closed(5), "the proxy keeps the connection of a visitor who left"
    assert time.monotonic() - started < 3


def drips(exchange: Exchange, rest: bytes) -> None:
    time.sleep(0.002)
    exchange.send(rest)


def floods(exchange: Exchange, rest: bytes) -> None:
    for _ in range(MOST // len(FLOOD)):
        exchange.send(FLOOD)


def faulty(answers: dict[str, bytes], fault: Fault) -> Script:
    """Answers `/length/17` by the first 17 bytes of that answer and then the fault; else well."""

    def script(exchange: Exchange) -> None:
        while head := exchange.read_head():
            _, framing, offset = head.split(b" ")[1].decode().split("/")
            if framing == "well":
                exchange.send(OK)
                continue
            answer = answers[framing] if framing != "101" else switched(head)
            exchange.send(answer[: int(offset)])
            fault(exchange, answer[int(offset) :])
            if fault is not drips or framing == "close":
                return

    return script


def answer_to(client: StreamVisitor, target: str) -> Reply | None:
    """The reply; None if the connection ended without one."""
    client.ask(target)
    try:
        return client.reply()
    except ConnectionError:
        return None


@framings
@pytest.mark.parametrize("fault", [stops, stops_sending, resets, floods])
def test_a_broken_answer_is_a_502_or_looks_broken(
    bounded: Server, service: ServiceFactory, framing: str, fault: Fault
) -> None:
    upstream = service(faulty(ANSWERS, fault))
    answer = ANSWERS[framing]
    body_from = head_size(answer)

    def visit(offset: int) -> None:
        with StreamVisitor(bounded.port) as client:
            reply = answer_to(client, path_form(upstream.port, f"/{framing}/{offset}"))
        assert reply is not None
        if offset < body_from:
            assert (reply.status, reply.complete) == (502, True)
            return
        if fault is resets or (fault is floods and framing == "chunked"):
            # A reset may overtake what was sent, and a flood may come with the head.
            assert reply.status in (200, 502)
            assert reply.status == 502 or offset == len(answer) or not reply.complete
        elif fault is floods and framing != "close":  # it is the body's rest, its surplus dropped
            assert reply.complete
            assert reply.body == answer[body_from:offset] + b"x" * (len(answer) - offset)
        else:
            ended = offset == len(answer) or framing == "close"
            assert (reply.status, reply.complete) == (200, ended)
        if reply.status == 200 and reply.complete and fault is not floods:
            assert reply.body == BODY[: len(reply.body)]
            assert framing == "close" or reply.body == BODY

    at_every_offset(len(answer), visit)
    assert all(len(one.requests) == 1 for one in upstream.exchanges)
    assert ask(bounded.port, "GET", query_form(upstream.port, "/well/0")).body == b"hi"


@framings
def test_an_answer_in_two_pieces_is_whole(
    bounded: Server, service: ServiceFactory, framing: str
) -> None:
    upstream = service(faulty(ANSWERS, drips))

    def visit(offset: int) -> None:
        for form in (path_form, query_form):
            reply = ask(bounded.port, "GET", form(upstream.port, f"/{framing}/{offset}"))
            assert (reply.status, reply.body, reply.complete) == (200, BODY, True)

    at_every_offset(len(ANSWERS[framing]), visit)


@framings
def test_a_hanging_answer_is_a_504_or_ends_with_its_visitor(
    impatient: Server, service: ServiceFactory, framing: str
) -> None:
    upstream = service(faulty(ANSWERS, hangs))
    answer = ANSWERS[framing]
    body_from = head_size(answer)

    def visit(offset: int) -> None:
        with Client(impatient.port) as client:
            client.send(request_bytes("GET", path_form(upstream.port, f"/{framing}/{offset}")))
            while (head := client.read_head()).startswith(b"HTTP/1.1 103 "):
                pass
            if offset < body_from:
                assert head.startswith(b"HTTP/1.1 504 ")
            else:
                assert head.startswith(b"HTTP/1.1 200 ")

    at_every_offset(len(answer), visit)
    assert all(len(one.requests) == 1 for one in upstream.exchanges)
    assert ask(impatient.port, "GET", query_form(upstream.port, "/well/0")).body == b"hi"


# --- WebSockets ----------------------------------------------------------------------------------

FRAME = b"\x82\x05hello"


def switched(head: bytes) -> bytes:
    return switching(head) + FRAME


@pytest.mark.parametrize("fault", [stops, resets, drips, floods])
def test_a_handshake_that_breaks_is_a_502_and_a_tunnel_ends_with_the_service(
    bounded: Server, service: ServiceFactory, fault: Fault
) -> None:
    upstream = service(faulty({}, fault))
    answer = switched(handshake("/"))

    def visit(offset: int) -> None:
        with Client(bounded.port) as client:
            client.send(handshake(path_form(upstream.port, f"/101/{offset}")))
            head = client.read_head()
            if offset < len(answer) - len(FRAME) and fault is not drips:
                assert head.startswith(b"HTTP/1.1 502 ")
                return
            if fault is resets and head.startswith(b"HTTP/1.1 502 "):
                return  # it overtook even the head
            assert head.startswith(b"HTTP/1.1 101 ")
            came = offset - (len(answer) - len(FRAME))
            if fault is drips:
                while len(client.buffer) < len(FRAME) and client.fill():
                    pass
                assert client.buffer == FRAME
            elif fault is stops:
                while client.fill():
                    pass
                assert client.buffer == FRAME[:came]
            elif fault is resets:
                with suppress(ConnectionError):
                    while client.fill():
                        pass
                assert FRAME.startswith(client.buffer)

    at_every_offset(len(answer), visit)
    assert all(len(one.requests) == 1 for one in upstream.exchanges)
    assert ask(bounded.port, "GET", query_form(upstream.port, "/well/0")).body == b"hi"


def test_a_hanging_handshake_is_a_504(impatient: Server, service: ServiceFactory) -> None:
    upstream = service(faulty({}, hangs))
    answer = switched(handshake("/"))

    def visit(offset: int) -> None:
        with Client(impatient.port) as client:
            client.send(handshake(path_form(upstream.port, f"/101/{offset}")))
            expected = b"HTTP/1.1 101 " if offset >= len(answer) - len(FRAME) else b"HTTP/1.1 504 "
            assert client.read_head().startswith(expected)

    at_every_offset(len(answer), visit)
    assert ask(impatient.port, "GET", query_form(upstream.port, "/well/0")).body == b"hi"
