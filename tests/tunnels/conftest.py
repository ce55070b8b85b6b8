"""Both ends of a tunnel in a test's hands, and hosts whose logs are looked at in the end."""

from __future__ import annotations

import re
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, Service
from tests.support.urls import path_form
from tests.support.waiting import until
from tests.support.websocket import Visitor, accepting


@dataclass
class Ends:
    """A tunnel: the visitor's connection, and the service's as its script sees it."""

    visitor: Visitor
    service: Exchange


TunnelFactory = Callable[..., Ends]


@contextmanager
def opening_tunnels() -> Iterator[TunnelFactory]:
    """Open tunnels by calling what it yields with a host. Both ends stay open until they are closed
    by somebody, or the block ends."""
    released = threading.Event()
    visitors: list[Visitor] = []
    services: list[Service] = []

    def park(exchange: Exchange) -> None:
        released.wait(60)

    def open_one(
        host: Server, *, receive_buffer: int = 0, tls: ssl.SSLContext | None = None
    ) -> Ends:
        upstream = Service(accepting(park))
        services.append(upstream)
        visitor = Visitor(host.port, receive_buffer=receive_buffer, tls=tls)
        visitors.append(visitor)
        visitor.open(path_form(upstream.port, "/socket"))
        exchange = until(lambda: upstream.exchanges, "the service has a connection")[0]
        exchange.sock.settimeout(10)
        return Ends(visitor, exchange)

    try:
        yield open_one
    finally:
        for visitor in visitors:
            visitor.close()
        for one in services:
            for exchange in one.exchanges:
                exchange.sock.close()
        released.set()
        for one in services:
            one.close()


@pytest.fixture
def tunnel() -> Iterator[TunnelFactory]:
    """Open tunnels: `tunnel(host)`. They last as long as the test."""
    with opening_tunnels() as open_one:
        yield open_one


@pytest.fixture(scope="package")
def host() -> Iterator[Server]:
    """The test app under gunicorn gthread, for these tests alone."""
    yield from clean("tests.support.hostapp:application")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for localhost and its key, as paths."""
    folder = tmp_path_factory.mktemp("tls")
    paths = str(folder / "certificate.pem"), str(folder / "key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    command += f" -subj /CN=localhost -out {paths[0]} -keyout {paths[1]}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return paths


def assert_clean(server: Server) -> None:
    """Neither a traceback nor an error line is in what the server printed."""
    # With these warnings on, gunicorn's sync worker says that it leaves its listener open.
    own = re.compile(rf"(?:Exception ignored in: <|ResourceWarning: ).*laddr=.*{server.port}\)>\n")
    output = own.sub("", server.output())
    for sign in ("Traceback", "ResourceWarning", "[ERROR]", "[CRITICAL]", "Exception ignored"):
        position = output.find(sign)
        assert position < 0, output[max(0, position - 500) : position + 4000]


def clean(application: str, **options: object) -> Iterator[Server]:
    """A gunicorn that serves `application`, whose log is clean in the end: for fixtures."""
    with gunicorn(application, **options) as server:  # type: ignore[arg-type]
        yield server
        assert_clean(server)
