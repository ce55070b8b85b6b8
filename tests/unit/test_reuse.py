"""Which connections to a service carry another request: who takes one, and who leaves one."""

from __future__ import annotations

from typing import Any

import pytest

from wsgi_portproxy.upstream.framing import body_decoder, parse_head
from wsgi_portproxy.upstream.request import UpstreamRequest
from wsgi_portproxy.upstream.reuse import may_be_shared, may_share

from .given import table


def a_request(method: str = "GET", *, websocket: bool = False) -> UpstreamRequest:
    return UpstreamRequest(16006, method, "/", [], websocket)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_what_may_be_repeated_may_take_a_used_connection(method: str) -> None:
    assert may_share(a_request(method), has_body=False)
    # Many services leave a body unread, and take it for the next request.
    assert not may_share(a_request(method), has_body=True)
    assert not may_share(a_request(method, websocket=True), has_body=False)


@pytest.mark.parametrize("method", ["POST", "PATCH", "get", "PROPFIND", "QUERY", ""])
def test_what_may_not_be_repeated_takes_a_fresh_one(method: str) -> None:
    assert not may_share(a_request(method), has_body=False)


def left(
    *fields: str,
    body: bytes = b"",
    status: int = 200,
    minor: int = 1,
    request: UpstreamRequest | None = None,
    has_body: bool = False,
    is_sent: bool = True,
) -> bool:
    """Whether an answer leaves its connection for others."""
    request = request or a_request()
    lines = [f"HTTP/1.{minor} {status} x", *fields, "", ""]
    head = parse_head("\r\n".join(lines).encode())
    decoder = body_decoder(head, request.method)
    decoder.feed(body)
    return may_be_shared(request, head, decoder, has_body=has_body, is_sent=is_sent)


LENGTH, CHUNKED = "Content-Length: 2", "Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"


@table(
    "fields, body, more",
    {
        "length": ([LENGTH], b"hi", {}),
        "empty": (["Content-Length: 0"], b"", {}),
        "chunked": ([CHUNKED], b"2\r\nhi\r\n" + LAST, {}),
        "old-kept-alive": ([LENGTH, "Connection: keep-alive"], b"hi", {"minor": 0}),
        "204": ([], b"", {"status": 204}),
        "304": ([], b"", {"status": 304}),
        "204-of-nothing": (["Content-Length: 0"], b"", {"status": 204}),
        "304-of-nothing": (["Content-Length: 0"], b"", {"status": 304}),
        "refused": ([LENGTH], b"hi", {"status": 404}),
        "delete": ([LENGTH], b"hi", {"request": a_request("DELETE")}),
    },
)
def test_a_connection_with_nothing_left_on_it(
    fields: list[str], body: bytes, more: dict[str, Any]
) -> None:
    assert left(*fields, body=body, **more)
    # But for what may be left on it of the request.
    assert not left(*fields, body=body, **more, has_body=True)
    assert not left(*fields, body=body, **more, is_sent=False)
    assert not left(*fields, "Connection: x, close", body=body, **more)


@table(
    "fields, body, more",
    {
        "not-ended": ([LENGTH], b"h", {}),
        "chunked-not-ended": ([CHUNKED], b"2\r\nhi\r\n", {}),
        "surplus": ([LENGTH], b"hi!", {}),
        "chunked-surplus": ([CHUNKED], LAST + b"HTTP/1.1 200 OK\r\n", {}),
        "until-it-closes": ([], b"hi", {}),
        "old": ([LENGTH], b"hi", {"minor": 0}),
        "post": ([LENGTH], b"hi", {"request": a_request("POST")}),
        "handshake": ([LENGTH], b"hi", {"request": a_request(websocket=True)}),
        # Some send a body with these all the same.
        "head": (["Content-Length: 0"], b"", {"request": a_request("HEAD")}),
        "head-with-a-length": ([LENGTH], b"", {"request": a_request("HEAD")}),
        "304-with-a-length": ([LENGTH], b"", {"status": 304}),
        "304-chunked": ([CHUNKED], b"", {"status": 304}),
        "204-with-a-length": ([LENGTH], b"", {"status": 204}),
    },
)
def test_one_that_nobody_else_is_given(
    fields: list[str], body: bytes, more: dict[str, Any]
) -> None:
    assert not left(*fields, body=body, **more)
