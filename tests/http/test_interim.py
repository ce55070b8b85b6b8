"""1xx responses: 103 goes out as early hints, others are dropped, none is taken for the answer."""

from __future__ import annotations

import pytest

from tests.conftest import ServiceFactory
from tests.http.common import assert_not_valid_http, get, once_then_well
from tests.support.client import Client, ask, request_bytes
from tests.support.received import OK
from tests.support.servers import Server
from tests.support.service import Exchange, answers
from tests.support.urls import Form, both_forms, query_form
from tests.support.waiting import Steps

HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\nX-Not: 1\r\n\r\n"


@both_forms
def test_103_goes_out_as_early_hints(host: Server, service: ServiceFactory, form: Form) -> None:
    upstream = service(answers(HINT + OK))
    reply = ask(host.port, "GET", form(upstream.port, "/x"))
    assert (reply.status, reply.body) == (200, b"hi")
    assert len(reply.interim) == 1
    link = form(upstream.port, "/style.css").encode()
    assert reply.interim[0] == (
        b"HTTP/1.1 103 Early Hints\r\nLink: <" + link + b">; rel=preload; as=style"
    )


def test_every_103_goes_out_before_the_answer_is_there(
    host: Server, service: ServiceFactory
) -> None:
    steps = Steps(HINT, HINT.replace(b"style.css", b"other.css"), OK)
    upstream = service(steps)
    with Client(host.port) as client:
        client.send(request_bytes("GET", query_form(upstream.port, "/x")))
        for name in (b"style.css", b"other.css"):
            steps.go()
            head = client.read_head()
            assert head.startswith(b"HTTP/1.1 103 ")
            assert name in head
        steps.go()
        assert client.reply().body == b"hi"


def test_a_visitor_that_speaks_http_1_0_gets_no_103(host: Server, service: ServiceFactory) -> None:
    upstream = service(answers(HINT + OK))
    head = request_bytes("GET", query_form(upstream.port, "/x")).replace(b"HTTP/1.1", b"HTTP/1.0")
    with Client(host.port) as client:
        client.send(head)
        reply = client.reply()
    assert (reply.status, reply.body, reply.interim) == (200, b"hi", [])


INTERIM = [
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="100"),
    pytest.param(b"HTTP/1.1 100\r\n\r\n", id="100-without-reason"),
    pytest.param(b"HTTP/1.0 100 Continue\r\n\r\n", id="100-in-http-1.0"),
    pytest.param(b"HTTP/1.1 102 Processing\r\nX: 1\r\n\r\n", id="102"),
    pytest.param(b"HTTP/1.1 199 Unknown\r\n\r\n", id="199"),
    pytest.param(b"HTTP/1.1 103 Early Hints\r\nX-No: link\r\n\r\n", id="103-without-link"),
    pytest.param(b"HTTP/1.1 100 Continue\r\nContent-Length: 9\r\n\r\n", id="100-with-length"),
    pytest.param(b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 102 P\r\n\r\n" * 4, id="eight-of-them"),
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("interim", INTERIM)
def test_other_1xx_are_dropped(
    host: Server, service: ServiceFactory, interim: bytes, method: str
) -> None:
    answer = OK.removesuffix(b"hi") if method == "HEAD" else OK
    upstream = service(answers(interim + answer))
    for _ in range(2):
        reply = get(host, upstream, method=method)
        assert (reply.status, reply.interim) == (200, [])
        assert reply.value("Content-Length") == "2"


def test_1xx_without_end_is_502(host: Server, service: ServiceFactory) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        while not exchange.number:
            exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.send(OK)

    upstream = service(script)
    assert_not_valid_http(get(host, upstream), upstream)
    assert get(host, upstream).body == b"hi"


BAD_INTERIM = [
    pytest.param(b"HTTP/1.1 100 Continue\r\nX : 1\r\n\r\n", id="malformed-field"),
    pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: <a>\rX\r\n\r\n", id="bare-cr"),
    pytest.param(b"HTTP/1.1 103 Early Hints\r\n" + b"X: 1\r\n" * 5000 + b"\r\n", id="5000-fields"),
    pytest.param(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n", id="101"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\nnot HTTP", id="garbage-behind"),
]


@pytest.mark.parametrize("interim", BAD_INTERIM)
def test_a_malformed_interim_response_is_502(
    host: Server, service: ServiceFactory, interim: bytes
) -> None:
    upstream = service(once_then_well(interim + OK))
    assert_not_valid_http(get(host, upstream), upstream)
    assert get(host, upstream).body == b"hi"


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", HINT], ids=["100", "103"])
def test_an_interim_response_is_never_taken_for_the_answer(
    host: Server, service: ServiceFactory, interim: bytes
) -> None:
    upstream = service(once_then_well(interim, keep_open=False))
    assert_not_valid_http(get(host, upstream), upstream)
    assert get(host, upstream).body == b"hi"
