"""Heads of services, good and bad: what passes as it is, and what is 502 with a constant text."""

from __future__ import annotations

import pytest

from tests.conftest import ServiceFactory
from tests.http.common import assert_not_valid_http, get, once_then_well
from tests.support.client import ask
from tests.support.received import OK
from tests.support.servers import Server
from tests.support.service import Exchange, answers
from tests.support.urls import Form, both_forms

STATUS_LINES = [
    *[f"{code} Some Reason" for code in (200, 201, 202, 203, 206, 226, 299)],
    *[f"{code} Some Reason" for code in (300, 301, 302, 303, 305, 307, 308, 399)],
    *[f"{code} Some Reason" for code in (400, 401, 403, 404, 409, 418, 426, 429, 451, 499)],
    *[f"{code} Some Reason" for code in (500, 501, 502, 503, 504, 508, 511, 599)],
]


@pytest.mark.parametrize("line", STATUS_LINES, ids=lambda line: line[:3])
def test_a_status_passes_with_its_body(host: Server, service: ServiceFactory, line: str) -> None:
    head = f"HTTP/1.1 {line}\r\nContent-Type: text/x-odd\r\nContent-Length: 4\r\n\r\n"
    upstream = service(answers(head.encode() + b"body"))
    reply = get(host, upstream)
    assert (f"{reply.status} {reply.reason}", reply.body) == (line, b"body")
    assert reply.values("Content-Type") == ["text/x-odd"]
    assert reply.complete


REASONS = [
    pytest.param(b" ", "", id="empty"),
    pytest.param(b"", "", id="no-space-either"),
    pytest.param(b' I\'m a {teapot}: <b>"short" & stout</b>', None, id="punctuation"),
    pytest.param(b" \xdcnbekannt \xff", None, id="latin"),
    pytest.param(b" tab\there", None, id="tab"),
    pytest.param(b" " + b"x" * 3000, None, id="long"),
]


@pytest.mark.parametrize(("reason", "expected"), REASONS)
def test_a_reason_phrase_passes(
    host: Server, service: ServiceFactory, reason: bytes, expected: str | None
) -> None:
    upstream = service(answers(b"HTTP/1.1 299" + reason + b"\r\nContent-Length: 2\r\n\r\nhi"))
    reply = get(host, upstream)
    assert (reply.status, reply.body) == (299, b"hi")
    assert reply.reason == (reason[1:].decode("latin-1") if expected is None else expected)


BAD_STATUS_LINES = [
    b"HTTP/1.1 000 Zero",
    b"HTTP/1.1 099 Below",
    b"HTTP/1.1 101 Switching Protocols",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket",
    b"HTTP/1.1 600 Above",
    b"HTTP/1.1 999 Request denied",
    b"HTTP/1.1 20 OK",
    b"HTTP/1.1 2000 OK",
    b"HTTP/1.1 +20 OK",
    b"HTTP/1.1 -20 OK",
    b"HTTP/1.1 2x0 OK",
    b"HTTP/1.1 \xb2\xb2\xb2 OK",
    b"HTTP/1.1 200OK",
    b"HTTP/1.1  200 OK",
    b"HTTP/1.1\t200 OK",
    b"HTTP/1.1200 OK",
    b"HTTP/1.1",
    b"HTTP/1.1 ",
    b"HTTP/1. 200 OK",
    b"HTTP/1.10 200 OK",
    b"HTTP/1.x 200 OK",
    b"HTTP/0.9 200 OK",
    b"HTTP/2 200 OK",
    b"HTTP/2.0 200 OK",
    b"http/1.1 200 OK",
    b" HTTP/1.1 200 OK",
    b"\r\nHTTP/1.1 200 OK",
    b"ICY 200 OK",
    b"Status: 200 OK",
    b"HTTP/1.1 200 O\rK",
    b"HTTP/1.1 200 OK\r",
    b"HTTP/1.1 200 O\0K",
    b"HTTP/1.1 200 O\x1b[31mK",
    b"HTTP/1.1 200 O\x7fK",
]


@both_forms
@pytest.mark.parametrize("line", BAD_STATUS_LINES, ids=repr)
def test_an_impossible_status_line_is_502(
    host: Server, service: ServiceFactory, form: Form, line: bytes
) -> None:
    upstream = service(once_then_well(line + b"\r\nContent-Length: 2\r\n\r\nhi"))
    assert_not_valid_http(ask(host.port, "GET", form(upstream.port, "/x")), upstream)
    assert get(host, upstream).body == b"hi"
    assert upstream.connections == 2


