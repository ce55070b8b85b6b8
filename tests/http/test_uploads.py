"""Request bodies: piecewise, in both directions at once, and never complete when they are not."""

from __future__ import annotations

import queue
import socket
import threading
import zlib
from collections.abc import Callable

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import Dechunker, chunk, plain
from tests.support.client import Client, request_bytes
from tests.support.endings import close, half_close, reset
from tests.support.received import OK, Received, parse_request, read_request, recording
from tests.support.servers import Server
from tests.support.service import Exchange
from tests.support.urls import Form, both_forms, query_form
from tests.support.waiting import PATIENCE

from .common import UPLOAD_FRAMINGS, Encode, get, sending, upload_head

# --- As it comes ---------------------------------------------------------------------------------


@pytest.mark.case("a large upload streams, memory flat")
@both_forms
@UPLOAD_FRAMINGS
def test_each_piece_arrives_while_the_visitor_is_still_sending(
    host: Server, service: ServiceFactory, form: Form, framing: str, encode: Encode
) -> None:
    arrived: queue.Queue[bytes] = queue.Queue()

    def script(exchange: Exchange) -> None:
        head = exchange.read_head()
        arrived.put(head)
        received = exchange.buffer
        while not received.endswith((b"56789", b"0\r\n\r\n")):
            arrived.put(received)
            received += exchange.sock.recv(65536)
        exchange.send(OK)

    upstream = service(script)
    pieces = [b"a", b"bc", b"d" * 1000, b"e" * 70000, b"f", b"56789"]
    size = len(b"".join(pieces))
    with Client(host.port) as client:
        client.send(upload_head(form(upstream.port, "/x"), framing, size))
        assert arrived.get(timeout=PATIENCE).startswith(b"POST /x ")  # the head does not wait
        for piece in pieces[:-1]:
            client.send(encode(piece))
            while not arrived.get(timeout=PATIENCE).removesuffix(b"\r\n").endswith(piece[-100:]):
                pass
        client.send(encode(pieces[-1]) + (b"0\r\n\r\n" if framing == "chunked" else b""))
        assert client.reply().body == b"hi"


def test_a_small_body_that_lags_behind_its_head_does_not_hold_it_back(
    host: Server, service: ServiceFactory
) -> None:
    """A service that refuses by the head alone must not wait for a body, however small."""
    refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(refusal)

    upstream = service(script)
    with Client(host.port) as client:
        client.send(upload_head(query_form(upstream.port, "/x"), "Content-Length", 10))
        reply = client.reply()
    assert (reply.status, reply.body) == (401, b"no")


