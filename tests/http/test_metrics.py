"""What is told of each request when it ends: a call of `on_finished`, and a line in the log."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
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
from tests.support.servers import Server, running
from tests.support.service import Exchange, Script, answers
from tests.support.streams import CHUNKED as CHUNKS
from tests.support.streams import StreamVisitor
from tests.support.urls import path_form, query_form
from tests.support.waiting import PATIENCE, Steps, peer_left, until
from tests.support.websocket import TEXT, Visitor, close_frame, echoing, frame, switching
from wsgi_portproxy import RequestMetrics

from .common import limits_hosts, read_until

FIELDS = [field.name for field in dataclasses.fields(RequestMetrics)]


def told(host: Server, port: int | None = None, *, kind: str = "metrics") -> list[dict[str, Any]]:
    """What was told of requests for a port, or all, so far; `kind`: metrics, or log records."""
    lines = [line.partition(kind + " ") for line in host.output().splitlines()]
    found = [json.loads(rest) for before, mark, rest in lines if mark and not before]
    return [one for one in found if port in (None, one.get("port"))]


def ends(host: Server, port: int | None = None) -> list[dict[str, Any]]:
    """The records in the log that tell of an end, so far."""
    return [one for one in told(host, port, kind="record") if "ended" in one]


def the_one(host: Server, port: int) -> dict[str, Any]:
    """What was told of the one request for a port; the same in the log as by the hook."""
    until(lambda: told(host, port) and ends(host, port), "it is told")
    (metrics,) = told(host, port)
    assert list(metrics) == FIELDS
    (record,) = ends(host, port)
    assert {name: record[name] for name in FIELDS} == metrics
    return metrics


Hosts = dict[str, Server]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """Streams leave their threads at once in `limited`, and never in `staying`; of `failing` the
    hook raises."""
    with limits_hosts("limited", "staying", "failing") as by_name:
        yield by_name
        log = by_name["limited"]  # that of all three
        raised = {one["port"] for one in ends(log) if one["text"].endswith("on_finished raised")}
        counts = Counter(one["port"] for one in [*told(log), *ends(log)])
        late = {port for port in counts.keys() - raised if counts[port] != 2}
        assert not late, [one for one in [*told(log), *ends(log)] if one["port"] in late]


@pytest.fixture
def telling(hosts: Hosts) -> Server:
    return hosts["limited"]


both = pytest.mark.parametrize("name", ["limited", "staying"])


def brief(metrics: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(metrics[name] for name in ("status", "ended", "bytes_received", "bytes_sent"))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = CHUNKED + chunk(b"x" * 70_000) + chunk(b"y" * 30) + chunk(b"")
SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"
TABLE = {
    "answer": ("GET", b"", answers(OK), (200, "complete", 0, 2)),
    "head": ("HEAD", b"", answers(OK[:-2]), (200, "complete", 0, 0)),
    "no-content": ("GET", b"", answers(b"HTTP/1.1 204 x\r\n\r\n"), (204, "complete", 0, 0)),
    "chunks": ("GET", b"", answers(LONG), (200, "complete", 0, 70_030)),
    "upload": ("POST", b"x" * 900, recording([]), (200, "complete", 900, 2)),
    "cut-by-the-service": ("GET", b"", answers(SHORT, keep_open=False), (200, "cut", 0, 5)),
    "no-http": ("GET", b"", answers(b"SSH-2.0\r\n"), (502, "refused", 0, 0)),
    "too-large": ("POST", b"x" * 1001, answers(OK), (413, "refused", 0, 0)),
}


@pytest.mark.parametrize(("method", "body", "script", "expected"), TABLE.values(), ids=TABLE)
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
    if metrics["ended"] != "refused":  # which the server's own access log tells too
        assert [one["level"] for one in ends(telling, upstream.port)] == ["DEBUG"]


def test_what_never_reached_a_service_is_told_too(telling: Server) -> None:
    refused, unreachable, moved = free_port(), free_port(), free_port()
    ask(telling.port, "GET", path_form(refused, "/x"), cookie="user=bob")
    assert brief(the_one(telling, refused)) == (403, "refused", 0, 0)
    ask(telling.port, "GET", path_form(unreachable, "/x"))
    assert brief(the_one(telling, unreachable)) == (502, "refused", 0, 0)
    navigates = [("Sec-Fetch-Mode", "navigate")]
    ask(telling.port, "GET", query_form(moved, "/x"), headers=navigates)
    assert brief(the_one(telling, moved)) == (307, "redirected", 0, 0)


def test_a_service_has_the_name_that_the_deployment_gave_it(
    telling: Server, service: ServiceFactory
) -> None:
    """Also in the line about a service that does not run; a refusal comes before it is known."""
    upstream, unreachable, refused = service(answers(OK)), free_port(), free_port()
    for port in (upstream.port, unreachable):
        ask(telling.port, "GET", path_form(port, "/x"))
        assert the_one(telling, port)["service"] == "Echo"
        (line,) = ends(telling, port)
        assert line["text"].startswith(f"port {port} (Echo): ")
    ask(telling.port, "GET", path_form(refused, "/x"), cookie="user=bob")
    assert the_one(telling, refused)["service"] == ""


def test_the_wrapped_apps_own_requests_are_not_told(telling: Server) -> None:
    assert ask(telling.port, "OWN", "/login").status == 200
    port = free_port()
    ask(telling.port, "GET", path_form(port, "/x"))
    the_one(telling, port)  # it came behind that of the app
    assert "OWN" not in [one["method"] for one in [*told(telling), *ends(telling)]]


@both
@pytest.mark.parametrize("leave", [close, reset])
@pytest.mark.parametrize("first", [b"", CHUNKED + chunk(b"12345")], ids=["before", "in-the-body"])
def test_a_visitor_who_leaves_is_told(
    hosts: Hosts, service: ServiceFactory, first: bytes, leave: Callable[[Any], None], name: str
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(first)
        until(lambda: peer_left(exchange.sock), "the proxy leaves")

    upstream = service(script)
    with Client(hosts[name].port) as client:
        client.send(request_bytes("GET", query_form(upstream.port, "/x")))
        if first:
            read_until(client, b"12345")
        else:
            until(lambda: upstream.heads, "it is asked")
        leave(client.sock)
    metrics = the_one(hosts[name], upstream.port)
    assert metrics["ended"] == ("cut" if first else "refused")
    assert metrics["bytes_sent"] == (5 if first else 0)


@both
@pytest.mark.parametrize("ended", ["complete", "cut"])
def test_a_stream_is_told_when_it_ends(
    hosts: Hosts, service: ServiceFactory, ended: str, name: str
) -> None:
    steps = Steps(CHUNKS.head(0, b"text/event-stream") + chunk(b"one\n"), chunk(b"two"),
                  CHUNKS.end if ended == "complete" else b"zz\r\n")  # fmt: skip
    upstream = service(steps)
    with StreamVisitor(hosts[name].port) as visitor:
        begin = time.monotonic()
        visitor.ask(path_form(upstream.port, "/x"))
        steps.go()
        visitor.read_until(b"one")
        time.sleep(0.2)  # which is told as part of its time
        steps.go()
        visitor.read_until(b"two")
        assert told(hosts[name], upstream.port) == []
        steps.go(2)
        while visitor.fill() and not visitor.buffer.endswith(b"0\r\n\r\n"):
            pass
        metrics = the_one(hosts[name], upstream.port)
        assert 0.2 <= metrics["seconds"] <= time.monotonic() - begin
    assert brief(metrics) == (200, ended, 0, 7)


# --- WebSockets ----------------------------------------------------------------------------------


def tells_a_websocket(host: Server, service: ServiceFactory) -> None:
    upstream = service(echoing)
    message = b"x" * 100_000
    with Visitor(host.port) as visitor:
        visitor.open(path_form(upstream.port, "/socket"))
        time.sleep(0.1)  # which is told as part of its time
        visitor.send_frame(TEXT, message)
        received = visitor.frame()
        assert received is not None
        assert received.payload == message
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


@both
def test_a_websocket_is_told_when_it_ends(hosts: Hosts, service: ServiceFactory, name: str) -> None:
    tells_a_websocket(hosts[name], service)


@pytest.mark.parametrize("who", ["visitor", "service"])
def test_a_websocket_that_breaks_is_told_as_cut(
    telling: Server, service: ServiceFactory, who: str
) -> None:
    opened = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.send(switching(exchange.read_head()))
        if who == "service":
            opened.wait(PATIENCE)
            reset(exchange.sock)
        else:
            exchange.read(1)

    upstream = service(script)
    with Visitor(telling.port) as visitor:
        visitor.open(path_form(upstream.port, "/socket"))
        opened.set()
        if who == "visitor":
            reset(visitor.sock)
        else:
            assert visitor.frame() is None
    assert brief(the_one(telling, upstream.port)) == (101, "cut", 0, 0)


def test_under_pywsgi_a_websocket_is_told_by_a_greenlet(service: ServiceFactory) -> None:
    port = free_port()
    command = [sys.executable, "-m", "gevent.monkey", "--module", "tests.support.limitsapp"]
    with running([*command, "gevent", str(port)], port) as host:
        tells_a_websocket(host, service)
        tells_a_websocket(host, service)


@pytest.mark.parametrize("worker", ["gthread", "gevent"])
def test_what_the_end_of_the_process_cuts_is_told(worker: str, service: ServiceFactory) -> None:
    upstream = service(echoing)
    with limits_hosts("default", worker=worker) as hosts:
        host = hosts["default"]
        if worker == "gevent":  # where it is a greenlet that tells
            tells_a_websocket(host, service)
            tells_a_websocket(host, service)
        with Visitor(host.port) as visitor:
            visitor.open(path_form(upstream.port, "/socket"))
            visitor.says_and_hears()
            os.kill(host.pid, signal.SIGTERM)
            until(lambda: has_ended(host.pid), "the host has ended")
        metrics = the_one(host, upstream.port)
        assert (metrics["status"], metrics["ended"]) == (101, "cut")


# --- A hook that fails, and what a line may hold -------------------------------------------------


def test_a_hook_that_raises_is_logged_and_changes_nothing(
    hosts: Hosts, service: ServiceFactory
) -> None:
    host, upstream, sockets = hosts["failing"], service(answers(OK)), service(echoing)
    unreachable = free_port()
    for _ in range(3):
        assert ask(host.port, "GET", query_form(upstream.port, "/x")).body == b"hi"
        with Visitor(host.port) as visitor:  # and the relay goes on
            visitor.open(path_form(sockets.port, "/socket"))
            visitor.says_and_hears()
            visitor.send_close(1000)
    assert ask(host.port, "GET", path_form(unreachable, "/x")).status == 502

    def raised() -> list[dict[str, Any]]:
        records = told(host, kind="record")
        return [one for one in records if one["text"].endswith("on_finished raised")]

    counts = {upstream.port: 3, sockets.port: 3, unreachable: 1}
    until(lambda: Counter(one["port"] for one in raised()) == counts, "each failure is logged")
    assert {one["level"] for one in raised()} == {"ERROR"}
    assert Counter(one["port"] for one in told(host) if one["port"] in counts) == counts


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
    ask(telling.port, "GET", path, headers=headers, cookie="user=alice; a=s3cret-cookie")
    the_one(telling, upstream.port)
    records = told(telling, upstream.port, kind="record")
    text = json.dumps([*records, *told(telling, upstream.port)])
    assert not [secret for secret in SECRETS if secret in text]
    assert "forged" not in text
    assert max(len(one["text"]) for one in records) < 300
