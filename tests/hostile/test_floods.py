"""Services that send without end, or what grows: bounded in memory and in processor time."""

from __future__ import annotations

import contextlib
import gzip
import socket
import time

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, ask, request_bytes
from tests.support.procfs import cpu_seconds, resident_mib, worker_of
from tests.support.servers import Server
from tests.support.service import answers
from tests.support.waiting import PATIENCE

from .strain import CHUNKED, PATIENT, Flood, target

HEAD_FLOODS = {
    "one-field": (b"HTTP/1.1 200 OK\r\nA: ", b"x"),
    "fields": (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    "reason": (b"HTTP/1.1 200 ", b"x"),
    "interim-answers": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "early-hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "no-http": (b"", b"x"),
    "nuls": (b"", b"\0"),
    "line-ends": (b"HTTP/1.1 200 OK", b"\n"),
}


@pytest.mark.parametrize(("first", "again"), HEAD_FLOODS.values(), ids=HEAD_FLOODS)
def test_an_endless_head_is_502(
    strained: Server, service: ServiceFactory, first: bytes, again: bytes
) -> None:
    flood = Flood(first, again)
    pid = worker_of(strained)
    before = resident_mib(pid)
    begin = time.monotonic()
    assert ask(strained.port, "GET", target(service(flood))).status == 502
    assert time.monotonic() - begin < PATIENT
    assert flood.over.wait(PATIENCE)
    assert resident_mib(pid) - before < 8


BODY_FLOODS = {
    "until-it-closes": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000),
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", b"x" * 1000),
    "one-chunk": (CHUNKED + b"ffffffffff\r\n", b"x" * 1000),
    "chunks": (CHUNKED, b"20\r\n0123456789abcdef0123456789abcdef\r\n"),
}


@pytest.mark.parametrize(("first", "again"), BODY_FLOODS.values(), ids=BODY_FLOODS)
def test_an_endless_body_waits_for_a_visitor_that_reads_slowly(
    strained: Server, service: ServiceFactory, first: bytes, again: bytes
) -> None:
    flood = Flood(first, again)
    upstream = service(flood)
    pid = worker_of(strained)
    with Client(strained.port) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(request_bytes("GET", target(upstream)))
        client.read_head()
        before = resident_mib(pid)
        flood.stands_still()
        for _ in range(50):
            client.sock.recv(65536)
        flood.stands_still()
        # What the kernel and a few buffers hold: without back-pressure it would be gigabytes.
        assert flood.sent < 64 * 2**20
        assert resident_mib(pid) - before < 24
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
    begin = time.monotonic()
    with Client(strained.port) as client:
        client.send(request_bytes("GET", target(upstream)))
        with contextlib.suppress(ConnectionError):  # it may break before its head is out
            reply = client.reply()
            assert reply.status == 502 or not reply.complete
    assert time.monotonic() - begin < PATIENT
    assert flood.over.wait(PATIENCE)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """64 MiB in a thousandth of that."""
    compressed = gzip.compress(b"\0" * 2**26)
    assert len(compressed) < 2**19
    return compressed


@pytest.mark.parametrize("accept", [True, False], ids=["accepted", "not-accepted"])
def test_a_gzip_bomb_passes_as_it_is(
    strained: Server, service: ServiceFactory, bomb: bytes, accept: bool
) -> None:
    fields = f"Content-Encoding: gzip\r\nContent-Type: text/html\r\nContent-Length: {len(bomb)}"
    upstream = service(answers(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode() + bomb))
    pid = worker_of(strained)
    before = resident_mib(pid)
    headers = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")]
    headers += [("Accept-Encoding", "gzip")] if accept else []
    path = f"/alice/vision/proxy/{upstream.port}/"
    reply = ask(strained.port, "GET", path, headers=headers)
    assert (reply.status, reply.value("Content-Encoding")) == (200, "gzip")
    assert reply.body == bomb
    assert resident_mib(pid) - before < 24


@pytest.mark.parametrize(
    "field",
    [b"A:" + b" " * 60000 + b"\x01", b"Refresh: 0" + b" " * 60000 + b"x", b"Link: " + b"<" * 60000],
    ids=["malformed", "refresh", "link"],
)
def test_no_field_takes_the_processor_for_long(
    strained: Server, service: ServiceFactory, field: bytes
) -> None:
    upstream = service(answers(b"HTTP/1.1 200 OK\r\n" + field + b"\r\nContent-Length: 0\r\n\r\n"))
    pid = worker_of(strained)
    begin = cpu_seconds(pid)
    assert ask(strained.port, "GET", target(upstream)).status in (200, 502)
    assert cpu_seconds(pid) - begin < 1.5
