"""Services that answer while the request is still on its way: refusals, and echoes."""

from __future__ import annotations

import socket
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import Dechunker, chunk, plain
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.received import OK, parse_request
from tests.support.servers import Server
from tests.support.service import Exchange
from tests.support.urls import Form, both_forms, query_form
from tests.support.waiting import PATIENCE

Encode = Callable[[bytes], bytes]


FRAMINGS = pytest.mark.parametrize(
    ("framing", "encode"),
    [("Content-Length", plain), ("chunked", chunk)],
    ids=["length", "chunked"],
)


def upload_head(target: str, framing: str, size: int, *, method: str = "POST") -> bytes:
    field = (
        ("Content-Length", str(size)) if framing != "chunked" else ("Transfer-Encoding", framing)
    )
    return request_bytes(method, target, headers=[field])


def get(host: Server, port: int) -> Reply:
    return ask(host.port, "GET", query_form(port, "/x"))


TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Type: text/plain\r\nConnection: close\r\n"


def keep_sending(client: Client, data: bytes, times: int, *, tail: bytes = b"") -> threading.Thread:
    """Send in the background, until the server will have no more of it."""

    def run() -> None:
        with suppress(OSError):
            for _ in range(times):
                client.send(data)
            client.send(tail)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def stop(client: Client, sender: threading.Thread) -> None:
    with suppress(OSError):
        client.sock.shutdown(socket.SHUT_RDWR)
    sender.join(PATIENCE)


@both_forms
@pytest.mark.parametrize("body", ["length", "chunked", "close-delimited", "empty"])
@FRAMINGS
def test_413_in_mid_upload_reaches_the_visitor(
    host: Server, service: ServiceFactory, form: Form, framing: str, encode: Encode, body: str
) -> None:
    answer = {
        "length": TOO_LARGE + b"Content-Length: 8\r\n\r\ntoo much",
        "chunked": TOO_LARGE + b"Transfer-Encoding: chunked\r\n\r\n8\r\ntoo much\r\n0\r\n\r\n",
        "close-delimited": TOO_LARGE + b"\r\ntoo much",
        "empty": TOO_LARGE + b"Content-Length: 0\r\n\r\n",
    }[body]

    def script(exchange: Exchange) -> None:
        head = exchange.read_head()
        if head.startswith(b"GET "):
            exchange.send(OK)
            return
        exchange.read(100_000)
        exchange.send(answer)  # and closes with much of the upload unread: the kernel resets

    upstream = service(script)
    block = b"x" * 65536
    with Client(host.port) as client:
        client.send(upload_head(form(upstream.port, "/up"), framing, 1000 * len(block)))
        sender = keep_sending(client, encode(block), 1000)
        reply = client.reply()
        stop(client, sender)
    assert (reply.status, reply.complete) == (413, True)
    assert reply.body == (b"" if body == "empty" else b"too much")
    assert get(host, upstream.port).body == b"hi"


def test_an_answer_before_the_upload_ends_arrives_though_neither_side_closes(
    host: Server, service: ServiceFactory
) -> None:
    """The visitor sends no more until it is answered, the service reads no more."""
    done = threading.Event()

    def script(exchange: Exchange) -> None:
        if exchange.read_head().startswith(b"POST "):
            exchange.read(5)
        exchange.send(OK.replace(b"200 OK", b"409 Conflict"))
        done.wait(PATIENCE)

    upstream = service(script)
    with Client(host.port) as client:
        client.send(
            upload_head(query_form(upstream.port, "/up"), "Content-Length", 1000) + b"hello"
        )
        reply = client.reply()
        assert (reply.status, reply.body) == (409, b"hi")
    done.set()
    assert get(host, upstream.port).status == 409
    assert upstream.connections == 2  # the one with half a request on it was not used again


@FRAMINGS
def test_a_service_that_reads_nothing_and_answers_nothing_is_504(
    host: Server, service: ServiceFactory, framing: str, encode: Encode
) -> None:
    """The buffers in between fill up, and then there is no progress."""
    done = threading.Event()
    upstream = service(lambda exchange: exchange.send(b"") if done.wait(PATIENCE) else None)
    block = b"x" * 1_000_000
    with Client(host.port) as client:
        client.send(upload_head(query_form(upstream.port, "/up"), framing, 100 * len(block)))
        sender = keep_sending(client, encode(block), 100)
        reply = client.reply()
        stop(client, sender)
    done.set()
    assert reply.status == 504


# --- Both directions at once ---------------------------------------------------------------------


def echo(exchange: Exchange, size: int, encode: Encode) -> None:
    """Send back a body of `size` bytes, as it comes."""
    request = parse_request(exchange.read_head())
    dechunker = Dechunker() if request.values("transfer-encoding") else None
    data = exchange.buffer
    while size:
        body = dechunker.feed(data) if dechunker is not None else data
        if body:
            exchange.send(encode(body))
            size -= len(body)
        if size:
            data = exchange.sock.recv(262_144)
            assert data, "the upload ended early"
    # To close with the last chunk unread would reset the connection. Where the answer is complete
    # by its length, nobody waits for that chunk.
    while dechunker is not None and not dechunker.complete and data:
        data = exchange.sock.recv(262_144)
        dechunker.feed(data)
    if encode is chunk:
        exchange.send(chunk(b""))


@FRAMINGS
@pytest.mark.parametrize("answer", ["length", "chunked", "close-delimited"])
def test_a_service_that_echoes_as_it_reads_does_not_deadlock(
    host: Server, service: ServiceFactory, framing: str, encode: Encode, answer: str
) -> None:
    block, times = bytes(range(256)) * 1000, 391
    size = len(block) * times  # 100 MB, many times what all buffers on the way hold
    field = {
        "length": b"Content-Length: %d\r\n" % size,
        "chunked": b"Transfer-Encoding: chunked\r\n",
        "close-delimited": b"",
    }[answer]

    def script(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\n" + field + b"\r\n")
        echo(exchange, size, chunk if answer == "chunked" else plain)

    upstream = service(script)
    tail = chunk(b"") if framing == "chunked" else b""
    with Client(host.port) as client:
        client.send(upload_head(query_form(upstream.port, "/echo"), framing, size))
        sender = keep_sending(client, encode(block), times, tail=tail)
        client.read_head()
        dechunker = None if answer == "length" else Dechunker()
        received, checksum = 0, 0
        while not (dechunker.complete if dechunker is not None else received == size):
            assert client.buffer or client.fill(), "the answer ended early"
            body = dechunker.feed(client.buffer) if dechunker is not None else client.buffer
            received, checksum = received + len(body), zlib.crc32(body, checksum)
            client.buffer = b""
        sender.join(PATIENCE)
    assert received == size
    expected = 0
    for _ in range(times):
        expected = zlib.crc32(block, expected)
    assert checksum == expected