BAD_FIELDS = [
    pytest.param(b"no colon here", id="without-colon"),
    pytest.param(b"X-Bad : 1", id="space-before-colon"),
    pytest.param(b"X-Bad\t: 1", id="tab-before-colon"),
    pytest.param(b": 1", id="empty-name"),
    pytest.param(b" X-Bad: 1", id="leading-space"),
    pytest.param(b"X Bad: 1", id="space-in-name"),
    pytest.param(b"X(Bad): 1", id="parentheses-in-name"),
    pytest.param(b"X-B\xe4d: 1", id="latin-in-name"),
    pytest.param(b"X-Bad: 1\r\n folded", id="obs-fold-space"),
    pytest.param(b"X-Bad: 1\r\n\tfolded", id="obs-fold-tab"),
    pytest.param(b"X-Bad: a\0b", id="nul"),
    pytest.param(b"X-Bad: a\rb", id="bare-cr"),
    pytest.param(b"X-Bad: a\nSet-Cookie: evil=1", id="bare-lf"),
    pytest.param(b"X-Bad: a\r\rb", id="cr-cr"),
    pytest.param(b"X-Bad: a\r\r\nX: 1", id="cr-crlf"),
    pytest.param(b"X-Bad: a\x08b", id="backspace"),
    pytest.param(b"X-Bad: a\x1b[2Jb", id="escape-sequence"),
    pytest.param(b"X-Bad: a\x0bb", id="vertical-tab"),
    pytest.param(b"X-Bad: a\x7f", id="delete"),
    pytest.param(b"\0X-Bad: 1", id="nul-in-name"),
]


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("field", BAD_FIELDS)
def test_a_malformed_field_is_502(
    host: Server, service: ServiceFactory, field: bytes, place: str
) -> None:
    good = b"Content-Type: text/plain\r\nContent-Length: 2"
    fields = [field, good] if place == "first" else [good, field]
    head = b"HTTP/1.1 200 OK\r\n" + b"\r\n".join(fields) + b"\r\n\r\n"
    upstream = service(once_then_well(head + b"hi"))
    assert_not_valid_http(get(host, upstream), upstream)
    assert get(host, upstream).body == b"hi"
    assert upstream.connections == 2


BAD_LINE_ENDS = [
    pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", id="only-lf"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\nhi", id="lf-after-crlf"),
    pytest.param(b"HTTP/1.1 200 OK\rContent-Length: 2\r\rhi", id="only-cr"),
    pytest.param(b"HTTP/1.1 200 OK\n\rContent-Length: 2\n\r\n\rhi", id="lfcr"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nhi", id="crlf-then-lf"),
]


@pytest.mark.parametrize("head", BAD_LINE_ENDS)
def test_other_line_ends_are_502_at_once_not_504_later(
    host: Server, service: ServiceFactory, head: bytes
) -> None:
    upstream = service(once_then_well(head))  # and then says nothing more
    assert_not_valid_http(get(host, upstream), upstream)
    assert get(host, upstream).body == b"hi"


GOOD_FIELDS = [
    (b"X-Odd:no-space", "X-Odd", "no-space"),
    (b"X-Odd: \t padded \t ", "X-Odd", "padded"),
    (b"X-Odd:", "X-Odd", ""),
    (b"X-Odd:  ", "X-Odd", ""),
    (b"!#$%&'*+-.^_`|~09aZ: token", "!#$%&'*+-.^_`|~09aZ", "token"),
    (b"X-Odd: caf\xe9 \xff", "X-Odd", "caf\xe9 \xff"),
    (b'X-Odd: a: b; c="d, e"\tf', "X-Odd", 'a: b; c="d, e"\tf'),
    (b"X-Odd: " + b"y" * 20000, "X-Odd", "y" * 20000),
    (b'ETag: W/"x"', "ETag", 'W/"x"'),
    (b"Last-Modified: Sat, 29 Oct 1994 19:43:31 GMT", "Last-Modified", None),
    (b'Content-Disposition: attachment; filename="\xe9.txt"', "Content-Disposition", None),
    (b"Access-Control-Allow-Origin: *", "Access-Control-Allow-Origin", "*"),
    (b'WWW-Authenticate: Basic realm="x"', "WWW-Authenticate", 'Basic realm="x"'),
    (b"Content-Security-Policy: default-src 'self'", "Content-Security-Policy", None),
]