@UPLOAD_FRAMINGS
def test_a_body_sent_byte_by_byte_arrives(
    host: Server, service: ServiceFactory, framing: str, encode: Encode
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    body = b"0123456789" * 20
    with Client(host.port) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.send(upload_head(query_form(upstream.port, "/x"), framing, len(body)))
        wire = encode(body) + (b"0\r\n\r\n" if framing == "chunked" else b"")
        for byte in wire:
            client.send(bytes([byte]))
        assert client.reply().status == 200
    assert (seen[0].body, seen[0].complete) == (body, True)


@UPLOAD_FRAMINGS
@pytest.mark.parametrize("size", [1, 16383, 16384, 16385, 65536, 5_000_011])
def test_a_body_of_any_size_arrives_whole_and_the_next_request_is_understood(
    host: Server, service: ServiceFactory, framing: str, encode: Encode, size: int
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    body = (b"%07d " * (size // 8 + 1) % tuple(range(size // 8 + 1)))[:size]
    wire = encode(body) + (b"0\r\n\r\n" if framing == "chunked" else b"")
    target = query_form(upstream.port, "/x")
    with Client(host.port) as client:
        for _ in range(2):
            pipelined = request_bytes("GET", target)
            client.send(upload_head(target, framing, size) + wire + pipelined)
            reply = client.reply()
            assert reply.status == 200
            if reply.value("Connection") == "close":  # it took long enough to leave its thread
                client.reconnect()
                client.send(pipelined)
            assert client.reply().status == 200
    assert [request.body == body for request in seen] == [True, False, True, False]
    assert all(request.complete for request in seen)


# --- Stops half-way ------------------------------------------------------------------------------


@pytest.mark.case("a client that stops in mid-upload")
@pytest.mark.parametrize("leave", [close, half_close, reset])
@pytest.mark.parametrize("sent", [0, 5, 200_000])
@UPLOAD_FRAMINGS
def test_a_visitor_that_stops_never_leaves_a_complete_request(
    host: Server,
    service: ServiceFactory,
    framing: str,
    encode: Encode,
    sent: int,
    leave: Callable[[socket.socket], None],
) -> None:
    seen: list[Received] = []
    ended = threading.Event()

    def script(exchange: Exchange) -> None:
        while (request := read_request(exchange)) is not None:
            seen.append(request)
            if not request.complete:
                ended.set()
                return
            exchange.send(OK)
        ended.set()

    upstream = service(script)
    assert get(host, upstream).status == 200
    with Client(host.port) as client:
        client.send(upload_head(query_form(upstream.port, "/up"), framing, 300_000))
        if sent:
            client.send(encode(b"x" * sent))
        leave(client.sock)
        assert ended.wait(PATIENCE)
        if leave is half_close:
            assert client.reply().status == 400
    assert get(host, upstream).body == b"hi"
    uploads = [request for request in seen if request.target == "/up"]
    assert all(not request.complete and len(request.body) <= sent for request in uploads)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"5\r\nhello\r\nxyz\r\n", id="size-no-number"),
        pytest.param(b"5\r\nhelloXX5\r\nworld\r\n0\r\n\r\n", id="no-crlf-after-data"),
        pytest.param(b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n", id="malformed-trailer"),
    ],
)
def test_a_malformed_chunked_body_never_looks_complete(
    host: Server, service: ServiceFactory, wire: bytes
) -> None:
    seen: list[Received] = []
    ended = threading.Event()

    def script(exchange: Exchange) -> None:
        while (request := read_request(exchange)) is not None and request.complete:
            seen.append(request)
            exchange.send(OK)
        ended.set()

    upstream = service(script)
    with Client(host.port) as client:
        client.send(upload_head(query_form(upstream.port, "/up"), "chunked", 0) + wire)
        assert client.reply().status == 400
        assert not client.fill()  # where the next request begins is unknown
    assert ended.wait(PATIENCE)
    assert seen == []


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(["Content-Length: 5", "Transfer-Encoding: chunked"], id="length-and-chunked"),
        pytest.param(["Content-Length: 5", "Content-Length: 6"], id="two-lengths"),
        pytest.param(["Content-Length: +5"], id="plus"),
        pytest.param(["Content-Length: 5, 5"], id="list"),
        pytest.param(["Content-Length: 0x5"], id="hexadecimal"),
        pytest.param(["Content-Length: -5"], id="negative"),
        pytest.param(["Transfer-Encoding: gzip, chunked"], id="gzip-chunked"),
        pytest.param(["Transfer-Encoding: chunked, chunked"], id="chunked-twice"),
        pytest.param(["Transfer-Encoding: chunked", "Transfer-Encoding: x"], id="two-codings"),
        pytest.param(["Transfer-Encoding: identity"], id="identity"),
        pytest.param(["Transfer-Encoding: xchunked"], id="unknown"),
        pytest.param(["Transfer_Encoding: chunked", "Content-Length: 5"], id="underscore"),
    ],
)
def test_an_ambiguous_framing_of_a_visitor_never_reaches_a_service_as_such(
    host: Server, service: ServiceFactory, fields: list[str]
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    headers = [(name, value) for name, _, value in (field.partition(": ") for field in fields)]
    with Client(host.port) as client:
        head = request_bytes("POST", query_form(upstream.port, "/up"), headers=headers)
        client.send(head + b"5\r\nhello\r\n0\r\n\r\n")
        status = client.reply().status
    assert status >= 400 or fields == ["Transfer_Encoding: chunked", "Content-Length: 5"]
    # The field with an underscore is none: the length counts, and the rest is another request.
    assert [(one.target, one.body) for one in seen] == (
        [] if status >= 400 else [("/up", b"5\r\nhe")]
    )


# --- Answered while it is still on its way: refusals, and echoes ---------------------------------

TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Type: text/plain\r\nConnection: close\r\n"


@pytest.mark.case("413 in mid-upload; an echo does not deadlock")
@pytest.mark.parametrize("body", ["length", "chunked", "close-delimited", "empty"])
@UPLOAD_FRAMINGS
def test_413_in_mid_upload_reaches_the_visitor(
    host: Server, service: ServiceFactory, framing: str, encode: Encode, body: str
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
        client.send(upload_head(query_form(upstream.port, "/up"), framing, 1000 * len(block)))
        with sending(client, encode(block), 1000):
            reply = client.reply()
    assert (reply.status, reply.complete) == (413, True)
    assert reply.body == (b"" if body == "empty" else b"too much")
    assert get(host, upstream).body == b"hi"


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
    assert get(host, upstream).status == 409
    assert upstream.connections == 2  # the one with half a request on it was not used again


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


@pytest.mark.case("413 in mid-upload; an echo does not deadlock")
@UPLOAD_FRAMINGS
@pytest.mark.parametrize("answer", ["length", "chunked", "close-delimited"])
def test_a_service_that_echoes_as_it_reads_does_not_deadlock(
    host: Server, service: ServiceFactory, framing: str, encode: Encode, answer: str
) -> None:
    block, times = bytes(range(256)) * 1000, 120
    size = len(block) * times  # 30 MB, many times what all buffers on the way hold
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
        with sending(client, encode(block), times, tail=tail):
            client.read_head()
            dechunker = None if answer == "length" else Dechunker()
            received, checksum = 0, 0
            while not (dechunker.complete if dechunker is not None else received == size):
                assert client.buffer or client.fill(), "the answer ended early"
                body = dechunker.feed(client.buffer) if dechunker is not None else client.buffer
                received, checksum = received + len(body), zlib.crc32(body, checksum)
                client.buffer = b""
    assert received == size
    assert checksum == zlib.crc32(block * times)
