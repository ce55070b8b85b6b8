"""Visitors who leave a silent stream that holds a thread: noticed on every server that shows their
socket."""

from __future__ import annotations

import contextlib
import queue
import ssl
import subprocess
import sys
from collections.abc import Iterator
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

# Names of run_server. gunicorn with an app whose streams never leave their threads; with gthread
# and no TLS it is `test_leaving`'s.
SERVERS = ["gunicorn-sync", "gunicorn-gevent", "gunicorn-gthread-tls", "werkzeug", "waitress",
           "cheroot", "gevent-pywsgi", "uwsgi", "uwsgi-threads"]  # fmt: skip


@contextlib.contextmanager
def serving(name: str, folder: Path) -> Iterator[tuple[int, ssl.SSLContext | None]]:
    """The port of a server of this name, and how to speak TLS to it, if it does."""
    staying = "tests.support.limitsapp:quiet"
    if name in ("gunicorn-sync", "gunicorn-gevent"):
        with gunicorn(staying, worker=name.removeprefix("gunicorn-"), threads=1) as server:
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
def test_the_service_hears_that_the_visitor_left(
    name: str, service: ServiceFactory, tmp_path: Path
) -> None:
    left: queue.SimpleQueue[None] = queue.SimpleQueue()

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        until(lambda: peer_left(exchange.sock), "the proxy leaves")
        left.put(None)

    path = query_form(service(script).port, "/x")
    with serving(name, tmp_path) as (port, tls):
        for leave in (close, reset):
            with visiting(port, tls) as client:
                client.send(request_bytes("GET", path))
                while b"first" not in client.buffer:
                    assert client.fill()
                leave(client.sock)
                left.get(timeout=PATIENCE)
