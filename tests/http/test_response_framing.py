"""Where a body ends: what a service announces, and what is 502 because it could mean two things."""

from __future__ import annotations

import pytest

from tests.conftest import ServiceFactory
from tests.http.common import assert_not_valid_http, get, once_then_well
from tests.support.client import Client, request_bytes
from tests.support.servers import Server
from tests.support.service import answers
from tests.support.urls import query_form

GOOD_FRAMING = [
    pytest.param(b"Content-Length: 5", b"hello", id="length"),
    pytest.param(b"Content-Length: 5\r\nContent-Length: 5", b"hello", id="length-twice"),
    pytest.param(b"Content-Length: 5\r\nX: 1\r\ncontent-length: 5", b"hello", id="twice-apart"),
    pytest.param(b"Content-Length: 5, 5", b"hello", id="length-listed-twice"),
    pytest.param(b"Content-Length:\t5 ", b"hello", id="length-with-white-space"),
    pytest.param(b"Content-Length: 0", b"", id="length-zero"),
    pytest.param(b"Content-Length: 0\r\nContent-Length: 0", b"", id="length-zero-twice"),
    pytest.param(b"Content-Length: 00005", b"hello", id="leading-zeros"),
]


@pytest.mark.parametrize(("fields", "body"), GOOD_FRAMING)
def test_a_sound_length_arrives_once(
    host: Server, service: ServiceFactory, fields: bytes, body: bytes
) -> None:
    upstream = service(answers(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n" + body))
    with Client(host.port) as client:
        for _ in range(2):
            client.send(request_bytes("GET", query_form(upstream.port, "/x")))
            reply = client.reply()
            assert (reply.status, reply.body, reply.complete) == (200, body, True)
            assert [int(length) for length in reply.values("Content-Length")] == [len(body)]
    assert upstream.connections == 1


BAD_FRAMING = [
    pytest.param(b"Content-Length: 5\r\nContent-Length: 4", id="5-and-4"),
    pytest.param(b"Content-Length: 4\r\nContent-Length: 5", id="4-and-5"),
    pytest.param(b"Content-Length: 5, 4", id="5-comma-4"),
    pytest.param(b"Content-Length: 5\r\nContent-Length:", id="5-and-empty"),
    pytest.param(b"Content-Length: 5\r\nContent-Length: 5, 6", id="5-and-5-comma-6"),
    pytest.param(b"Content-Length: +5", id="plus"),
    pytest.param(b"Content-Length: -5", id="minus"),
    pytest.param(b"Content-Length: 0_5", id="underscore"),
    pytest.param(b"Content-Length: 5;", id="semicolon"),
    pytest.param(b"Content-Length: 5,", id="comma"),
    pytest.param(b"Content-Length: ,5", id="leading-comma"),
    pytest.param(b"Content-Length:", id="empty"),
    pytest.param(b"Content-Length: 5 5", id="space-within"),
    pytest.param(b"Content-Length: 5.0", id="decimal"),
    pytest.param(b"Content-Length: 0x5", id="hexadecimal"),
    pytest.param(b"Content-Length: 5e0", id="exponent"),
    pytest.param(b'Content-Length: "5"', id="quoted"),
    pytest.param("Content-Length: \u0665".encode(), id="arabic-indic"),
    pytest.param(b"Content-Length: \xb2", id="superscript"),
    pytest.param(b"Content-Length: five", id="word"),
    pytest.param(b"Content-Length: 99999999999999999999", id="beyond-64-bits"),
    pytest.param(b"Content-Length: " + b"9" * 5000, id="5000-digits"),
    pytest.param(b"Content-Length: 5\r\nTransfer-Encoding: chunked", id="length-and-chunked"),
    pytest.param(b"Transfer-Encoding: chunked\r\nContent-Length: 5", id="chunked-and-length"),
    pytest.param(b"Transfer-Encoding: chunked\r\nContent-Length: 0", id="chunked-and-zero"),
    pytest.param(b"Transfer-Encoding: gzip, chunked", id="gzip-chunked"),
    pytest.param(b"Transfer-Encoding: chunked, gzip", id="chunked-gzip"),
    pytest.param(b"Transfer-Encoding: chunked, chunked", id="chunked-chunked"),
    pytest.param(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", id="two-fields"),
    pytest.param(b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", id="gzip-field-first"),
    pytest.param(b"Transfer-Encoding: identity", id="identity"),
    pytest.param(b"Transfer-Encoding: identity\r\nContent-Length: 5", id="identity-and-length"),
    pytest.param(b"Transfer-Encoding: gzip", id="gzip"),
    pytest.param(b"Transfer-Encoding: xchunked", id="unknown"),
    pytest.param(b"Transfer-Encoding: chunked;q=1", id="with-parameter"),
    pytest.param(b'Transfer-Encoding: "chunked"', id="quoted-chunked"),
    pytest.param(b"Transfer-Encoding:", id="empty-coding"),
    pytest.param(b"Transfer-Encoding: ,chunked", id="empty-member"),
    pytest.param(b"Transfer-Encoding: chunked\x0b", id="control-character"),
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("fields", BAD_FRAMING)
def test_an_ambiguous_framing_is_502(
    host: Server, service: ServiceFactory, fields: bytes, method: str
) -> None:
    body = b"" if method == "HEAD" else b"5\r\nhello\r\n0\r\n\r\n"
    upstream = service(once_then_well(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n" + body))
    reply = get(host, upstream, method=method)
    if method == "HEAD":
        assert (reply.status, reply.body) == (502, b"")
    else:
        assert_not_valid_http(reply, upstream)
    assert get(host, upstream).body == b"hi"
    assert upstream.connections == 2


def test_chunked_in_http_1_0_is_502(host: Server, service: ServiceFactory) -> None:
    head = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    upstream = service(answers(head + b"5\r\nhello\r\n0\r\n\r\n"))
    assert_not_valid_http(get(host, upstream), upstream)


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"CHUNKED \t"])
def test_the_case_of_chunked_does_not_matter(
    host: Server, service: ServiceFactory, coding: bytes
) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding:" + coding + b"\r\n\r\n"
    reply = get(host, service(answers(head + b"5\r\nhello\r\n0\r\n\r\n")))
    assert (reply.status, reply.body, reply.complete) == (200, b"hello", True)
    assert reply.values("Transfer-Encoding") == ["chunked"]
    assert reply.values("Content-Length") == []
