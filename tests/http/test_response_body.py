"""Bodies come as they are, each block when it is there, and what breaks looks broken."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable

import pytest

from tests.conftest import ServiceFactory
from tests.http.common import get, read_until
from tests.support.chunks import chunk, plain
from tests.support.client import Client, ask, request_bytes
from tests.support.received import OK
from tests.support.servers import Server
from tests.support.service import Exchange, answers
from tests.support.urls import Form, both_forms, query_form
from tests.support.waiting import PATIENCE, Steps

Encode = Callable[[bytes], bytes]


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


@both_forms
@pytest.mark.parametrize(("head", "encode", "end"), FRAMINGS)
def test_head_and_each_event_arrive_before_the_next_is_sent(
    host: Server, service: ServiceFactory, form: Form, head: bytes, encode: Encode, end: bytes
) -> None:
    steps = Steps(head + STREAM, *map(encode, EVENTS), end)
    upstream = service(steps)
    with Client(host.port) as client:
        client.send(request_bytes("GET", form(upstream.port, "/events")))
        steps.go()
        assert client.read_head().startswith(b"HTTP/1.1 200 OK")
        for event in EVENTS:
            steps.go()
            read_until(client, event)
        steps.go(2)
        if LENGTH not in head:
            read_until(client, b"\r\n0\r\n\r\n")
        assert client.buffer == b""


@pytest.mark.parametrize(("head", "encode", "end"), FRAMINGS)
def test_an_event_in_the_packet_of_the_head_arrives_at_once(
    host: Server, service: ServiceFactory, head: bytes, encode: Encode, end: bytes
) -> None:
    first, *others = map(encode, EVENTS)
    steps = Steps(head + STREAM + first, b"".join(others) + end)
    upstream = service(steps)
    with Client(host.port) as client:
        client.send(request_bytes("GET", query_form(upstream.port, "/events")))
        steps.go()
        read_until(client, EVENTS[0])
        steps.go(2)
        read_until(client, EVENTS[-1])


@pytest.mark.parametrize(("head", "encode", "end"), FRAMINGS)
def test_a_visitor_that_speaks_http_1_0_gets_events_too(
    host: Server, service: ServiceFactory, head: bytes, encode: Encode, end: bytes
) -> None:
    steps = Steps(head + STREAM, *map(encode, EVENTS), end)
    upstream = service(steps)
    request = request_bytes("GET", query_form(upstream.port, "/events"))
    with Client(host.port) as client:
        client.send(request.replace(b"HTTP/1.1", b"HTTP/1.0"))
        steps.go()
        assert b"Transfer-Encoding" not in client.read_head()
        for event in EVENTS:
            steps.go()
            read_until(client, event)
        steps.go(2)
        while client.fill():
            pass
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


def test_a_small_body_arrives_though_the_connection_stays_open(
    host: Server, service: ServiceFactory
) -> None:
    upstream = service(answers(OK))
    assert get(host, upstream).body == b"hi"


# --- As it is ------------------------------------------------------------------------------------


@both_forms
def test_a_gzip_body_stays_gzip(host: Server, service: ServiceFactory, form: Form) -> None:
    body = gzip.compress(b"text " * 100)
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nVary: Accept-Encoding\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    upstream = service(answers(head + body))
    reply = ask(host.port, "GET", form(upstream.port, "/x"), headers=[("Accept-Encoding", "gzip")])
    assert (reply.body, reply.value("Content-Encoding")) == (body, "gzip")
    assert reply.value("Vary") == "Accept-Encoding"


def test_a_wrong_gzip_body_stays_wrong(host: Server, service: ServiceFactory) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, br\r\nTransfer-Encoding: chunked\r\n\r\n"
    reply = get(host, service(answers(head + chunk(b"no gzip") + b"0\r\n\r\n")))
    assert (reply.body, reply.complete) == (b"no gzip", True)
    assert reply.value("Content-Encoding") == "gzip, br"


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


GOOD_CHUNKS = [
    pytest.param(b"5\r\nhello\r\n0\r\n\r\n", id="plain"),
    pytest.param(b"05\r\nhello\r\n000\r\n\r\n", id="leading-zeros"),
    pytest.param(b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", id="two-chunks"),
    pytest.param(b'5;a=b;c="d e"\r\nhello\r\n0;last\r\n\r\n', id="extensions"),
    pytest.param(b"5 ;a\r\nhello\r\n0\r\n\r\n", id="white-space-before-extension"),
    pytest.param(b"5\r\nhello\r\n0\r\nX: 1\r\nY: 2\r\n\r\n", id="trailers"),
    pytest.param(b"5\r\nhello\r\n0\r\nContent-Length: 99\r\n\r\n", id="trailer-content-length"),
]


@pytest.mark.parametrize("pieces", ["one-packet", "byte-by-byte"])
@pytest.mark.parametrize("body", GOOD_CHUNKS)
def test_a_sound_chunked_body_passes(
    host: Server, service: ServiceFactory, body: bytes, pieces: str
) -> None:
    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            step = len(body) if pieces == "one-packet" else 1
            for start in range(0, len(body), step):
                exchange.send(body[start : start + step])

    upstream = service(script)
    with Client(host.port) as client:
        for _ in range(2):
            client.send(request_bytes("GET", query_form(upstream.port, "/x")))
            reply = client.reply()
            assert (reply.status, reply.body, reply.complete) == (200, b"hello", True)
            assert (reply.values("X"), reply.values("Content-Length")) == ([], [])
    assert upstream.connections == 1


def test_a_hexadecimal_chunk_size_counts_in_either_case(
    host: Server, service: ServiceFactory
) -> None:
    body = b"0aF\r\n" + b"x" * 175 + b"\r\nAf\r\n" + b"y" * 175 + b"\r\n0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert get(host, service(answers(head + body))).body == b"x" * 175 + b"y" * 175


# --- No body where none may be -------------------------------------------------------------------

BODILESS = [
    pytest.param("HEAD", b"200 OK\r\nContent-Length: 1234", ["1234"], id="head-length"),
    pytest.param("HEAD", b"200 OK\r\nContent-Length: 0", ["0"], id="head-length-zero"),
    pytest.param("HEAD", b"200 OK", [], id="head-no-length"),
    pytest.param("HEAD", b"200 OK\r\nTransfer-Encoding: chunked", [], id="head-chunked"),
    pytest.param("HEAD", b"404 Not Found\r\nContent-Length: 9", ["9"], id="head-404"),
    pytest.param("GET", b"204 No Content", [], id="204"),
    pytest.param("GET", b"204 No Content\r\nContent-Length: 0", [], id="204-length-zero"),
    pytest.param("POST", b"204 No Content", [], id="204-to-post"),
    pytest.param("GET", b"304 Not Modified", [], id="304"),
    pytest.param("GET", b"304 Not Modified\r\nContent-Length: 1234", ["1234"], id="304-length"),
    pytest.param("GET", b"304 Not Modified\r\nTransfer-Encoding: chunked", [], id="304-chunked"),
    pytest.param("GET", b"200 OK\r\nContent-Length: 0", ["0"], id="200-length-zero"),
]


@both_forms
@pytest.mark.parametrize(("method", "head", "lengths"), BODILESS)
def test_an_answer_without_body_ends_with_its_head(
    host: Server,
    service: ServiceFactory,
    form: Form,
    method: str,
    head: bytes,
    lengths: list[str],
) -> None:
    upstream = service(answers(b"HTTP/1.1 " + head + b'\r\nETag: "x"\r\n\r\n', OK))
    with Client(host.port) as client:
        headers = [("If-None-Match", '"x"')]
        client.send(request_bytes(method, form(upstream.port, "/x"), headers=headers))
        reply = client.reply(method=method)
        assert f"{reply.status} {reply.reason}".encode() == head.partition(b"\r")[0]
        assert reply.values("Content-Length") == lengths
        assert reply.values("ETag") == ['"x"']
        client.send(request_bytes("GET", form(upstream.port, "/x")))
        assert client.reply().body == b"hi"
    assert upstream.connections == 1


SURPLUS = [
    pytest.param("GET", b"204 No Content\r\n\r\nbogus", id="204"),
    pytest.param("GET", b"204 No Content\r\nContent-Length: 5\r\n\r\nbogus", id="204-length"),
    pytest.param(
        "GET",
        b"204 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbogus\r\n0\r\n\r\n",
        id="204-chunked",
    ),
    pytest.param("GET", b"304 Not Modified\r\n\r\nbogus", id="304"),
    pytest.param("GET", b"304 Not\r\nContent-Length: 5\r\n\r\nbogus", id="304-length"),
    pytest.param("HEAD", b"200 OK\r\nContent-Length: 5\r\n\r\nbogus", id="head"),
    pytest.param(
        "HEAD",
        b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbogus\r\n0\r\n\r\n",
        id="head-chunked",
    ),
    pytest.param("GET", b"200 OK\r\nContent-Length: 0\r\n\r\nbogus", id="length-zero"),
    pytest.param("GET", b"200 OK\r\nContent-Length: 2\r\n\r\nhibogus", id="length"),
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
        client.send(request_bytes("GET", query_form(upstream.port, "/x")))
        assert client.reply().body == b"hi"
        assert client.buffer == b""
    assert upstream.connections == 2