@pytest.mark.parametrize(
    ("line", "name", "value"),
    GOOD_FIELDS,
    ids=[line[:24].decode("latin-1") for line, *_ in GOOD_FIELDS],
)
def test_an_odd_field_passes_unchanged(
    host: Server, service: ServiceFactory, line: bytes, name: str, value: str | None
) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 2\r\n\r\n"
    reply = get(host, service(answers(head + b"hi")))
    assert (reply.status, reply.body) == (200, b"hi")
    expected = line.partition(b": ")[2].decode("latin-1") if value is None else value
    assert reply.values(name) == [expected]


def test_duplicate_fields_keep_count_and_order(host: Server, service: ServiceFactory) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nX-Many: 3\r\nSet-Cookie: a=1\r\nx-many: 1, 4\r\nSet-Cookie: b=2\r\n"
        b"X-MANY: 1\r\nset-cookie: a=3\r\nContent-Length: 2\r\n\r\n"
    )
    reply = get(host, service(answers(head + b"hi")))
    assert reply.values("X-Many") == ["3", "1, 4", "1"]
    assert reply.values("Set-Cookie") == ["a=1", "b=2", "a=3"]


@pytest.mark.parametrize("name", ["Keep-Alive", "Trailer", "Upgrade", "Proxy-Authenticate", "TE"])
def test_a_hop_by_hop_field_of_the_service_is_not_passed(
    host: Server, service: ServiceFactory, name: str
) -> None:
    head = f"HTTP/1.1 200 OK\r\n{name}: h2c\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\n"
    reply = get(host, service(answers(head.encode() + b"hi")))
    assert (reply.values(name), reply.values("X-Kept")) == ([], ["1"])


def test_fields_that_the_services_connection_names_are_not_passed(
    host: Server, service: ServiceFactory
) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nConnection: X-One , keep-alive\r\nX-One: 1\r\nX-Two: 2\r\n"
        b"X-Three: 3\r\nConnection: x-two\r\nContent-Length: 2\r\n\r\n"
    )
    reply = get(host, service(answers(head + b"hi")))
    assert (reply.values("X-One"), reply.values("X-Two")) == ([], [])
    assert reply.values("X-Three") == ["3"]


@pytest.mark.parametrize("count", [100, 150, 400])
def test_many_fields_pass(host: Server, service: ServiceFactory, count: int) -> None:
    fields = b"".join(b"X-Field-%d: %d\r\n" % (number, number) for number in range(count))
    head = b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 2\r\n\r\n"
    reply = get(host, service(answers(head + b"hi")))
    assert (reply.status, reply.body) == (200, b"hi")
    assert [reply.value(f"X-Field-{number}") for number in range(count)] == [
        str(number) for number in range(count)
    ]


TOO_MUCH = [
    pytest.param(b"X-Long: " + b"x" * 66560 + b"\r\n\r\n", id="a-65-KiB-field"),
    pytest.param(b"X: 1\r\n" * 5000 + b"\r\n", id="5000-fields"),
    pytest.param(b"X: %d\r\n" % 1 * 12000 + b"\r\n", id="a-70-KiB-head"),
    pytest.param(b"X-Endless: " + b"x" * 4_000_000, id="a-field-without-end"),
    pytest.param(b"X: 1\r\n" * 500_000, id="fields-without-end"),
]


@pytest.mark.parametrize("fields", TOO_MUCH)
def test_a_head_that_is_too_large_is_502(
    host: Server, service: ServiceFactory, fields: bytes
) -> None:
    upstream = service(once_then_well(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + fields))
    assert_not_valid_http(get(host, upstream), upstream)
    assert get(host, upstream).body == b"hi"


def test_a_status_line_without_end_is_502(host: Server, service: ServiceFactory) -> None:
    upstream = service(once_then_well(b"HTTP/1.1 200 " + b"x" * 4_000_000))
    assert_not_valid_http(get(host, upstream), upstream)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_head_may_come_byte_by_byte(host: Server, service: ServiceFactory, method: str) -> None:
    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            for byte in OK:
                exchange.send(bytes([byte]))

    upstream = service(script)
    for _ in range(3):
        reply = get(host, upstream, method=method)
        assert (reply.status, reply.body, reply.complete) == (200, b"hi", True)
