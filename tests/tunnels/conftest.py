"""Both ends of a tunnel in a test's hands, and hosts whose logs are looked at in the end."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.support.chosen import settings
from tests.support.endings import close
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, Service
from tests.support.streams import CHUNKED, Framing, StreamVisitor, leaving, stream_target
from tests.support.urls import path_form
from tests.support.waiting import until
from tests.support.websocket import Visitor, accepting


@dataclass
class Ends:
    """A tunnel: the visitor's connection, and the service's as its script sees it."""

    visitor: Visitor
    service: Exchange

    def sockets(self, first: str) -> tuple[socket.socket, socket.socket]:
        """That of the visitor or the service, whichever is to be first, and the other."""
        both = self.visitor.sock, self.service.sock
        return both if first == "visitor" else both[::-1]


TunnelFactory = Callable[..., Ends]
FROM_EITHER_SIDE = pytest.mark.parametrize("first", ["visitor", "service"])


@contextmanager
def opening_tunnels() -> Iterator[TunnelFactory]:
    """Open tunnels by calling what it yields with a host, and the app that is to get the
    handshake where the host has several. Both ends stay open until they are closed by somebody, or
    the block ends."""
    released = threading.Event()
    visitors: list[Visitor] = []
    services: list[Service] = []

    def park(exchange: Exchange) -> None:
        released.wait(120)

    def open_one(
        host: Server,
        app: str = "",
        *,
        receive_buffer: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> Ends:
        upstream = Service(accepting(park))
        services.append(upstream)
        visitor = Visitor(host.port, receive_buffer=receive_buffer, tls=tls)
        visitors.append(visitor)
        visitor.open(path_form(upstream.port, "/socket"), settings(app) if app else ())
        exchange = until(lambda: upstream.exchanges, "the service has a connection")[0]
        exchange.sock.settimeout(30)
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


EVENT = b"data: tick\n\n"
LINGER = 2.0  # seconds
# For a host that gives up on ends that linger after that time, instead of ten.
HURRIED = {"LINGER": str(LINGER), "_SWEEP": str(LINGER / 10)}


@dataclass
class Stream:
    """One that left: the visitor, who has read the first event, and the service's connection."""

    visitor: StreamVisitor
    service: Exchange
    framing: Framing
    target: str

    def send(self, body: bytes) -> None:
        self.service.send(self.framing.encode(body))

    def end(self) -> None:
        """End the body as it should."""
        if self.framing.end:
            self.service.send(self.framing.end)
        close(self.service.sock)


StreamFactory = Callable[..., Stream]


@pytest.fixture
def stream() -> Iterator[StreamFactory]:
    """Open event streams: `stream(host)`. Both ends are open until the test closes them, or ends.

    `length`: of the whole body, where the framing tells one.
    """
    released = threading.Event()
    visitors: list[StreamVisitor] = []
    services: list[Service] = []

    def open_one(
        host: Server,
        framing: Framing = CHUNKED,
        version: str = "HTTP/1.1",
        *,
        length: int = 100,
        receive_buffer: int = 0,
    ) -> Stream:
        def script(exchange: Exchange) -> None:
            exchange.read_head()
            exchange.send(framing.head(length, b"text/event-stream") + framing.encode(EVENT))
            released.wait(120)

        services.append(Service(script))
        visitors.append(StreamVisitor(host.port, receive_buffer=receive_buffer))
        target = stream_target(services[-1].port)
        visitors[-1].ask(target, version)
        visitors[-1].read_until(EVENT)
        leaving(host, target)
        exchange = services[-1].exchanges[0]
        exchange.sock.settimeout(30)
        return Stream(visitors[-1], exchange, framing, target)

    yield open_one
    for visitor in visitors:
        visitor.close()
    released.set()
    for service in services:
        service.close()


@pytest.fixture(scope="package")
def host() -> Iterator[Server]:
    """The test app under gunicorn gthread with 8 threads, for these tests alone."""
    with clean("tests.support.tunnelapp:application") as server:
        yield server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for localhost and its key, as paths."""
    folder = tmp_path_factory.mktemp("tls")
    paths = str(folder / "certificate.pem"), str(folder / "key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    command += f" -subj /CN=localhost -out {paths[0]} -keyout {paths[1]}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return paths


@pytest.fixture(scope="session")
def tls(certificate: tuple[str, str]) -> ssl.SSLContext:
    """What trusts it."""
    return ssl.create_default_context(cafile=certificate[0])


def assert_clean(server: Server) -> None:
    """Neither a traceback nor an error line is in what the server printed, but for an authorizer's
    that fails on purpose."""
    # With these warnings on, gunicorn's sync worker says that it leaves its listener open.
    own = re.compile(rf"(?:Exception ignored in: <|ResourceWarning: ).*laddr=.*{server.port}\)>\n")
    wanted = re.compile(r"Traceback .*\n(?: .*\n)+RuntimeError: a database is down\n")
    output = wanted.sub("", own.sub("", server.output()))
    for sign in ("Traceback", "ResourceWarning", "[ERROR]", "[CRITICAL]", "Exception ignored"):
        position = output.find(sign)
        assert position < 0, output[max(0, position - 500) : position + 4000]


@contextmanager
def clean(application: str, **options: object) -> Iterator[Server]:
    """A gunicorn that serves `application`, whose log is clean in the end."""
    with gunicorn(application, **options) as server:  # type: ignore[arg-type]
        yield server
        assert_clean(server)


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    """Set at the end of the test at the latest."""
    event = threading.Event()
    yield event
    event.set()
