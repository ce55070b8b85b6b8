"""Heads of services, good and bad: what passes as it is, and what is 502 with a constant text.

Which heads are malformed has its table in `tests/unit/test_framing_heads.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.conftest import ServiceFactory
from tests.http.common import assert_not_valid_http, get, once_then_well
from tests.support.client import Client, ask, request_bytes
from tests.support.received import OK
from tests.support.servers import Server
from tests.support.service import Exchange, answers
from tests.support.urls import Form, both_forms, query_form
from tests.support.waiting import Steps
from wsgi_portproxy.upstream.framing import MAX_INTERIM

STATUSES = [200, 206, 299, 300, 301, 308, 399, 400, 401, 404, 426, 499, 500, 502, 503, 599]


@pytest.mark.case("two Set-Cookie; odd reasons and statuses")
@pytest.mark.parametrize("status", STATUSES)
def test_a_status_passes_with_its_body(host: Server, service: ServiceFactory, status: int) -> None:
    head = f"HTTP/1.1 {status} A Reason\r\nContent-Type: text/x-odd\r\nContent-Length: 4\r\n\r\n"
    reply = get(host, service(answers(head.encode() + b"body")))
    assert (reply.status, reply.reason, reply.body) == (status, "A Reason", b"body")
    assert reply.values("Content-Type") == ["text/x-odd"]
    assert reply.complete


@pytest.mark.case("two Set-Cookie; odd reasons and statuses")
@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        pytest.param(b" ", "", id="empty"),
        pytest.param(b"", "", id="no-space-either"),
        pytest.param(b' I\'m a {teapot}: <b>"short" & stout</b>', None, id="punctuation"),
        pytest.param(b" \xdcnbekannt\t\xff", None, id="latin"),
        pytest.param(b" " + b"x" * 3000, None, id="long"),
    ],
)
def test_a_reason_phrase_passes(
    host: Server, service: ServiceFactory, reason: bytes, expected: str | None
) -> None:
    upstream = service(answers(b"HTTP/1.1 299" + reason + b"\r\nContent-Length: 2\r\n\r\nhi"))
    reply = get(host, upstream)
    assert (reply.status, reply.body) == (299, b"hi")
    assert reply.reason == (reason[1:].decode("latin-1") if expected is None else expected)


def assert_502_once(host: Server, service: ServiceFactory, bad: bytes) -> None:
    """It comes at once, though the service then says nothing more: 504 would be too late."""
    upstream = service(once_then_well(bad))
    assert_not_valid_http(get(host, upstream), upstream)
    assert get(host, upstream).body == b"hi"
    assert upstream.connections == 2


@pytest.mark.case("two Set-Cookie; odd reasons and statuses")
@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1 099 Below",
        b"HTTP/1.1 101 Switching Protocols",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket",
        b"HTTP/1.1 600 Above",
        b"HTTP/1.1 2000 OK",
        b"HTTP/2 200 OK",
        b"\r\nHTTP/1.1 200 OK",
        b"HTTP/1.1 200 O\x1b[31mK",
    ],
    ids=repr,
)
def test_an_impossible_status_line_is_502(
    host: Server, service: ServiceFactory, line: bytes
) -> None:
    assert_502_once(host, service, line + b"\r\nContent-Length: 2\r\n\r\nhi")


@pytest.mark.case("malformed fields; 150 fields pass, 65 KiB or 5,000 do not")
@pytest.mark.parametrize(
    "field",
    [
        pytest.param(b"no colon here", id="without-colon"),
        pytest.param(b"X-Bad : 1", id="space-before-colon"),
        pytest.param(b"X-Bad: 1\r\n folded", id="obs-fold"),
        pytest.param(b"X-Bad: a\0b", id="nul"),
        pytest.param(b"X-Bad: a\nSet-Cookie: evil=1", id="bare-lf"),
        pytest.param(b"X-Bad: a\rb", id="bare-cr"),
    ],
)
def test_a_malformed_field_is_502(host: Server, service: ServiceFactory, field: bytes) -> None:
    fields = [b"HTTP/1.1 200 OK", b"Content-Type: text/plain", field, b"Content-Length: 2", b""]
    assert_502_once(host, service, b"\r\n".join([*fields, b"hi"]))


@pytest.mark.case("malformed fields; 150 fields pass, 65 KiB or 5,000 do not")
@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"HTTP/1.1 200 " + b"x" * 4_000_000, id="a-status-line-without-end"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 4_000_000, id="a-field-without-end"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 500_000, id="fields-without-end"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 5000 + b"\r\n", id="5000-fields"),
    ],
)
def test_a_head_that_is_too_large_is_502(
    host: Server, service: ServiceFactory, head: bytes
) -> None:
    assert_502_once(host, service, head)


ODD_FIELDS = [
    (b"X-Odd-1:no-space", "X-Odd-1", "no-space"),
    (b"X-Odd-2: \t padded \t ", "X-Odd-2", "padded"),
    (b"X-Odd-3:", "X-Odd-3", ""),
    (b"!#$%&'*+-.^_`|~09aZ: token", "!#$%&'*+-.^_`|~09aZ", "token"),
    (b"X-Odd-4: caf\xe9 \xff", "X-Odd-4", "caf\xe9 \xff"),
    (b'X-Odd-5: a: b; c="d, e"\tf', "X-Odd-5", 'a: b; c="d, e"\tf'),
    (b"X-Odd-6: " + b"y" * 20000, "X-Odd-6", "y" * 20000),
    (b'ETag: W/"x"', "ETag", 'W/"x"'),
    (b"Last-Modified: Sat, 29 Oct 1994 19:43:31 GMT", "Last-Modified",
     "Sat, 29 Oct 1994 19:43:31 GMT"),
    (b'Content-Disposition: attachment; filename="\xe9.txt"', "Content-Disposition",
     'attachment; filename="\xe9.txt"'),
    (b"Access-Control-Allow-Origin: *", "Access-Control-Allow-Origin", "*"),
    (b'WWW-Authenticate: Basic realm="x"', "WWW-Authenticate", 'Basic realm="x"'),
    (b"Content-Security-Policy: default-src 'self'", "Content-Security-Policy",
     "default-src 'self'"),
]  # fmt: skip
MANY = [(b"X-Field-%d: %d" % (number, number), f"X-Field-{number}", str(number))
        for number in range(400)]  # fmt: skip


@pytest.mark.case("malformed fields; 150 fields pass, 65 KiB or 5,000 do not")
@pytest.mark.parametrize("table", [ODD_FIELDS, MANY], ids=["odd", "many"])
def test_fields_pass_unchanged(
    host: Server, service: ServiceFactory, table: list[tuple[bytes, str, str]]
) -> None:
    lines = [b"HTTP/1.1 200 OK", *(line for line, *_ in table), b"Content-Length: 2", b"", b"hi"]
    reply = get(host, service(answers(b"\r\n".join(lines))))
    assert (reply.status, reply.body) == (200, b"hi")
    assert [reply.values(name) for _, name, _ in table] == [[value] for *_, value in table]


def test_duplicate_fields_keep_count_and_order(host: Server, service: ServiceFactory) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nX-Many: 3\r\nSet-Cookie: a=1\r\nx-many: 1, 4\r\nSet-Cookie: b=2\r\n"
        b"X-MANY: 1\r\nset-cookie: a=3\r\nContent-Length: 2\r\n\r\n"
    )
    reply = get(host, service(answers(head + b"hi")))
    assert reply.values("X-Many") == ["3", "1, 4", "1"]
    assert reply.values("Set-Cookie") == ["a=1", "b=2", "a=3"]


def test_hop_by_hop_fields_and_those_that_connection_names_are_not_passed(
    host: Server, service: ServiceFactory
) -> None:
    names = ["Keep-Alive", "Trailer", "Upgrade", "Proxy-Authenticate", "TE", "X-One", "X-Two"]
    fields = "".join(f"{name}: h2c\r\n" for name in [*names, "X-Kept"])
    connection = "Connection: X-One , keep-alive\r\nConnection: x-two\r\n"
    head = f"HTTP/1.1 200 OK\r\n{connection}{fields}Content-Length: 2\r\n\r\n"
    reply = get(host, service(answers(head.encode() + b"hi")))
    assert [name for name in names if reply.values(name)] == []
    assert reply.values("X-Kept") == ["h2c"]


def test_a_head_may_come_byte_by_byte(host: Server, service: ServiceFactory) -> None:
    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            for byte in OK:
                exchange.send(bytes([byte]))

    upstream = service(script)
    for method in ("GET", "POST", "GET"):
        reply = get(host, upstream, method=method)
        assert (reply.status, reply.body, reply.complete) == (200, b"hi", True)


# --- 1xx: 103 goes out as early hints, others are dropped, none is taken for the answer -----------


@pytest.fixture
def hinting(variants: Mapping[str, Server]) -> Server:
    """The app with `early_hints` on; they are off in all others."""
    return variants["hinting"]


HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\nX-Not: 1\r\n\r\n"


@pytest.mark.case("early hints only where they are wanted")
@pytest.mark.case("103, unsolicited 101, 1xx without end")
@both_forms
def test_103_goes_out_as_early_hints(hinting: Server, service: ServiceFactory, form: Form) -> None:
    upstream = service(answers(HINT + OK))
    reply = ask(hinting.port, "GET", form(upstream.port, "/x"))
    assert (reply.status, reply.body) == (200, b"hi")
    assert len(reply.interim) == 1
    link = form(upstream.port, "/style.css").encode()
    assert reply.interim[0] == (
        b"HTTP/1.1 103 Early Hints\r\nLink: <" + link + b">; rel=preload; as=style"
    )


def test_every_103_goes_out_before_the_answer_is_there(
    hinting: Server, service: ServiceFactory
) -> None:
    steps = Steps(HINT, HINT.replace(b"style.css", b"other.css"), OK)
    upstream = service(steps)
    with Client(hinting.port) as client:
        client.send(request_bytes("GET", query_form(upstream.port, "/x")))
        for name in (b"style.css", b"other.css"):
            steps.go()
            head = client.read_head()
            assert head.startswith(b"HTTP/1.1 103 ")
            assert name in head
        steps.go()
        assert client.reply().body == b"hi"


def test_a_visitor_that_speaks_http_1_0_gets_no_103(
    hinting: Server, service: ServiceFactory
) -> None:
    upstream = service(answers(HINT + OK))
    head = request_bytes("GET", query_form(upstream.port, "/x")).replace(b"HTTP/1.1", b"HTTP/1.0")
    with Client(hinting.port) as client:
        client.send(head)
        reply = client.reply()
    assert (reply.status, reply.body, reply.interim) == (200, b"hi", [])


@both_forms
def test_where_hints_are_not_switched_on_none_goes_out(
    host: Server, service: ServiceFactory, form: Form
) -> None:
    """A front-end may take one for the answer, and not look at the answer."""
    upstream = service(answers(HINT * 2 + OK))
    for method in ("GET", "POST"):
        reply = ask(host.port, method, form(upstream.port, "/x"))
        assert (reply.status, reply.body, reply.interim) == (200, b"hi", [])
        assert reply.values("Link") == []


@pytest.mark.parametrize(
    "interim",
    [
        pytest.param(b"HTTP/1.0 100\r\n\r\n", id="100-in-http-1.0-without-reason"),
        pytest.param(b"HTTP/1.1 199 Unknown\r\nX: 1\r\n\r\n", id="199"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nX-No: link\r\n\r\n", id="103-without-link"),
        pytest.param(b"HTTP/1.1 100 Continue\r\nContent-Length: 9\r\n\r\n", id="with-length"),
        pytest.param(b"HTTP/1.1 100 C\r\n\r\n" * MAX_INTERIM, id="as-many-as-may-be"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_other_1xx_are_dropped(
    host: Server, service: ServiceFactory, interim: bytes, method: str
) -> None:
    answer = OK.removesuffix(b"hi") if method == "HEAD" else OK
    upstream = service(answers(interim + answer))
    for _ in range(2):
        reply = get(host, upstream, method=method)
        assert (reply.status, reply.interim) == (200, [])
        assert reply.value("Content-Length") == "2"


@pytest.mark.case("103, unsolicited 101, 1xx without end")
def test_1xx_without_end_is_502(host: Server, service: ServiceFactory) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        while not exchange.number:
            exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.send(OK)

    upstream = service(script)
    assert_not_valid_http(get(host, upstream), upstream)
    assert get(host, upstream).body == b"hi"


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", id="only-lf"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\nhi", id="lf-after-crlf"),
        pytest.param(b"HTTP/1.1 200 OK\rContent-Length: 2\r\rhi", id="only-cr"),
        pytest.param(b"HTTP/1.1 100 Continue\r\nX : 1\r\n\r\n" + OK, id="interim-field"),
        pytest.param(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n" + OK, id="interim-101"),
        pytest.param(b"HTTP/1.1 100 C\r\n\r\nnot HTTP" + OK, id="garbage-behind-interim"),
        pytest.param(b"HTTP/1.1 100 C\r\n\r\n" * (MAX_INTERIM + 1) + OK, id="interim-too-often"),
    ],
)
def test_other_malformed_heads_are_502(host: Server, service: ServiceFactory, head: bytes) -> None:
    assert_502_once(host, service, head)


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", HINT], ids=["100", "103"])
def test_an_interim_response_is_never_taken_for_the_answer(
    host: Server, service: ServiceFactory, interim: bytes
) -> None:
    upstream = service(once_then_well(interim, keep_open=False))
    assert_not_valid_http(get(host, upstream), upstream)
    assert get(host, upstream).body == b"hi"
