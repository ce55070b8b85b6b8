"""Connections that come by a listener of the app's own process: how they end, and slow pages."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import ServiceFactory
from tests.support.endings import reset
from tests.support.listenapp import OFFSET
from tests.support.procfs import worker_of
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, answers
from tests.support.urls import path_form, query_form
from tests.support.waiting import until
from wsgi_portproxy.settings import Listen
from wsgi_portproxy.tunnel import listeners
from wsgi_portproxy.tunnel.listeners import Listeners
from wsgi_portproxy.tunnel.shared import relay

APPLICATION = "tests.support.listenapp:application"
SLOW = 0.3  # seconds: longer than a request stays in its thread
NEEDS_ROOT = b"<script>__MESOP_BASE_URL_PATH__ = ''</script>"


@pytest.fixture
def host() -> Iterator[Server]:
    with gunicorn(APPLICATION) as server:
        yield server


def asked(number: int, target: str, at: int, *, version: str = "1.1") -> bytes:
    """What comes until the end of the connection. Raises `ConnectionResetError`."""
    cookies = f"user=alice; portproxy.at0={at - OFFSET}.1700000000000/alice/vision"
    fields = f"Host: localhost:{at}\r\nCookie: {cookies}\r\nConnection: close\r\n"
    fields += "User-Agent: Mozilla/5.0\r\nSec-Fetch-Mode: navigate\r\nAccept: text/html\r\n"
    received = bytearray()
    with socket.create_connection(("127.0.0.1", number), 20) as sock:
        sock.sendall(f"GET {target} HTTP/{version}\r\n{fields}\r\n".encode())
        while data := sock.recv(65536):
            received += data
    return bytes(received)


def opened(host: Server, port: int) -> int:
    """The number on which the host listens, once a visitor was sent there."""
    number = port + OFFSET
    answer = asked(host.port, query_form(port, "/"), host.port)
    assert b" 307 " in answer
    return number


def test_a_response_that_breaks_off_looks_broken(host: Server, service: ServiceFactory) -> None:
    """To a client of HTTP/1.0 only a reset shows it."""

    def breaks_off(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf")
        time.sleep(SLOW)
        reset(exchange.sock)

    number = opened(host, service(breaks_off).port)
    with pytest.raises(ConnectionResetError):
        asked(number, "/", number, version="1.0")


def test_a_request_that_waits_at_the_end_of_the_worker_is_answered(
    host: Server, service: ServiceFactory
) -> None:
    def slow(exchange: Exchange) -> None:
        exchange.read_head()
        time.sleep(SLOW)
        os.kill(worker, signal.SIGTERM)
        time.sleep(1.5)
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    worker = worker_of(host)
    number = opened(host, service(slow).port)
    assert asked(number, "/", number).endswith(b"\r\n\r\nok")


def test_a_slow_page_that_needs_a_root_is_sent_there(host: Server, service: ServiceFactory) -> None:
    def slow(exchange: Exchange) -> None:
        exchange.read_head()
        time.sleep(SLOW)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(NEEDS_ROOT)}"
        exchange.send(head.encode() + b"\r\n\r\n" + NEEDS_ROOT)

    port = service(slow).port
    answer = asked(host.port, path_form(port, "/x"), host.port)
    assert f"\r\nLocation: http://localhost:{port + OFFSET}/x\r\n".encode() in answer


def test_an_order_to_stop_never_comes_before_the_order_to_accept(
    service: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = service(answers(b"")).port + OFFSET
    with socket.create_server(("127.0.0.1", 0)) as server:
        visit: Any = SimpleNamespace(reached=(server.family, server.getsockname()), environ={})
        made, failed = Listeners(Listen()), []
        monkeypatch.setattr(listeners, "forget_listening", made.close)
        monkeypatch.setattr(sys, "excepthook", lambda *error: failed.append(error))
        assert made.open(number, visit)
        accepting = relay()._accepting
        until(lambda: not relay()._new, "the relay has its orders")
        until(lambda: not accepting._listeners, "nothing is accepted")
    assert not failed
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", number), 5)
