"""A body that breaks looks broken to the visitor, and its connection is not used again."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from tests.conftest import ServiceFactory
from tests.http.common import get, read_until
from tests.support.client import Client, request_bytes
from tests.support.endings import close, half_close, reset
from tests.support.received import OK
from tests.support.servers import Server
from tests.support.service import Exchange, answers
from tests.support.urls import Form, both_forms, query_form
from tests.support.waiting import Steps, peer_left, until

Encode = Callable[[bytes], bytes]


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BROKEN = [
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"hello", id="length-short"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"", id="length-no-byte"),
    pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n", b"hello", id="http-1.0-length"),
    pytest.param(CHUNKED, b"", id="no-chunk"),
    pytest.param(CHUNKED, b"5\r\nhello\r\n", id="no-last-chunk"),
    pytest.param(CHUNKED, b"5\r\nhello", id="no-crlf-after-data"),
    pytest.param(CHUNKED, b"5\r\nhel", id="within-a-chunk"),
    pytest.param(CHUNKED, b"5\r\nhello\r\n1", id="within-a-size"),
    pytest.param(CHUNKED, b"5\r\nhello\r\n0", id="within-the-last-size"),
    pytest.param(CHUNKED, b"5\r\nhello\r\n0\r\n", id="before-the-last-crlf"),
    pytest.param(CHUNKED, b"5\r\nhello\r\n0\r\nX: 1\r\n", id="within-the-trailers"),
]


@both_forms
@pytest.mark.parametrize("ending", [close, reset, half_close])
@pytest.mark.parametrize(("head", "body"), BROKEN)
def test_a_body_that_is_cut_looks_cut(
    host: Server,
    service: ServiceFactory,
    form: Form,
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
        client.send(request_bytes("GET", form(upstream.port, "/x")))
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


BAD_CHUNKS = [
    pytest.param(b"0x3\r\nabc\r\n", id="0x"),
    pytest.param(b"+3\r\nabc\r\n", id="plus"),
    pytest.param(b"-3\r\nabc\r\n", id="minus"),
    pytest.param(b"3_0\r\nabc\r\n", id="underscore"),
    pytest.param(b" 3\r\nabc\r\n", id="leading-space"),
    pytest.param(b"\r\nabc\r\n", id="no-size"),
    pytest.param(b";x\r\nabc\r\n", id="only-extension"),
    pytest.param(b"g\r\nabc\r\n", id="not-hexadecimal"),
    pytest.param(b"3.0\r\nabc\r\n", id="decimal"),
    pytest.param(b"\xb3\r\nabc\r\n", id="superscript"),
    pytest.param("٣\r\nabc\r\n".encode(), id="arabic-indic"),
    pytest.param(b"3\nabc\n", id="bare-lf"),
    pytest.param(b"3\rabc\r", id="bare-cr"),
    pytest.param(b"3\r\nabcX", id="no-crlf-after-data"),
    pytest.param(b"3\r\nabcd\r\n", id="longer-than-its-size"),
    pytest.param(b"3\r\nabc\n", id="lf-after-data"),
    pytest.param(b"3\r\nabc\r0\r\n\r\n", id="cr-after-data"),
    pytest.param(b"3;a\0b\r\nabc\r\n", id="nul-in-extension"),
    pytest.param(b"3;a\rb\r\nabc\r\n", id="cr-in-extension"),
    pytest.param(b"3" + b"0" * 20 + b"\r\nabc\r\n", id="size-beyond-64-bits"),
    pytest.param(b"0" * 100_000, id="size-without-end"),
    pytest.param(b"3;" + b"x" * 100_000, id="extension-without-end"),
    pytest.param(b"0\r\nno colon\r\n\r\n", id="malformed-trailer"),
    pytest.param(b"0\r\n" + b"X: 1\r\n" * 100_000, id="trailers-without-end"),
    pytest.param(b"0\r\nX: " + b"x" * 100_000, id="trailer-without-end"),
]


@pytest.mark.parametrize("bad", BAD_CHUNKS)
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


@pytest.mark.parametrize("bad", BAD_CHUNKS)
def test_a_malformed_chunk_in_the_packet_of_the_head_never_looks_complete(
    host: Server, service: ServiceFactory, bad: bytes
) -> None:
    upstream = service(answers(CHUNKED + bad, OK))
    reply = get(host, upstream)
    assert reply.status == 502 or not reply.complete
    assert get(host, upstream).status in (200, 502)
