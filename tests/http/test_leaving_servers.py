"""Visitors who leave a silent stream that holds a thread: noticed on every server that shows their
socket."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, request_bytes
from tests.support.endings import close, reset
from tests.support.ports import free_port
from tests.support.servers import gunicorn, running
from tests.support.service import Exchange
from tests.support.urls import query_form
from tests.support.waiting import PATIENCE, peer_left, until

# Seconds from a visitor's end to the service's: one, and what a busy machine takes.
SOON = 1.5
# Names of run_server. gunicorn with an app whose streams never leave their threads.
SERVERS = ["gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent", "gunicorn-gthread-tls",
           "werkzeug", "waitress", "cheroot", "gevent-pywsgi",
           "uwsgi", "uwsgi-threads"]  # fmt: skip
STREAMS = {
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nfirst",
    "until-it-closes": b"HTTP/1.0 200 OK\r\n\r\nfirst",
}


@contextlib.contextmanager
def serving(name: str, folder: Path) -> Iterator[tuple[int, ssl.SSLContext | None]]:
    """The port of a server of this name, and how to speak TLS to it, if it does."""
    staying = "tests.support.limitsapp:quiet"
    if name in ("gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent"):
        worker = name.removeprefix("gunicorn-")
        with gunicorn(staying, worker=worker, threads=4 if worker == "gthread" else 1) as server:
            yield server.port, None
        return
    port, tls, paths = free_port(), None, []
    if name.endswith("-tls"):
        paths = [str(folder / "certificate.pem"), str(folder / "key.pem")]
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        command += f" -days 2 -subj /CN=localhost -out {paths[0]} -keyout {paths[1]}"
        subprocess.run(command.split(), check=True, capture_output=True)
        tls = ssl.create_default_context(cafile=paths[0])

    def probe(port: int) -> None:
        with visiting(port, tls):
            pass

    command_line = [sys.executable, "-m", "tests.support.run_server", name, str(port), *paths]
    with running(command_line, port, probe=probe):
        yield port, tls


@contextlib.contextmanager
def visiting(port: int, tls: ssl.SSLContext | None) -> Iterator[Client]:
    with Client(port) as client:
        if tls is not None:
            client.sock = tls.wrap_socket(client.sock, server_hostname="localhost")
        yield client


@pytest.mark.parametrize("name", SERVERS)
def test_the_service_hears_within_a_second_that_the_visitor_left(
    name: str, service: ServiceFactory, tmp_path: Path
) -> None:
    with serving(name, tmp_path) as (port, tls):
        for head in STREAMS.values():
            for leave in (close, reset):
                seconds = seconds_until_heard(port, tls, service, head, leave)
                assert seconds < SOON, (head, leave.__name__)


def seconds_until_heard(
    port: int,
    tls: ssl.SSLContext | None,
    service: ServiceFactory,
    head: bytes,
    leave: Callable[[socket.socket], None],
) -> float:
    left = threading.Event()
    times: list[float] = []

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(head)
        until(lambda: peer_left(exchange.sock), "the proxy leaves")
        times.append(time.monotonic())
        left.set()

    path = query_form(service(script).port, "/x")
    with visiting(port, tls) as client:
        client.send(request_bytes("GET", path))
        while b"first" not in client.buffer:
            assert client.fill()
        leave(client.sock)
        begin = time.monotonic()
        assert left.wait(PATIENCE)
    return times[0] - begin
