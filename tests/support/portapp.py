"""The test app in the port form, and the servers that serve it.

They listen on the services' numbers themselves, or have us listen.

`python -m tests.support.portapp NAME PORT NUMBER...`; gunicorn is started by `running_site`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wsgi_portproxy import Limits, Listen, PortProxy, Timeouts, UrlForms, Withhold

from .client import Reply, request_bytes
from .hostapp import HOSTS, MOUNT, NO_CAP, app, may_view
from .ports import bound_socket, free_port
from .servers import Server, gunicorn, running
from .service import Script, Service
from .streamapp import of_server
from .tls import Tls, speaks_tls
from .urls import query_form
from .websocket import Visitor

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: To tests' ports (tests/support/ports.py) it adds up to ports below those that Linux chooses.
OFFSET = 10000
TEMPLATE = f":{{port+{OFFSET}}}"
NAVIGATES = [("Sec-Fetch-Mode", "navigate")]


def _proxy(**urls: Any) -> PortProxy:
    return PortProxy(
        app,
        authorizer=may_view,
        mount=MOUNT,
        hosts=HOSTS,
        ports=range(10000, 30000),  # with the numbers, which are then the app's own ports
        timeouts=Timeouts(connect=1.0, head=30.0),
        limits=Limits(requests_per_port=NO_CAP),
        withhold=Withhold(cookies=["user", "sessionid"]),
        urls=UrlForms(**{"host_template": TEMPLATE, "port_range": range(10000, 20000), **urls}),
    )


served = _proxy()
same_number = _proxy(host_template=":{port}")
isolated = _proxy(isolate=True)
listening = _proxy(
    listen=Listen(
        listeners=int(os.environ.get("LISTENERS", "64")),
        proxy_protocol=bool(os.environ.get("PROXY_PROTOCOL")),
    )
)


class Held:
    """Ports of services that a server knows when it starts; a service of a test takes one."""

    def __init__(self, count: int) -> None:
        self._sockets = [bound_socket() for _ in range(count)]
        self.ports: list[int] = [sock.getsockname()[1] for sock in self._sockets]

    @property
    def numbers(self) -> list[int]:
        return [port + OFFSET for port in self.ports]

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


@contextlib.contextmanager
def held(count: int) -> Iterator[Held]:
    with contextlib.closing(Held(count)) as ports:
        yield ports


@contextlib.contextmanager
def service_on(port: int, script: Script, address: str = "127.0.0.1") -> Iterator[Service]:
    """A scripted service on a port that is held."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    with contextlib.closing(Service(script, sock)) as service:
        yield service


@dataclass
class Site:
    """A running server, and the services' ports that it has numbers for."""

    name: str
    server: Server
    ports: list[int]
    tls: ssl.SSLContext | None = None
    on_demand: bool = False

    @property
    def scheme(self) -> str:
        return "http" if self.tls is None else "https"

    def connect(self, number: int) -> Visitor:
        return Visitor(number, tls=self.tls)

    def ask(self, number: int, method: str, target: str, host: str = "", **given: Any) -> Reply:
        """One request on a connection to a number, whose name and number it names."""
        with self.connect(number) as visitor:
            visitor.send(request_bytes(method, target, host=host or f"localhost:{number}", **given))
            return visitor.reply(method=method)

    def open(self, port: int) -> int:
        """Have a visitor be sent to the service; the number."""
        number = port + OFFSET
        there = query_form(port, "/x?y")
        moved = self.ask(self.server.port, "GET", there, headers=NAVIGATES)
        assert moved.status == 307, moved.text
        assert moved.value("Location") == f"{self.scheme}://localhost:{number}/x?y"
        return number


def bound(numbers: list[int], address: str = "127.0.0.1") -> tuple[str, ...]:
    return tuple(part for number in numbers for part in ("-b", f"{address}:{number}"))


@contextlib.contextmanager
def running_site(name: str, ports: list[int], tls: Tls | None = None) -> Iterator[Site]:
    """The site on a server of this name, which has `ports`, with us listening where it cannot."""
    numbers = [port + OFFSET for port in ports]
    kind, _, more = name.partition("-")
    if kind != "gunicorn":
        port, on_demand = free_port(), kind != "waitress"
        command = [sys.executable, "-m", "tests.support.portapp", name, str(port)]
        with running([*command, *map(str, numbers)], port) as server:
            yield Site(name, server, ports, on_demand=on_demand)
        return
    worker, _, rest = more.partition("-")
    options: tuple[str, ...] = ("--workers", "2") if rest == "2" else ()
    if rest not in ("tls", "demand"):
        options += bound(numbers)
        with gunicorn("tests.support.portapp:served", worker=worker, options=options) as server:
            yield Site(name, server, ports)
        return
    if tls is None:
        with gunicorn("tests.support.portapp:listening", worker=worker) as server:
            yield Site(name, server, ports, on_demand=True)
        return
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", worker, "-b", f"127.0.0.1:{port}"]
    command += ["--threads", "8", "--certfile", str(tls.certificate), "--keyfile", str(tls.key)]
    command.append("tests.support.portapp:listening")
    with running(command, port, probe=speaks_tls(tls)) as server:
        yield Site(name, server, ports, tls.context(), on_demand=True)


def _serve(name: str, port: int, numbers: list[int]) -> None:
    application: WSGIApplication = listening
    if name == "waitress":
        listen = " ".join(f"127.0.0.1:{number}" for number in [port, *numbers])
        import_module("waitress").serve(served, listen=listen, threads=8)
    of_server(name, port, application)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), [*map(int, sys.argv[3:])])
