"""Requests that wait for a service, on every server that lets them leave their thread."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.chosen import settings
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.endings import half_close, reset
from tests.support.servers import Server
from tests.support.service import Exchange
from tests.support.streams import StreamVisitor
from tests.support.urls import path_form
from tests.support.waiting import PATIENCE, peer_left, until
from tests.support.waitinghost import (
    AT_ONCE,
    BODY,
    OK,
    assert_the_app_answers,
    clients,
    hanging,
    on,
    serving,
)
from tests.support.websocket import Visitor, echoing

SERVERS = ["gunicorn-gthread", "gunicorn-sync", "waitress", "cheroot", "werkzeug", "uwsgi-threads"]


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serving(request.param) as one:
        yield one


# --- Without a body, and with one that came at once


@pytest.mark.case("a service that takes two seconds, a hundred at a time, on few threads")
@pytest.mark.promise("What waits for a service takes no thread")
@on(SERVERS)
@pytest.mark.parametrize("body", [b"", BODY], ids=["get", "post"])
def test_many_wait_and_the_app_answers(
    server: Server, service: ServiceFactory, let_go: threading.Event, body: bytes
) -> None:
    upstream = service(hanging(let_go))
    method = "POST" if body else "GET"
    request = request_bytes(method, path_form(upstream.port, "/x"), body=body)
    with clients(server, [request] * AT_ONCE) as visitors:
        until(lambda: len(upstream.heads) == AT_ONCE, "all are asked")
        assert_the_app_answers(server)
        let_go.set()
        replies = [visitor.reply() for visitor in visitors]
    assert {(reply.status, reply.body, reply.complete) for reply in replies} == {(200, body, True)}


@on(SERVERS)
def test_a_visitor_who_leaves_is_noticed(
    server: Server, service: ServiceFactory, let_go: threading.Event
) -> None:
    upstream = service(hanging(let_go))
    with Client(server.port) as client:
        client.send(request_bytes("GET", path_form(upstream.port, "/x")))
        until(lambda: upstream.heads, "it is asked")
        [exchange] = upstream.exchanges
        reset(client.sock)
        until(lambda: peer_left(exchange.sock), "the service hears of it")


@on(["gunicorn-gthread", "waitress"])
def test_a_visitor_who_sends_no_more_may_still_read_a_quick_response(
    server: Server, service: ServiceFactory
) -> None:
    """As `nc` does, and some scripts; the response comes after the request has left its thread."""

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        threading.Event().wait(0.1)
        exchange.send(OK)

    with Client(server.port) as client:
        client.send(request_bytes("GET", path_form(service(script).port, "/x")))
        half_close(client.sock)
        assert client.reply().body == b"hi"


# --- Errors


@on(SERVERS)
def test_no_response_in_time(
    server: Server, service: ServiceFactory, let_go: threading.Event
) -> None:
    target = path_form(service(hanging(let_go)).port, "/x")
    reply = ask(server.port, "GET", target, headers=[("Accept", "text/html"), *settings("hurried")])
    assert (reply.status, reply.value("Content-Type")) == (504, "text/html; charset=UTF-8")
    assert "did not respond in time" in reply.text


@on(SERVERS)
@pytest.mark.parametrize(
    ("answer", "status"), [(b"", 502), (b"SSH-2.0\r\n\r\n", 502), (b"HTTP/1.1 200 OK\r\nCo", 502)]
)
def test_a_late_answer_that_is_none(
    server: Server,
    service: ServiceFactory,
    let_go: threading.Event,
    answer: bytes,
    status: int,
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        let_go.wait(PATIENCE)
        exchange.send(answer)

    upstream = service(script)
    with clients(server, [request_bytes("GET", path_form(upstream.port, "/x"))] * 2) as visitors:
        until(lambda: len(upstream.heads) == 2, "they are asked")
        assert_the_app_answers(server)
        let_go.set()
        replies = [visitor.reply() for visitor in visitors]
    assert [(reply.status, reply.complete) for reply in replies] == [(status, True)] * 2


def test_early_hints_of_a_slow_service_reach_the_visitor(
    service: ServiceFactory, let_go: threading.Event
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        threading.Event().wait(0.3)  # the request has left its thread
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        let_go.wait(PATIENCE)
        exchange.send(OK)

    upstream = service(script)
    with serving("gunicorn-gthread") as server, Client(server.port) as client:
        client.send(request_bytes("GET", path_form(upstream.port, "/x")))
        hints = client.read_head()
        link = f"Link: <{path_form(upstream.port, '/a.css')}>; rel=preload".encode()
        assert hints == b"HTTP/1.1 103 Early Hints\r\n" + link
        let_go.set()
        assert client.reply().body == b"hi"


@pytest.mark.case("a page of 4 MB to correct, beside open WebSockets")
def test_a_page_is_corrected_beside_the_tunnels(
    service: ServiceFactory, let_go: threading.Event
) -> None:
    """In a thread of its own: it takes seconds."""
    link = b"<a href=/x>"
    page = link * (3_000_000 // len(link))

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        let_go.wait(PATIENCE)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
        exchange.send(head % len(page) + page)

    upstream, echo = service(script), service(echoing)
    fields = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")]
    with (
        serving("gunicorn-gthread") as server,
        Visitor(server.port) as visitor,
        Client(server.port, timeout=PATIENCE) as client,
    ):
        visitor.open(path_form(echo.port, "/x"))
        client.send(request_bytes("GET", path_form(upstream.port, "/"), headers=fields))
        until(lambda: upstream.heads, "the page is asked for")
        assert_the_app_answers(server)
        let_go.set()
        echoed = 0
        while not select.select([client.sock], [], [], 0)[0]:
            visitor.says_and_hears()
            echoed += 1
        reply = client.reply()
    prefix = path_form(upstream.port, "/x").encode()
    assert reply.body == b'<a href="%b">' % prefix * (len(page) // len(link))
    assert echoed > 20


# --- The end of the process


def ended(server: Server, visitor: StreamVisitor) -> Reply:
    os.kill(server.pid, signal.SIGTERM)
    return visitor.reply()


def test_a_worker_that_ends_waits_for_the_answer(
    service: ServiceFactory, let_go: threading.Event
) -> None:
    upstream = service(hanging(let_go))
    with serving("gunicorn-gthread") as server, StreamVisitor(server.port) as visitor:
        visitor.ask(path_form(upstream.port, "/x"))
        until(lambda: upstream.heads, "it is asked")
        assert_the_app_answers(server)
        timer = threading.Timer(1.0, let_go.set)
        timer.start()
        reply = ended(server, visitor)
        timer.join()
    assert (reply.status, reply.complete) == (200, True)


def test_a_worker_that_ends_does_not_wait_for_ever(
    service: ServiceFactory, let_go: threading.Event
) -> None:
    upstream = service(hanging(let_go))
    with (
        serving("gunicorn-gthread", DRAIN_WAITING="0.5") as server,
        StreamVisitor(server.port) as visitor,
    ):
        visitor.ask(path_form(upstream.port, "/x"))
        until(lambda: upstream.heads, "it is asked")
        assert_the_app_answers(server)
        reply = ended(server, visitor)
    assert (reply.status, reply.value("Retry-After"), reply.complete) == (503, "2", True)
    assert reply.text == "The application is restarting.\nPlease try again in a moment.\n"
