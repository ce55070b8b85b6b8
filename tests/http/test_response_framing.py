"""Where a body ends: what a service announces, and what is 502 because it could mean two things.

How lengths and codings are read has its tables in `tests/unit/test_framing_bodies.py`.
"""

from __future__ import annotations

import pytest

from tests.conftest import ServiceFactory
from tests.http.common import assert_not_valid_http, get, once_then_well
from tests.support.client import Client, request_bytes
from tests.support.servers import Server
from tests.support.service import answers
from tests.support.urls import query_form


@pytest.mark.case("lengths, codings and chunk sizes that are no such")
@pytest.mark.parametrize(
    ("fields", "body"),
    [
        pytest.param(b"Content-Length: 5\r\nX: 1\r\ncontent-length: 5", b"hello", id="twice-apart"),
        pytest.param(b"Content-Length:\t5, 5 ", b"hello", id="listed-twice"),
        pytest.param(b"Content-Length: 0\r\nContent-Length: 0", b"", id="zero-twice"),
        pytest.param(b"Content-Length: 00005", b"hello", id="leading-zeros"),
    ],
)
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


@pytest.mark.case("lengths, codings and chunk sizes that are no such")
@pytest.mark.promise("Answers are read strictly")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("minor", "fields"),
    [
        pytest.param(1, b"Content-Length: 5\r\nContent-Length: 4", id="two-lengths"),
        pytest.param(1, b"Content-Length: +5", id="no-length"),
        pytest.param(1, b"Content-Length: 5\r\nTransfer-Encoding: chunked", id="both"),
        pytest.param(1, b"Transfer-Encoding: gzip, chunked", id="another-coding"),
        pytest.param(0, b"Transfer-Encoding: chunked", id="chunked-in-http-1.0"),
    ],
)
def test_an_ambiguous_framing_is_502(
    host: Server, service: ServiceFactory, minor: int, fields: bytes, method: str
) -> None:
    head = b"HTTP/1.%d 200 OK\r\n%b\r\n\r\n" % (minor, fields)
    body = b"" if method == "HEAD" else b"5\r\nhello\r\n0\r\n\r\n"
    upstream = service(once_then_well(head + body))
    reply = get(host, upstream, method=method)
    if method == "HEAD":
        assert (reply.status, reply.body) == (502, b"")
    else:
        assert_not_valid_http(reply, upstream)
    assert get(host, upstream).body == b"hi"
    assert upstream.connections == 2


def test_the_case_of_chunked_does_not_matter(host: Server, service: ServiceFactory) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding:CHUNKED \t\r\n\r\n"
    reply = get(host, service(answers(head + b"5\r\nhello\r\n0\r\n\r\n")))
    assert (reply.status, reply.body, reply.complete) == (200, b"hello", True)
    assert reply.values("Transfer-Encoding") == ["chunked"]
    assert reply.values("Content-Length") == []
