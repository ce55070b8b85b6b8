"""Upstream connections: kept where both sides may, never used where one may not."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, ask, request_bytes
from tests.support.received import OK, Received, parse_request, read_request, recording
from tests.support.servers import Server
from tests.support.service import Exchange, Script, answers
from tests.support.urls import query_form
from tests.support.waiting import PATIENCE, peer_left, until

from .common import get

# --- Kept ----------------------------------------------------------------------------------------


@pytest.mark.case("keep-alive; a service that closes after each answer")
def test_a_hundred_requests_at_a_time_take_a_few_connections(
    host: Server, service: ServiceFactory
) -> None:
    upstream = service(answers(OK))
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: get(host, upstream), range(100)))
    assert {(reply.status, reply.body) for reply in replies} == {(200, b"hi")}
    assert upstream.connections <= 8  # the host's threads


def test_all_that_may_be_repeated_shares_a_connection(
    host: Server, service: ServiceFactory
) -> None:
    """But for HEAD; and for what has a body: see test_reuse."""
    seen: list[Received] = []
    upstream = service(recording(seen))
    methods = ["GET", "PUT", "DELETE", "OPTIONS"] * 10
    for method in methods:
        assert ask(host.port, method, query_form(upstream.port, "/x")).status == 200
    assert [request.method for request in seen] == methods
    assert upstream.connections <= 3  # one more now and then, when all was slow; else it were 40


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
KEPT = [  # and after answers without a body: test_an_answer_without_body_ends_with_its_head
    pytest.param(OK, id="length"),
    pytest.param(OK.replace(b"200 OK", b"500 Oops"), id="500"),
    pytest.param(CHUNKED + b"\r\n", id="chunked"),
    pytest.param(CHUNKED + b"A: b\r\n\r\n", id="trailers"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, id="after-an-interim-response"),
    pytest.param(
        OK.replace(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n"),
        id="http-1.0-keep-alive",
    ),
]


@pytest.mark.case("keep-alive; a service that closes after each answer")
@pytest.mark.parametrize("response", KEPT)
def test_a_connection_is_kept_after(host: Server, service: ServiceFactory, response: bytes) -> None:
    upstream = service(answers(response, OK, response, OK))
    for _ in range(4):
        reply = get(host, upstream)
        assert (reply.body, reply.complete) == (b"hi", True)
    assert upstream.connections == 1


NOT_KEPT = [
    pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\n", id="close"),
    pytest.param(b"HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\n", id="close-among-others"),
    pytest.param(b"HTTP/1.0 200 OK\r\n", id="http-1.0"),
]


@pytest.mark.parametrize("head", NOT_KEPT)
def test_a_connection_that_the_service_will_close_is_closed_here_too(
    host: Server, service: ServiceFactory, head: bytes
) -> None:
    left = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(head + b"Content-Length: 2\r\n\r\nhi")
        if exchange.peer_closed(PATIENCE):  # though the service itself keeps it open
            left.set()

    upstream = service(script)
    assert get(host, upstream).body == b"hi"
    assert left.wait(PATIENCE)


# --- Closed by the service -----------------------------------------------------------------------


@pytest.mark.case("keep-alive; a service that closes after each answer")
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD"])
def test_a_service_that_closes_after_every_answer_never_causes_an_error(
    host: Server, service: ServiceFactory, method: str
) -> None:
    """It has not said so, and closes at once or some time later: before, while or after the next
    request comes."""
    answer = OK.removesuffix(b"hi") if method == "HEAD" else OK

    def script(exchange: Exchange) -> None:
        if exchange.read_head():
            exchange.send(answer)
            threading.Event().wait([0, 0.0005, 0.002, 0.02][exchange.number % 4])

    target = query_form(service(script).port, "/x")
    body = b"body" if method == "PUT" else b""
    with Client(host.port) as client:
        for _ in range(40):
            client.send(request_bytes(method, target, body=body))
            assert client.reply(method=method).status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_idle_connection_that_the_service_closed_is_not_used(
    host: Server, service: ServiceFactory, method: str
) -> None:
    closed, seen = threading.Event(), list[str]()

    def script(exchange: Exchange) -> None:
        """The first connection ends while it is idle."""
        count = 0
        while (request := read_request(exchange)) is not None:
            seen.append(request.method)
            exchange.send(OK)
            count += 1
            if not exchange.number and count == 3:
                exchange.sock.close()
                closed.set()
                return

    upstream = service(script)
    for _ in range(3):
        assert get(host, upstream).status == 200
    assert closed.wait(PATIENCE)
    assert get(host, upstream, method=method).status == 200
    assert seen == ["GET"] * 3 + [method]
    assert upstream.connections == 2


def dying_at(number: int, answer: bytes = b"") -> tuple[Script, list[Received]]:
    """A script whose first connection dies at its `number`-th request, read but not answered.

    That is what a service looks like that closes an idle connection just as a request comes.
    """
    seen: list[Received] = []

    def script(exchange: Exchange) -> None:
        count = 0
        while (request := read_request(exchange)) is not None:
            seen.append(request)
            count += 1
            if not exchange.number and count == number:
                exchange.send(answer)
                return
            exchange.send(OK.removesuffix(b"hi") if request.method == "HEAD" else OK)

    return script, seen


@pytest.mark.case("an idle connection that was closed: GET is repeated once, POST is not replayed")
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_a_request_that_may_be_repeated_is_repeated_once_unseen(
    host: Server, service: ServiceFactory, method: str
) -> None:
    script, seen = dying_at(2)
    upstream = service(script)
    assert get(host, upstream).status == 200
    assert get(host, upstream, method=method).status == 200
    assert [request.method for request in seen] == ["GET", method, method]
    assert upstream.connections == 2


@pytest.mark.case("an idle connection that was closed: GET is repeated once, POST is not replayed")
@pytest.mark.parametrize(
    ("method", "body"),
    [("POST", b""), ("POST", b"body"), ("PATCH", b""), ("PROPFIND", b""), ("PUT", b"body")],
)
def test_a_request_that_may_not_be_repeated_is_not_replayed(
    host: Server, service: ServiceFactory, method: str, body: bytes
) -> None:
    """Nor sent on a connection that may be closed by now, though there is one."""
    seen: list[Received] = []

    def script(exchange: Exchange) -> None:
        while (request := read_request(exchange)) is not None:
            seen.append(request)
            if len(seen) == 4:
                return
            exchange.send(OK)

    upstream = service(script)
    for _ in range(3):
        assert get(host, upstream).status == 200
    target = query_form(upstream.port, "/x")
    reply = ask(host.port, method, target, body=body)
    assert reply.status == 502
    assert reply.text == (
        f"The service on port {upstream.port} closed the connection without a response.\n"
        "It may have crashed or be restarting; its own output may say why.\n"
    )
    assert [request.method for request in seen] == ["GET", "GET", "GET", method]
    assert [len(exchange.requests) for exchange in upstream.exchanges] == [3, 1]
    assert ask(host.port, method, target, body=body).status == 200


@pytest.mark.parametrize(
    ("number", "begun"),
    [pytest.param(2, b"H", id="a-byte-of-an-answer-came"), pytest.param(1, b"", id="it-was-fresh")],
)
def test_a_request_is_not_repeated_where(
    host: Server, service: ServiceFactory, number: int, begun: bytes
) -> None:
    script, seen = dying_at(number, begun)
    upstream = service(script)
    for _ in range(number - 1):
        assert get(host, upstream).status == 200
    assert get(host, upstream).status == 502
    assert len(seen) == number


def test_a_request_is_repeated_only_once(host: Server, service: ServiceFactory) -> None:
    seen: list[Received] = []

    def script(exchange: Exchange) -> None:
        while head := exchange.read_head():
            seen.append(parse_request(head))
            if len(seen) > 1:
                return
            exchange.send(OK)

    upstream = service(script)
    assert get(host, upstream).status == 200
    assert get(host, upstream).status == 502
    assert len(seen) == 3


# --- Nothing of one exchange gets into the next --------------------------------------------------


def test_an_idle_connection_on_which_something_came_is_not_used(
    host: Server, service: ServiceFactory
) -> None:
    sent = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(OK)
        if exchange.number:
            return
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        sent.set()
        exchange.read_head()

    upstream = service(script)
    with Client(host.port) as client:
        for _ in range(2):
            client.send(request_bytes("GET", query_form(upstream.port, "/x")))
            assert client.reply().body == b"hi"
            assert sent.wait(PATIENCE)
    assert upstream.connections == 2


def test_a_body_that_was_not_read_whole_ends_its_connection(
    host: Server, service: ServiceFactory
) -> None:
    left = threading.Event()

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            if exchange.number:
                exchange.send(OK)
                continue
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
            until(lambda: peer_left(exchange.sock), "the proxy leaves")
            left.set()
            return

    upstream = service(script)
    with Client(host.port) as client:
        client.send(request_bytes("GET", query_form(upstream.port, "/x")))
        client.read_head()
    assert left.wait(PATIENCE)
    assert get(host, upstream).body == b"hi"


def test_answers_of_two_services_are_never_mixed_up(host: Server, service: ServiceFactory) -> None:
    services = [
        service(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number))
        for number in range(5)
    ]

    def one(number: int) -> bool:
        return get(host, services[number % 5]).body == b"%d" % (number % 5)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(100)))
