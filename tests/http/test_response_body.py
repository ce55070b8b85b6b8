"""Bodies come as they are, each block when it is there, and what breaks looks broken."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest

from tests import KEPT
from tests.conftest import ServiceFactory
from tests.http.common import Encode, get, read_until
from tests.support.chunks import chunk, plain
from tests.support.client import Client, ask, request_bytes
from tests.support.endings import close, half_close, reset
from tests.support.received import OK
from tests.support.servers import Server
from tests.support.service import Exchange, answers
from tests.support.urls import Form, both_forms, query_form
from tests.support.waiting import PATIENCE, Steps, peer_left, until

# --- As it comes ---------------------------------------------------------------------------------

EVENTS = [b"id: %d\ndata: tick\n\n" % number for number in range(101, 106)]
LENGTH = b"Content-Length: %d\r\n" % len(b"".join(EVENTS))
STREAM = b"Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n\r\n"
FRAMINGS = [
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", chunk, b"0\r\n\r\n", id="chunked"
    ),
    pytest.param(b"HTTP/1.1 200 OK\r\n" + LENGTH, plain, b"", id="length"),
    pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\n", plain, b"", id="close-delimited"),
    pytest.param(b"HTTP/1.1 200 OK\r\n", plain, b"", id="close-delimited-unannounced"),
    pytest.param(b"HTTP/1.0 200 OK\r\n", plain, b"", id="http-1.0"),
    pytest.param(b"HTTP/1.0 200 OK\r\n" + LENGTH, plain, b"", id="http-1.0-length"),
]


@pytest.mark.case("each event, and a head without a body, at once")
@pytest.mark.parametrize("first", ["head-first", "event-in-the-packet-of-the-head"])
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"], ids=["", "to-http-1.0"])
@pytest.mark.parametrize(("head", "encode", "end"), FRAMINGS)
def test_head_and_each_event_arrive_before_the_next_is_sent(
    host: Server,
    service: ServiceFactory,
    first: str,
    version: bytes,
    head: bytes,
    encode: Encode,
    end: bytes,
) -> None:
    begin, *events = [head + STREAM, *map(encode, EVENTS)]
    if first != "head-first":
        begin += events.pop(0)
    steps = Steps(begin, *events, end)
    upstream = service(steps)
    with Client(host.port) as client:
        request = request_bytes("GET", query_form(upstream.port, "/events"))
        client.send(request.replace(b"HTTP/1.1", version))
        steps.go()
        received = client.read_head()
        assert received.startswith(version + b" 200 OK")
        for event in EVENTS:
            if encode(event) in events:
                steps.go()
            read_until(client, event)
        steps.go(2)
        if version == b"HTTP/1.0":
            assert b"Transfer-Encoding" not in received
            while client.fill():
                pass
        elif LENGTH not in head:
            read_until(client, b"\r\n0\r\n\r\n")
        assert client.buffer == b""


def test_each_byte_of_a_chunk_arrives_before_the_next_is_sent(
    host: Server, service: ServiceFactory
) -> None:
    pieces = [b"a", b"b", b"c", b"\r", b"\n2", b"\r\nd", b"e\r\n0\r\n", b"\r\n"]
    steps = Steps(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n", *pieces)
    upstream = service(steps)
    with Client(host.port) as client:
        client.send(request_bytes("GET", query_form(upstream.port, "/x")))
        steps.go()
        client.read_head()
        for piece in pieces:
            steps.go()
            for letter in piece.strip(b"\r\n0123456789"):
                read_until(client, b"1\r\n%c\r\n" % letter)
        read_until(client, b"0\r\n\r\n")


# --- As it is ------------------------------------------------------------------------------------


@pytest.mark.case("Range, validators, Accept-Encoding; 206, 304, gzip")
@both_forms
def test_a_gzip_body_stays_gzip(host: Server, service: ServiceFactory, form: Form) -> None:
    body = b"whatever it holds: nobody here reads it"
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nVary: Accept-Encoding\r\n"
    upstream = service(answers(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)))
    reply = ask(host.port, "GET", form(upstream.port, "/x"), headers=[("Accept-Encoding", "gzip")])
    assert (reply.body, reply.value("Content-Encoding")) == (body, "gzip")
    assert reply.value("Vary") == "Accept-Encoding"


@pytest.mark.case("Range, validators, Accept-Encoding; 206, 304, gzip")
def test_a_partial_answer_comes_back_unchanged(host: Server, service: ServiceFactory) -> None:
    head = (
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/10\r\nAccept-Ranges: bytes\r\n"
        b'ETag: "x"\r\nContent-Length: 4\r\n\r\n'
    )
    upstream = service(answers(head + b"0123"))
    target = query_form(upstream.port, "/x")
    reply = ask(host.port, "GET", target, headers=[("Range", "bytes=0-3"), ("If-Range", '"x"')])
    assert (reply.status, reply.body) == (206, b"0123")
    assert reply.value("Content-Range") == "bytes 0-3/10"
    assert (reply.value("ETag"), reply.value("Accept-Ranges")) == ('"x"', "bytes")


def test_all_bytes_pass_in_every_framing(host: Server, service: ServiceFactory) -> None:
    body = bytes(range(256)) * 300
    for head, encode, end in [
        (b"Transfer-Encoding: chunked\r\n", chunk, b"0\r\nX-Trailer: dropped\r\n\r\n"),
        (b"Content-Length: %d\r\n" % len(body), plain, b""),
        (b"", plain, b""),
    ]:
        response = b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + encode(body) + end
        reply = get(host, service(answers(response, keep_open=False)))
        assert (reply.body, reply.complete) == (body, True)


@pytest.mark.parametrize("pieces", ["one-packet", "byte-by-byte"])
def test_a_sound_chunked_body_passes(host: Server, service: ServiceFactory, pieces: str) -> None:
    body = b'05\r\nhello\r\na ;a=b;c="d e"\r\n, friends!\r\n0;last\r\n'
    body += b"X: 1\r\nContent-Length: 99\r\n\r\n"

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            step = len(body) if pieces == "one-packet" else 1
            for start in range(0, len(body), step):
                exchange.send(body[start : start + step])

    upstream = service(script)
    for _ in range(2):
        reply = get(host, upstream)
        assert (reply.status, reply.body, reply.complete) == (200, b"hello, friends!", True)
        assert (reply.values("X"), reply.values("Content-Length")) == ([], [])
    if KEPT or pieces == "one-packet":  # else the body may come too late to be waited for
        assert upstream.connections == 1


# --- No body where none may be -------------------------------------------------------------------

# The last column: whether the connection is used again; see test_reuse for why not.
BODILESS = [
    pytest.param("HEAD", b"200 OK\r\nContent-Length: 1234", ["1234"], False, id="head-length"),
    pytest.param("HEAD", b"200 OK", [], False, id="head-no-length"),
    pytest.param("HEAD", b"200 OK\r\nTransfer-Encoding: chunked", [], False, id="head-chunked"),
    pytest.param("GET", b"204 No Content", [], True, id="204"),
    pytest.param("GET", b"204 No Content\r\nContent-Length: 0", [], True, id="204-length-zero"),
    pytest.param("GET", b"304 Not Modified", [], True, id="304"),
    pytest.param("GET", b"304 x\r\nContent-Length: 1234", ["1234"], False, id="304-length"),
    pytest.param("GET", b"304 x\r\nTransfer-Encoding: chunked", [], False, id="304-chunked"),
    pytest.param("GET", b"200 OK\r\nContent-Length: 0", ["0"], True, id="200-length-zero"),
]


@pytest.mark.case("HEAD, 204 and 304")
@pytest.mark.parametrize(("method", "head", "lengths", "again"), BODILESS)
def test_an_answer_without_body_ends_with_its_head(
    host: Server, service: ServiceFactory, method: str, head: bytes, lengths: list[str], again: bool
) -> None:
    first = b"HTTP/1.1 " + head + b'\r\nETag: "x"\r\n\r\n'

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            exchange.send(first if len(upstream.heads) == 1 else OK)

    upstream = service(script)
    with Client(host.port) as client:
        headers = [("If-None-Match", '"x"')]
        client.send(request_bytes(method, query_form(upstream.port, "/x"), headers=headers))
        reply = client.reply(method=method)
        assert f"{reply.status} {reply.reason}".encode() == head.partition(b"\r")[0]
        assert reply.values("Content-Length") == lengths
        assert reply.values("ETag") == ['"x"']
        client.send(request_bytes("GET", query_form(upstream.port, "/x")))
        assert client.reply().body == b"hi"
    assert upstream.connections == (1 if again else 2)


SURPLUS = [
    pytest.param("GET", b"204 No Content\r\n\r\nbogus", id="204"),
    pytest.param("GET", b"204 No Content\r\nContent-Length: 5\r\n\r\nbogus", id="204-length"),
    pytest.param(
        "GET",
        b"204 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbogus\r\n0\r\n\r\n",
        id="204-chunked",
    ),
    pytest.param("GET", b"304 Not Modified\r\n\r\nbogus", id="304"),
    pytest.param("HEAD", b"200 OK\r\nContent-Length: 5\r\n\r\nbogus", id="head"),
    pytest.param("GET", b"200 OK\r\nContent-Length: 0\r\n\r\nbogus", id="length-zero"),
    pytest.param(
        "GET",
        b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nbogus",
        id="chunked",
    ),
    pytest.param(
        "GET",
        b"200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        id="a-second-answer",
    ),
]


@pytest.mark.case("bytes after the body")
@pytest.mark.promise("Answers are read strictly")
@pytest.mark.parametrize("split", ["one-packet", "head-first"])
@pytest.mark.parametrize(("method", "response"), SURPLUS)
def test_bytes_after_the_end_are_dropped_and_the_connection_with_them(
    host: Server, service: ServiceFactory, method: str, response: bytes, split: str
) -> None:
    sent = threading.Event()

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            if exchange.number:
                exchange.send(OK)
            elif split == "one-packet":
                exchange.send(b"HTTP/1.1 " + response)
            else:
                head, _, rest = response.partition(b"\r\n\r\n")
                exchange.send(b"HTTP/1.1 " + head + b"\r\n\r\n")
                exchange.send(rest)
            sent.set()

    upstream = service(script)
    with Client(host.port) as client:
        client.send(request_bytes(method, query_form(upstream.port, "/x")))
        reply = client.reply(method=method)
        assert reply.status == int(response[:3])
        assert reply.body == (b"hi" if b"hi" in response else b"")
        assert sent.wait(PATIENCE)
        if reply.value("Connection") != "close":  # it was whole with its head
            client.send(request_bytes("GET", query_form(upstream.port, "/x")))
            assert client.reply().body == b"hi"
        assert client.buffer == b""
    assert get(host, upstream).body == b"hi"
    assert upstream.connections == 2


# --- Broken --------------------------------------------------------------------------------------

# Bodies cut at each of their bytes: `tests/faults/test_service_faults.py`. Which chunks are
# malformed: `tests/unit/test_framing_bodies.py`.
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.case("a body that is cut is reported as broken, on every server that can show it")
@pytest.mark.parametrize("ending", [close, reset, half_close])
@pytest.mark.parametrize(
    ("head", "body"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"hello", id="length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"", id="length-no-byte"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n", b"hello", id="http-1.0"),
        pytest.param(CHUNKED, b"", id="no-chunk"),
        pytest.param(CHUNKED, b"5\r\nhel", id="within-a-chunk"),
        pytest.param(CHUNKED, b"5\r\nhello\r\n0\r\n", id="before-the-last-crlf"),
    ],
)
def test_a_body_that_is_cut_looks_cut(
    host: Server,
    service: ServiceFactory,
    head: bytes,
    body: bytes,
    ending: Callable[[socket.socket], None],
) -> None:
    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            if exchange.number:
                exchange.send(OK)
                continue
            exchange.send(head + body)
            ending(exchange.sock)
            if ending is half_close:
                until(lambda: peer_left(exchange.sock), "the proxy closes too")
            return

    upstream = service(script)
    with Client(host.port) as client:
        client.send(request_bytes("GET", query_form(upstream.port, "/x")))
        reply = client.reply()
        if ending is reset and reply.status == 502:
            pass  # the reset can throw away what was sent before it
        else:
            assert (reply.status, reply.complete) == (200, False)
            assert b"hello".startswith(reply.body)
            assert not client.fill()  # and no further request is answered here
    assert get(host, upstream).body == b"hi"


@both_forms
def test_a_reset_in_a_close_delimited_body_looks_cut(
    host: Server, service: ServiceFactory, form: Form
) -> None:
    steps = Steps(b"HTTP/1.1 200 OK\r\n\r\nhello")

    def script(exchange: Exchange) -> None:
        steps(exchange)
        reset(exchange.sock)

    upstream = service(script)
    with Client(host.port) as client:
        client.send(request_bytes("GET", form(upstream.port, "/x")))
        steps.go()
        read_until(client, b"hello\r\n")
        steps.go()
        while client.fill():
            pass
        assert client.buffer == b""  # no last chunk


bad_chunks = pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"0x3\r\nabc\r\n", id="no-number"),
        pytest.param(b"\r\nabc\r\n", id="no-size"),
        pytest.param(b"3\nabc\n", id="bare-lf"),
        pytest.param(b"3\r\nabcd\r\n", id="longer-than-its-size"),
        pytest.param(b"3" + b"0" * 20 + b"\r\nabc\r\n", id="size-beyond-64-bits"),
        pytest.param(b"3;" + b"x" * 100_000, id="extension-without-end"),
        pytest.param(b"0\r\nno colon\r\n\r\n", id="malformed-trailer"),
        pytest.param(b"0\r\n" + b"X: 1\r\n" * 100_000, id="trailers-without-end"),
    ],
)


@pytest.mark.case("lengths, codings and chunk sizes that are no such")
@bad_chunks
def test_a_malformed_chunk_breaks_the_transfer(
    host: Server, service: ServiceFactory, bad: bytes
) -> None:
    steps = Steps(CHUNKED + b"5\r\nhello\r\n", bad)

    def script(exchange: Exchange) -> None:
        if not exchange.number:
            steps(exchange)
        while exchange.number and exchange.read_head():
            exchange.send(OK)

    upstream = service(script)
    with Client(host.port) as client:
        client.send(request_bytes("GET", query_form(upstream.port, "/x")))
        steps.go()
        assert client.read_head().startswith(b"HTTP/1.1 200 ")
        read_until(client, b"5\r\nhello\r\n")
        steps.go()  # and then the service says nothing more
        while client.fill():
            pass
        assert not client.buffer.endswith(b"0\r\n\r\n")
    assert get(host, upstream).body == b"hi"
    assert upstream.connections == 2


@bad_chunks
def test_a_malformed_chunk_in_the_packet_of_the_head_never_looks_complete(
    host: Server, service: ServiceFactory, bad: bytes
) -> None:
    upstream = service(answers(CHUNKED + bad, OK))
    reply = get(host, upstream)
    assert reply.status == 502 or not reply.complete
    assert get(host, upstream).status in (200, 502)
