"""The host app, on http and behind TLS, and the ways to a service through it.

With `DIRECT=1` each client also goes to its service without a proxy, to tell whose fault a failure
is.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.services.front import tls_front
from tests.support.servers import gunicorn

from .hostapp import TOKEN

HEADERS = {"Authorization": f"Bearer {TOKEN}"}
DIRECT = "direct"
WAYS = [*product(("http", "https"), ("path", "host"))]
WAYS += [("http", DIRECT)] if os.environ.get("DIRECT") else []


@dataclass(frozen=True)
class Way:
    """How visitors come to services. authority: of the certificate of the site, if that has one."""

    scheme: str
    form: str
    port: int
    authority: Path | None

    def host(self, service: int) -> str:
        return f"{service}.app.test" if self.form == "host" else "localhost"

    def base(self, service: int) -> str:
        """The address of the service on this port."""
        if self.form == DIRECT:
            return f"http://localhost:{service}/"
        path = "" if self.form == "host" else f"alice/vision/proxy/{service}/"
        return f"{self.scheme}://{self.host(service)}:{self.port}/{path}"

    @property
    def verify(self) -> ssl.SSLContext | bool:
        """As httpx takes it."""
        return self.authority is None or ssl.create_default_context(cafile=self.authority)

    def client(self, **options: Any) -> httpx.Client:
        """As alice's program. It follows no redirects by itself."""
        return httpx.Client(headers=HEADERS, verify=self.verify, timeout=60.0, **options)


@pytest.fixture(scope="package")
def sites() -> Iterator[dict[str, tuple[int, Path | None]]]:
    """Port and authority of the one host app, by scheme. A traceback in its log fails the tests."""
    with gunicorn("tests.clients.hostapp:application") as server, tls_front(server.port) as front:
        yield {"http": (server.port, None), "https": (front.server.port, front.authority)}
        assert "Traceback" not in server.output(), server.output()


@pytest.fixture(params=WAYS, ids="-".join)
def way(request: pytest.FixtureRequest, sites: dict[str, tuple[int, Path | None]]) -> Way:
    scheme, form = request.param
    return Way(scheme, form, *sites[scheme])


@pytest.fixture(autouse=True)
def names_of_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host names of the ports are this machine, as a site's DNS would say. They are not below
    localhost as in the browser: OpenSSL takes no certificate for `*` in front of a single label."""
    resolve = socket.getaddrinfo

    def resolved(host: Any, *args: Any, **kwargs: Any) -> Any:
        is_of_port = isinstance(host, str) and host.endswith(".app.test")
        return resolve("127.0.0.1" if is_of_port else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
