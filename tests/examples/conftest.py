"""Starts the examples as their users do, gunicorn with the shipped configuration, and visits them.

The service behind a port is the standard library's server: what people start first.
"""

from __future__ import annotations

import contextlib
import http.server
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.received import Received
from tests.support.servers import ROOT, running
from tests.support.waiting import PATIENCE

EXAMPLES = ROOT / "examples"


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
            self.server.release.wait(3 * PATIENCE)
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


@contextlib.contextmanager
def gunicorn(folder: Path, app: str, env: Mapping[str, str]) -> Iterator[str]:
    """The address of an example that gunicorn serves with the shipped configuration."""
    port = free_port()
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "gunicorn"]
    command += ["--config", str(EXAMPLES / "gunicorn" / "gunicorn.conf.py")]
    command += ["--chdir", str(folder), "--bind", f"127.0.0.1:{port}", app]
    with running(command, port, env=dict(env), seconds=3 * PATIENCE) as server:
        yield f"http://127.0.0.1:{port}"
        assert "Traceback" not in server.output()
        assert "ResourceWarning" not in server.output()
