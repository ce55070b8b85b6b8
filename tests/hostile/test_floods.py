"""Services that send without end, or what grows: bounded in memory."""

from __future__ import annotations

import contextlib
import gzip
import socket

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, ask, request_bytes
from tests.support.servers import Server
from tests.support.service import answers
from tests.support.urls import path_form
from tests.support.waiting import PATIENCE

from .strain import CHUNKED, Flood, little_memory, target

HEAD_FLOODS = {
    "one-field": (b"HTTP/1.1 200 OK\r\nA: ", b"x"),
    "fields": (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    "interim-answers": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "early-hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "no-http": (b"", b"x"),
    "line-ends": (b"HTTP/1.1 200 OK", b"\n"),
}


@pytest.mark.case("no answer, a slow head, an endless head")
@pytest.mark.parametrize(("first", "again"), HEAD_FLOODS.values(), ids=HEAD_FLOODS)
def test_an_endless_head_is_502(
    strained: Server, service: ServiceFactory, first: bytes, again: bytes
) -> None:
    flood = Flood(first, again)
    with little_memory(strained, 16):
        assert ask(strained.port, "GET", target(service(flood))).status == 502
        assert flood.over.wait(PATIENCE)


BODY_FLOODS = {
    "until-it-closes": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000),
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", b"x" * 1000),
    "one-chunk": (CHUNKED + b"ffffffffff\r\n", b"x" * 1000),
    "chunks": (CHUNKED, b"100\r\n" + b"x" * 256 + b"\r\n"),
}


@pytest.mark.case("an endless body to a slow reader; a gzip bomb")
@pytest.mark.promise("Memory is bounded")
@pytest.mark.parametrize(("first", "again"), BODY_FLOODS.values(), ids=BODY_FLOODS)
def test_an_endless_body_waits_for_a_visitor_that_reads_slowly(
    strained: Server, service: ServiceFactory, first: bytes, again: bytes
) -> None:
    flood = Flood(first, again)
    with Client(strained.port) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(request_bytes("GET", target(service(flood))))
        client.read_head()
        with little_memory(strained, 24):
            for _ in range(50):
                client.sock.recv(65536)
            flood.stands_still()
            # What the kernel and a few buffers hold: without back-pressure it would be gigabytes.
            assert flood.sent < 64 * 2**20
    assert flood.over.wait(PATIENCE)
    assert ask(strained.port, "GET", "/login").status == 200


CHUNK_FLOODS = {
    "size": (CHUNKED, b"1"),
    "extension": (CHUNKED + b"1;", b"x"),
    "trailers": (CHUNKED + b"0\r\n", b"A: b\r\n"),
    "trailer": (CHUNKED + b"0\r\nA: ", b"x"),
}


@pytest.mark.parametrize(("first", "again"), CHUNK_FLOODS.values(), ids=CHUNK_FLOODS)
def test_endless_framing_is_a_broken_answer(
    strained: Server, service: ServiceFactory, first: bytes, again: bytes
) -> None:
    flood = Flood(first, again)
    upstream = service(flood)
    with Client(strained.port) as client:
        client.send(request_bytes("GET", target(upstream)))
        with contextlib.suppress(ConnectionError):  # it may break before its head is out
            reply = client.reply()
            assert reply.status == 502 or not reply.complete
    assert flood.over.wait(PATIENCE)


@pytest.mark.case("an endless body to a slow reader; a gzip bomb")
def test_a_gzip_bomb_passes_as_it_is(strained: Server, service: ServiceFactory) -> None:
    bomb = gzip.compress(b"\0" * 2**26, 1)  # 64 MiB in less than a hundredth of that
    fields = f"Content-Encoding: gzip\r\nContent-Type: text/html\r\nContent-Length: {len(bomb)}"
    upstream = service(answers(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode() + bomb))
    navigation = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")]
    with little_memory(strained, 24):
        for headers in (navigation, [*navigation, ("Accept-Encoding", "gzip")]):
            reply = ask(strained.port, "GET", path_form(upstream.port, "/"), headers=headers)
            assert (reply.status, reply.value("Content-Encoding")) == (200, "gzip")
            assert reply.body == bomb
