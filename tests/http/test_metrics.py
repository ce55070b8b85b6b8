"""What is told of each request when it ends: a call of `on_request`, and a line in the log."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk
from tests.support.client import Client, ask, request_bytes
from tests.support.endings import close, reset
from tests.support.ports import free_port
from tests.support.procfs import has_ended
from tests.support.received import OK, recording
from tests.support.servers import Server, gunicorn, running
from tests.support.service import Exchange, Script, answers
from tests.support.streams import CHUNKED as CHUNKS
from tests.support.streams import StreamVisitor
from tests.support.urls import path_form, query_form
from tests.support.waiting import Steps, peer_left, until
from tests.support.websocket import TEXT, Visitor, close_frame, echoing, frame, switching
from wsgi_portproxy import RequestMetrics

FIELDS = [field.name for field in dataclasses.fields(RequestMetrics)]


def told(host: Server, port: int, *, kind: str = "metrics") -> list[dict[str, Any]]:
    """What was told of requests for a port so far; `kind`: metrics, or log records."""
    lines = [line.partition(kind + " ") for line in host.output().splitlines()]
    found = [json.loads(rest) for before, mark, rest in lines if mark and not before]
    return [one for one in found if one.get("port") == port]


def the_one(host: Server, port: int) -> dict[str, Any]:
    """What was told of the one request for a port; the same in the log as by the hook."""
    until(lambda: told(host, port), "the hook is called")
    time.sleep(0.05)  # it would have been called again by now
    (metrics,) = told(host, port)
    assert list(metrics) == FIELDS
    records = [one for one in told(host, port, kind="record") if "ended" in one]
    (record,) = records
    assert {name: record[name] for name in FIELDS} == metrics
    assert 0 <= metrics["seconds"] < 10
    return metrics


@pytest.fixture(scope="module", params=["limited", "staying"])
def telling(request: pytest.FixtureRequest) -> Iterator[Server]:
    with gunicorn(f"tests.support.limitsapp:{request.param}") as server:
        yield server
        assert "Traceback" not in server.output()


def brief(metrics: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(metrics[name] for name in ("status", "ended", "bytes_received", "bytes_sent"))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = CHUNKED + chunk(b"x" * 70_000) + chunk(b"y" * 30) + chunk(b"")
TABLE = [
    pytest.param("GET", b"", answers(OK), (200, "complete", 0, 2), id="answer"),
    pytest.param("HEAD", b"", answers(OK[:-2]), (200, "complete", 0, 0), id="head"),
    pytest.param(
        "GET", b"", answers(b"HTTP/1.1 204 x\r\n\r\n"), (204, "complete", 0, 0), id="no-content"
    ),
    pytest.param("GET", b"", answers(LONG), (200, "complete", 0, 70_030), id="chunks"),
    pytest.param("POST", b"x" * 900, recording([]), (200, "complete", 900, 2), id="upload"),
    pytest.param(
        "GET",
        b"",
        answers(b"HTTP/1.1 500 x\r\nContent-Length: 3\r\n\r\nbad"),
        (500, "complete", 0, 3),
        id="the-services-own-error",
    ),
    pytest.param(
        "GET",
        b"",
        answers(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", keep_open=False),
        (200, "cut", 0, 5),
        id="cut-by-the-service",
    ),
    pytest.param("GET", b"", answers(b"SSH-2.0\r\n"), (502, "refused", 0, 0), id="no-http"),
    pytest.param("POST", b"x" * 1001, answers(OK), (413, "refused", 0, 0), id="too-large"),
]


@pytest.mark.parametrize(("method", "body", "script", "expected"), TABLE)
def test_each_request_is_told_once(
    telling: Server,
    service: ServiceFactory,
    method: str,
    body: bytes,
    script: Script,
    expected: tuple[Any, ...],
) -> None:
    upstream = service(script)
    ask(telling.port, method, query_form(upstream.port, "/x?secret=1"), body=body)
    metrics = the_one(telling, upstream.port)
    assert brief(metrics) == expected
    assert (metrics["form"], metrics["method"]) == ("query", method)
    assert metrics["websocket"] is False


def test_what_never_reached_a_service_is_told_too(telling: Server) -> None:
    refused, unreachable, moved = free_port(), free_port(), free_port()
    ask(telling.port, "GET", path_form(refused, "/x"), cookie="user=bob")
    assert brief(the_one(telling, refused)) == (403, "refused", 0, 0)
    ask(telling.port, "GET", path_form(unreachable, "/x"))
    assert brief(the_one(telling, unreachable)) == (502, "refused", 0, 0)
    navigates = [("Sec-Fetch-Mode", "navigate")]
    ask(telling.port, "GET", query_form(moved, "/x"), headers=navigates)
    assert brief(the_one(telling, moved)) == (307, "refused", 0, 0)


def test_the_wrapped_apps_own_requests_are_not_told(telling: Server) -> None:
    before = telling.output().count("metrics ")
    assert ask(telling.port, "GET", "/login").status == 200
    assert telling.output().count("metrics ") == before


@pytest.mark.parametrize("leave", [close, reset])
@pytest.mark.parametrize("first", [b"", CHUNKED + chunk(b"12345")], ids=["before", "in-the-body"])
def test_a_visitor_who_leaves_is_told(
    telling: Server, service: ServiceFactory, first: bytes, leave: Callable[[Any], None]
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(first)
        until(lambda: peer_left(exchange.sock), "the proxy leaves")

    upstream = service(script)
    with Client(telling.port) as client:
        client.send(request_bytes("GET", query_form(upstream.port, "/x")))
        if first:
            client.read_head()
        else:
            until(lambda: upstream.heads, "it is asked")
        leave(client.sock)
    metrics = the_one(telling, upstream.port)
    assert metrics["ended"] == ("cut" if first else "refused")
    assert metrics["bytes_sent"] == (5 if first else 0)


@pytest.mark.parametrize("ended", ["complete", "cut"])
def test_a_stream_is_told_when_it_ends(
    telling: Server, service: ServiceFactory, ended: str
) -> None:
    steps = Steps(CHUNKS.head(0, b"text/event-stream") + chunk(b"one\n"), chunk(b"two"),
                  CHUNKS.end if ended == "complete" else b"zz\r\n")  # fmt: skip
    upstream = service(steps)
    with StreamVisitor(telling.port) as visitor:
        begin = time.monotonic()
        visitor.ask(path_form(upstream.port, "/x"))
        steps.go()
        visitor.read_until(b"one")
        time.sleep(0.2)
        assert told(telling, upstream.port) == []
        steps.go()
        visitor.read_until(b"two")
        steps.go(2)
        while visitor.fill() and not visitor.buffer.endswith(b"0\r\n\r\n"):
            pass
        metrics = the_one(telling, upstream.port)
        assert 0.2 <= metrics["seconds"] <= time.monotonic() - begin
    assert brief(metrics) == (200, ended, 0, 7)


# --- WebSockets ----------------------------------------------------------------------------------


def tells_a_websocket(host: Server, service: ServiceFactory) -> None:
    upstream = service(echoing)
    message = b"x" * 100_000
    with Visitor(host.port) as visitor:
        visitor.open(path_form(upstream.port, "/socket"))
        visitor.send_frame(TEXT, message)
        received = visitor.frame()
        assert received is not None
        assert received.payload == message
        time.sleep(0.1)
        assert told(host, upstream.port) == []
        visitor.send_close(1000)
        while visitor.frame() is not None:
            pass
    metrics = the_one(host, upstream.port)
    assert (metrics["status"], metrics["ended"], metrics["websocket"]) == (101, "complete", True)
    mask = bytes(4)
    sent = len(frame(TEXT, message, mask=mask)) + len(close_frame(1000, mask=mask))
    echoed = len(frame(TEXT, message)) + len(close_frame(1000))
    assert (metrics["bytes_received"], metrics["bytes_sent"]) == (sent, echoed)
    assert metrics["seconds"] >= 0.1


def test_a_websocket_is_told_when_it_ends(telling: Server, service: ServiceFactory) -> None:
    tells_a_websocket(telling, service)


@pytest.mark.parametrize("who", ["visitor", "service"])
def test_a_websocket_that_breaks_is_told_as_cut(
    telling: Server, service: ServiceFactory, who: str
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(switching(exchange.read_head()))
        if who == "service":
            time.sleep(0.1)
            reset(exchange.sock)
        else:
            exchange.read(1)

    upstream = service(script)
    with Visitor(telling.port) as visitor:
        visitor.open(path_form(upstream.port, "/socket"))
        if who == "visitor":
            reset(visitor.sock)
        else:
            assert visitor.frame() is None
    assert brief(the_one(telling, upstream.port)) == (101, "cut", 0, 0)


@pytest.mark.parametrize("kind", ["gunicorn", "pywsgi"])
def test_under_gevent_a_websocket_is_told_by_a_greenlet(kind: str, service: ServiceFactory) -> None:
    if kind == "gunicorn":
        with gunicorn("tests.support.limitsapp:default", worker="gevent") as host:
            tells_a_websocket(host, service)
            tells_a_websocket(host, service)
        return
    port = free_port()
    command = [sys.executable, "-m", "gevent.monkey", "--module", "tests.support.limitsapp"]
    with running([*command, "gevent", str(port)], port) as host:
        tells_a_websocket(host, service)
        tells_a_websocket(host, service)


@pytest.mark.parametrize("worker", ["gthread", "gevent"])
def test_what_the_end_of_the_process_cuts_is_told(worker: str, service: ServiceFactory) -> None:
    upstream = service(echoing)
    with gunicorn("tests.support.limitsapp:default", worker=worker) as host:
        with Visitor(host.port) as visitor:
            visitor.open(path_form(upstream.port, "/socket"))
            visitor.says_and_hears()
            os.kill(host.pid, signal.SIGTERM)
            until(lambda: has_ended(host.pid), "the host has ended")
        metrics = the_one(host, upstream.port)
        assert (metrics["status"], metrics["ended"]) == (101, "cut")
        assert "Traceback" not in host.output()


# --- A hook that fails, and what a line may hold -------------------------------------------------


def test_a_hook_that_raises_is_logged_and_changes_nothing(service: ServiceFactory) -> None:
    upstream = service(answers(OK))
    with gunicorn("tests.support.limitsapp:failing") as host:
        for _ in range(10):
            assert ask(host.port, "GET", query_form(upstream.port, "/x")).body == b"hi"
        assert ask(host.port, "GET", path_form(free_port(), "/x")).status == 502
        until(lambda: len(told(host, upstream.port)) == 10, "each was told")
        records = told(host, upstream.port, kind="record")
        raised = [one for one in records if one["text"].endswith("on_request raised")]
        assert len(raised) == 10
        assert {one["level"] for one in raised} == {"ERROR"}
        tells_a_websocket_though_failing(host, service)


def tells_a_websocket_though_failing(host: Server, service: ServiceFactory) -> None:
    for _ in range(3):  # the relay goes on
        upstream = service(echoing)
        with Visitor(host.port) as visitor:
            visitor.open(path_form(upstream.port, "/socket"))
            visitor.says_and_hears()
            visitor.send_close(1000)
        until(lambda port=upstream.port: told(host, port), "it was told")  # type: ignore[misc]


SECRETS = ["s3cret-path", "s3cret-query", "s3cret-cookie", "s3cret-token", "s3cret-service"]


@pytest.mark.parametrize(
    "script",
    [
        answers(OK.replace(b"OK", b"s3cret-service").replace(b"text/plain", b"a/s3cret-service")),
        answers(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ns3cret-service", keep_open=False),
        answers(b"s3cret-service\r\nportproxy forged line\r\n", keep_open=False),
        answers(b"HTTP/1.1 200 OK\r\ns3cret-service\x1b[31m: x\r\n\r\n", keep_open=False),
        answers(CHUNKED + b"s3cret-service\r\n", keep_open=False),
        answers(b"", keep_open=False),
    ],
    ids=["answer", "short", "no-http", "bad-field", "bad-chunk", "nothing"],
)
def test_no_line_holds_what_is_a_visitors_or_a_services(
    telling: Server, service: ServiceFactory, script: Script
) -> None:
    upstream = service(script)
    path = path_form(upstream.port, "/s3cret-path?token=s3cret-query")
    headers = [("Authorization", "Bearer s3cret-token"), ("Referer", "http://x/s3cret-query")]
    cookie = "user=alice; a=s3cret-cookie"
    with Client(telling.port) as client:
        client.send(request_bytes("GET", path, headers=headers, cookie=cookie))
        while client.fill():
            if client.buffer.endswith(b"hi"):
                break
    until(lambda: told(telling, upstream.port), "it is told")
    for kind in ("record", "metrics"):
        text = json.dumps(told(telling, upstream.port, kind=kind))
        assert not [secret for secret in SECRETS if secret in text]
        assert "forged" not in text
        assert (
            max(len(one.get("text", "")) for one in told(telling, upstream.port, kind=kind)) < 300
        )
