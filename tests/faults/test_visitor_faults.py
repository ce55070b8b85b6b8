"""A visitor that stops, resets or pauses, at every byte offset of a request.

A service never sees a complete request that the visitor did not finish, and no other request on a
connection that was left in the middle of one.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, ask, request_bytes
from tests.support.endings import close, half_close, reset
from tests.support.received import OK, Received, read_request
from tests.support.servers import Server
from tests.support.service import Exchange
from tests.support.urls import path_form, query_form
from tests.support.waiting import until

from .offsets import AT_A_TIME, at_each

BODY = b"hello, world"
WIRE = {
    "none": b"",
    "length": BODY,
    "chunked": b"5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\n\r\n",
}
bodies = pytest.mark.parametrize("body", WIRE)


def request_of(body: str, target: str) -> bytes:
    """The bytes of a request; a POST if it has a body."""
    fields = {"length": ("Content-Length", "12"), "chunked": ("Transfer-Encoding", "chunked")}
    headers = [fields[body]] if body in fields else []
    method = "GET" if body == "none" else "POST"
    return request_bytes(method, target, headers=headers) + WIRE[body]


def offsets(whole: bytes, body: str) -> range:
    """All, of one of these requests; of the others, whose heads are the same, from the last line
    end of the head on."""
    end_of_head = len(whole) - len(WIRE[body])
    return range(0 if body == "chunked" else end_of_head - 4, len(whole) + 1)


class Records:
    """A service that reads each request whole. `seen`: by target, with what followed it."""

    def __init__(self) -> None:
        self.seen: list[Received] = []
        self.open = 0  # connections
        self._lock = threading.Lock()

    def __call__(self, exchange: Exchange) -> None:
        with self._lock:
            self.open += 1
        try:
            broken = False
            while (request := read_request(exchange)) is not None:
                assert not broken, "another request after one that was cut"
                broken = not request.complete
                self.seen.append(request)
                if not broken:
                    exchange.send(OK)
        finally:
            with self._lock:
                self.open -= 1


@pytest.mark.case("a client that stops in mid-upload")
@pytest.mark.promise("One request in, one request out")
@bodies
@pytest.mark.parametrize("leave", [close, half_close, reset])
def test_a_request_that_was_cut_never_looks_complete(
    bounded: Server,
    service: ServiceFactory,
    body: str,
    leave: Callable[[socket.socket], None],
) -> None:
    records = Records()
    upstream = service(records)
    whole = request_of(body, path_form(upstream.port, "/offset/000"))

    def visit(offset: int) -> None:
        wire = request_of(body, path_form(upstream.port, f"/offset/{offset:03d}"))
        with Client(bounded.port) as client:
            client.send(wire[:offset])
            if offset % 2:
                time.sleep(0.002)  # so that the first part is likely read by itself
            leave(client.sock)
            if leave is half_close:
                while client.fill():
                    pass
                # Of a whole request a half-close may mean that nobody waits for the answer.
                answered = client.buffer.startswith(b"HTTP/1.1 200 ")
                assert not answered or offset == len(wire)

    at_each(offsets(whole, body), visit)
    assert ask(bounded.port, "GET", query_form(upstream.port, "/last")).body == b"hi"
    until(lambda: records.open <= AT_A_TIME, "the connections of those who left are closed")
    for request in records.seen:
        offset = int(request.target.rpartition("/")[2]) if "offset" in request.target else -1
        assert request.complete == (offset in (-1, len(whole)))
        assert BODY.startswith(request.body)


@bodies
def test_a_request_in_two_pieces_is_answered(
    bounded: Server, service: ServiceFactory, body: str
) -> None:
    records = Records()
    upstream = service(records)
    wire = request_of(body, path_form(upstream.port, "/x"))

    def visit(offset: int) -> None:
        with Client(bounded.port) as client:
            client.send(wire[:offset])
            time.sleep(0.002)  # so that the first part is likely read by itself
            client.send(wire[offset:])
            reply = client.reply()
        assert (reply.status, reply.body) == (200, b"hi")

    at_each(offsets(wire, body), visit)
    assert {(one.complete, one.body) for one in records.seen} == {
        (True, BODY if body != "none" else b"")
    }
