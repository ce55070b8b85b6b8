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
from tests.support.client import Client, ask, request_bytes
from tests.support.endings import reset
from tests.support.patientapp import hurried
from tests.support.received import OK
from tests.support.servers import Server
from tests.support.service import Exchange, Script, Service
from tests.support.streams import StreamVisitor
from tests.support.urls import path_form, query_form
from tests.support.waiting import PATIENCE, until
from tests.support.websocket import handshake, switching

from .offsets import at_each

BODY = b"hello, world"
# One message for each kind of framing.
ANSWERS = {
    "length": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + BODY,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\nT: u\r\n\r\n",
    "close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY,
}
FRAME = b"\x82\x05hello"
FLOOD = b"x" * 65536
FLOODS = 16  # of these, should nobody stop it

framings = pytest.mark.parametrize("framing", ANSWERS)
Fault = Callable[[Exchange, bytes], None]


def switched(head: bytes) -> bytes:
    """The answer to a handshake, with the first frame."""
    return switching(head) + FRAME


def head_size(answer: bytes) -> int:
    """How many bytes come before the body, with the interim answer."""
    return answer.index(b"\r\n\r\n", answer.rindex(b"HTTP/1.1 ")) + 4


def stops(exchange: Exchange, rest: bytes) -> None:
    exchange.sock.close()


def resets(exchange: Exchange, rest: bytes) -> None:
    reset(exchange.sock)


def hangs(exchange: Exchange, rest: bytes) -> None:
    assert exchange.peer_closed(PATIENCE)


def drips(exchange: Exchange, rest: bytes) -> None:
    time.sleep(0.002)  # so that the first part is likely read by itself
    exchange.send(rest)


def floods(exchange: Exchange, rest: bytes) -> None:
    for _ in range(FLOODS):
        exchange.send(FLOOD)


def faulty(fault: Fault) -> Script:
    """Answers `/length/17` by the first 17 bytes of that answer and then the fault; else well."""

    def script(exchange: Exchange) -> None:
        while head := exchange.read_head():
            _, framing, offset = head.split(b" ")[1].decode().rsplit("/", 2)
            if framing == "well":
                exchange.send(OK)
                continue
            answer = ANSWERS[framing] if framing != "101" else switched(head)
            exchange.send(answer[: int(offset)])
            fault(exchange, answer[int(offset) :])
            if fault is not drips or framing == "close":
                return

    return script


def assert_it_goes_on(host: Server, upstream: Service) -> None:
    """No connection was used after its fault, and the next request is answered."""
    assert all(len(one.requests) == 1 for one in upstream.exchanges)
    assert ask(host.port, "GET", query_form(upstream.port, "/well/0")).body == b"hi"


@pytest.mark.case("a body that is cut is reported as broken, on every server that can show it")
@pytest.mark.promise("An answer that breaks looks broken")
@framings
@pytest.mark.parametrize("fault", [stops, resets, floods])
def test_a_broken_answer_is_a_502_or_looks_broken(
    bounded: Server, service: ServiceFactory, framing: str, fault: Fault
) -> None:
    upstream = service(faulty(fault))
    answer = ANSWERS[framing]
    body_from = head_size(answer)

    def visit(offset: int) -> None:
        with StreamVisitor(bounded.port) as client:
            client.ask(path_form(upstream.port, f"/{framing}/{offset}"))
            reply = client.reply()
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

    at_each(range(len(answer) + 1), visit)
    assert_it_goes_on(bounded, upstream)


@framings
def test_an_answer_in_two_pieces_is_whole(
    bounded: Server, service: ServiceFactory, framing: str
) -> None:
    upstream = service(faulty(drips))

    def visit(offset: int) -> None:
        reply = ask(bounded.port, "GET", path_form(upstream.port, f"/{framing}/{offset}"))
        assert (reply.status, reply.body, reply.complete) == (200, BODY, True)

    at_each(range(len(ANSWERS[framing]) + 1), visit)


@pytest.mark.parametrize("fault", [stops, resets, drips])
def test_a_handshake_that_breaks_is_a_502_and_a_tunnel_ends_with_the_service(
    bounded: Server, service: ServiceFactory, fault: Fault
) -> None:
    upstream = service(faulty(fault))
    size = len(switched(handshake("/")))

    def visit(offset: int) -> None:
        with Client(bounded.port) as client:
            client.send(handshake(path_form(upstream.port, f"/101/{offset}")))
            head = client.read_head()
            came = offset - (size - len(FRAME))
            if came < 0 and fault is not drips:
                assert head.startswith(b"HTTP/1.1 502 ")
                return
            if fault is resets and head.startswith(b"HTTP/1.1 502 "):
                return  # it overtook even the head
            assert head.startswith(b"HTTP/1.1 101 ")
            with suppress(ConnectionError):
                while len(client.buffer) < len(FRAME) and client.fill():
                    pass
            if fault is resets:
                assert FRAME.startswith(client.buffer)
            else:
                assert client.buffer == (FRAME if fault is drips else FRAME[:came])
                assert fault is drips or not client.fill()

    at_each(range(size + 1), visit)
    assert_it_goes_on(bounded, upstream)


def turning_points(framing: str) -> list[tuple[str, int]]:
    """Where what is read next changes: within each line of an answer, and after it."""
    answer = ANSWERS.get(framing, switched(handshake("/")))
    lines = [at + 2 for at in range(len(answer)) if answer.startswith(b"\r\n", at)]
    points = {0, 2, *lines, *(begin + 2 for begin in lines)}
    return [(framing, at) for at in sorted(points) if at < len(answer)]


def test_a_hanging_answer_is_a_504_or_ends_with_its_visitor(
    bounded: Server, service: ServiceFactory
) -> None:
    upstream = service(faulty(hangs))

    def visit(point: tuple[str, int]) -> None:
        framing, offset = point
        target = path_form(upstream.port, f"/{framing}/{offset}")
        answer = ANSWERS.get(framing, switched(handshake("/")))
        is_cut = offset < head_size(answer)
        request = handshake if framing == "101" else lambda path: request_bytes("GET", path)
        with Client(bounded.port) as client:
            client.send(request(hurried(target) if is_cut else target))
            while (head := client.read_head()).startswith(b"HTTP/1.1 103 "):
                pass
            expected = b"504" if is_cut else b"101" if framing == "101" else b"200"
            assert head.split(b" ")[1] == expected

    at_each([point for framing in (*ANSWERS, "101") for point in turning_points(framing)], visit)
    until(lambda: all(one.sock.fileno() < 0 for one in upstream.exchanges), "all are let go")
    assert_it_goes_on(bounded, upstream)
