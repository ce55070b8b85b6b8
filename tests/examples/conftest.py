"""Starts the examples as their users do, gunicorn with the shipped configuration, and visits them.

The service behind a port is the standard library's server: what people start first.
"""

from __future__ import annotations

import contextlib
import http.client
import http.cookiejar
import http.server
import re
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.received import Received
from tests.support.servers import ROOT, running
from tests.support.waiting import PATIENCE

EXAMPLES = ROOT / "examples"

# --- A visitor -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def location(self) -> str:
        """Path and query of the Location header."""
        parts = urllib.parse.urlsplit(self.headers["Location"])
        return urllib.parse.urlunsplit(("", "", *parts[2:]))


class AsItComes(urllib.request.HTTPErrorProcessor):
    """Redirects and errors are answers like any other."""

    def http_response(
        self, request: urllib.request.Request, response: http.client.HTTPResponse
    ) -> http.client.HTTPResponse:
        return response


class Visitor:
    """A browser of sorts: it keeps cookies, sends forms, and follows no redirect by itself."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            AsItComes,
            urllib.request.ProxyHandler({}),  # whatever http_proxy says
            urllib.request.HTTPCookieProcessor(self.cookies),
        )

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.send("GET", path, headers=headers)

    def submit(self, path: str, fields: Mapping[str, str], *, page: str | None = None) -> Answer:
        """Send a form to `path`, with the CSRF token of the page that it is on, if it has one."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(page or path).text)
        data = {**fields, **({"csrfmiddlewaretoken": token[1]} if token else {})}
        return self.send("POST", path, urllib.parse.urlencode(data).encode())

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        request = urllib.request.Request(
            self.site + path, method=method, data=body, headers=dict(headers or {})
        )
        with self._opener.open(request, timeout=30) as response:
            return Answer(response.status, response.headers, response.read().decode())


# --- A service behind a port ---------------------------------------------------------------------


class Service(http.server.ThreadingHTTPServer):
    """A small service that tells which request it got, and remembers it.

    `/held` starts to answer and goes on when `release` is set, as a stream does.
    """

    # Otherwise closing waits for connections that the proxy keeps open to use again.
    block_on_close = False

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), ServiceHandler)
        self.received: list[Received] = []
        self.release = threading.Event()

    @property
    def port(self) -> int:
        return self.server_port


class ServiceHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fields = list(self.headers.items())
        self.server.received.append(Received(self.command, self.path, fields, body))
        answer = f"service on {self.server.port}: {self.command} {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.path == "/held":
            self.wfile.write(answer[:1])
            self.server.release.wait(PATIENCE)
            answer = answer[1:]
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(free_port()) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield service
        finally:
            service.release.set()
            service.shutdown()
            thread.join()


# --- gunicorn ------------------------------------------------------------------------------------


@contextlib.contextmanager
def gunicorn(folder: Path, app: str, env: Mapping[str, str]) -> Iterator[str]:
    """The address of an example that gunicorn serves with the shipped configuration."""
    port = free_port()
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "gunicorn"]
    command += ["--config", str(EXAMPLES / "gunicorn" / "gunicorn.conf.py")]
    command += ["--chdir", str(folder), "--bind", f"127.0.0.1:{port}", app]
    with running(command, port, env=dict(env)) as server:
        yield f"http://127.0.0.1:{port}"
        assert "Traceback" not in server.output()
        assert "ResourceWarning" not in server.output()
