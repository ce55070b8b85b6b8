"""A gibibyte in each direction: the worker's memory stays flat, whatever the framing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import Dechunker, chunk, plain
from tests.support.client import Client, ask, request_bytes
from tests.support.procfs import resident_mib, worker_of
from tests.support.received import OK
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange
from tests.support.urls import query_form

from .common import Encode

BLOCK = bytes(1 << 20)
BLOCKS = 1024  # 1 GiB together
GROWTH = 64.0  # MiB; far above what a few blocks in flight take, far below what is sent

framings = pytest.mark.parametrize(
    ("framing", "encode", "end"),
    [
        pytest.param(f"Content-Length: {BLOCKS * len(BLOCK)}", plain, b"", id="length"),
        pytest.param("Transfer-Encoding: chunked", chunk, b"0\r\n\r\n", id="chunked"),
    ],
)


@pytest.fixture(scope="module")
def fresh() -> Iterator[Server]:
    """A host of its own: in one that had served much, growth could hide in what it once held."""
    with gunicorn() as server:
        ask(server.port, "GET", "/login")
        yield server
        assert "Traceback" not in server.output()


@contextmanager
def flat_memory(server: Server) -> Iterator[None]:
    """Fail if the worker's memory grows in the block, also if only for a moment."""
    worker = worker_of(server)
    before = most = resident_mib(worker)
    ended = threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.02):
            most = max(most, resident_mib(worker))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    assert most - before < GROWTH


def read_all(sock: socket.socket, data: bytes, *, chunked: bool) -> int:
    """The size of a body that begins with `data`."""
    dechunker = Dechunker() if chunked else None
    size = 0
    while not (size == BLOCKS * len(BLOCK) if dechunker is None else dechunker.complete):
        data = data or sock.recv(1 << 20)
        assert data, "the body ended early"
        size += len(data if dechunker is None else dechunker.feed(data))
        data = b""
    return size


@pytest.mark.case("a large upload streams, memory flat")
@framings
def test_an_upload_is_never_held(
    fresh: Server, service: ServiceFactory, framing: str, encode: Encode, end: bytes
) -> None:
    received = []

    def sink(exchange: Exchange) -> None:
        chunked = b"\r\nTransfer-Encoding: chunked\r\n" in exchange.read_head()
        received.append(read_all(exchange.sock, exchange.buffer, chunked=chunked))
        exchange.send(OK)

    name, _, value = framing.partition(": ")
    wire = encode(BLOCK)
    with Client(fresh.port, timeout=60) as client, flat_memory(fresh):
        target = query_form(service(sink).port, "/up")
        client.send(request_bytes("PUT", target, headers=[(name, value)]))
        for _ in range(BLOCKS):
            client.send(wire)
        client.send(end)
        assert client.reply().body == b"hi"
    assert received == [BLOCKS * len(BLOCK)]


@framings
def test_a_download_is_never_held(
    fresh: Server, service: ServiceFactory, framing: str, encode: Encode, end: bytes
) -> None:
    def source(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
        wire = encode(BLOCK)
        for _ in range(BLOCKS):
            exchange.send(wire)
        exchange.send(end)

    with Client(fresh.port, timeout=60) as client, flat_memory(fresh):
        client.send(request_bytes("GET", query_form(service(source).port, "/down")))
        client.read_head()
        assert read_all(client.sock, client.buffer, chunked=bool(end)) == BLOCKS * len(BLOCK)


def test_a_download_waits_for_a_visitor_that_does_not_read(
    fresh: Server, service: ServiceFactory
) -> None:
    """Back-pressure: the service is held up long before all of it is under way."""
    sent = 0
    held_up = threading.Event()

    def source(exchange: Exchange) -> None:
        nonlocal sent
        exchange.read_head()
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
        exchange.sock.settimeout(0.5)
        try:
            while True:
                sent += exchange.sock.send(BLOCK)
        except TimeoutError:
            held_up.set()

    with Client(fresh.port) as client, flat_memory(fresh):
        client.send(request_bytes("GET", query_form(service(source).port, "/down")))
        client.read_head()
        assert held_up.wait(30)
    assert sent < 128 * len(BLOCK)
