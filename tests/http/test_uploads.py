"""Request bodies: piecewise, in both directions at once, and never complete when they are not."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk, plain
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.endings import close, half_close, reset
from tests.support.received import OK, Received, read_request, recording
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


# --- As it comes ---------------------------------------------------------------------------------


@both_forms
@FRAMINGS
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


@FRAMINGS
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


SIZES = [1, 1023, 1024, 1025, 16383, 16384, 16385, 65536, 131072, 1_000_001, 5_000_011]


@FRAMINGS
@pytest.mark.parametrize("size", SIZES)
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
            assert client.reply().status == 200
            assert client.reply().status == 200
    assert [request.body == body for request in seen] == [True, False, True, False]
    assert all(request.complete for request in seen)


# --- Stops half-way ------------------------------------------------------------------------------


@both_forms
@pytest.mark.parametrize("leave", [close, half_close, reset])
@pytest.mark.parametrize("sent", [0, 5, 200_000])
@FRAMINGS
def test_a_visitor_that_stops_never_leaves_a_complete_request(
    host: Server,
    service: ServiceFactory,
    form: Form,
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
    assert get(host, upstream.port).status == 200
    with Client(host.port) as client:
        client.send(upload_head(form(upstream.port, "/up"), framing, 300_000))
        if sent:
            client.send(encode(b"x" * sent))
        leave(client.sock)
        assert ended.wait(PATIENCE)
        if leave is half_close:
            assert client.reply().status == 400
    assert get(host, upstream.port).body == b"hi"
    uploads = [request for request in seen if request.target == "/up"]
    assert all(not request.complete and len(request.body) <= sent for request in uploads)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"5\r\nhello\r\nxyz\r\n", id="size-no-number"),
        pytest.param(b"5\r\nhelloXX5\r\nworld\r\n0\r\n\r\n", id="no-crlf-after-data"),
        pytest.param(b"5\r\nhello\r\n-1\r\n", id="negative-size"),
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
