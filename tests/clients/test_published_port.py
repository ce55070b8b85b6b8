"""A service in a container, as `docker run -p N:80` has it: nginx, which knows of another port."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.support.nginx import nginx_with
from tests.support.service import Exchange, Script, Service

from .conftest import Way

PAGE = "<!doctype html><title>Documents</title>"
_HTTP = """\
  server {{
    listen 127.0.0.1:{port};
    server_name localhost;
    absolute_redirect on;
    port_in_redirect {port_in_redirect};
    root {site};
  }}
"""


@contextmanager
def inner_port() -> Iterator[int]:
    """One that is never opened by the proxy, held as those of tests/support/ports.py are."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port: int = sock.getsockname()[1]
        assert not 10000 <= port <= 20000, "the kernel's own choice is above (ip_local_port_range)"
        yield port


def forwarding_to(port: int) -> Script:
    """What the container's engine does with each connection to the published port."""

    def forward(exchange: Exchange) -> None:
        with socket.create_connection(("127.0.0.1", port)) as inner:
            answers = threading.Thread(target=copy, args=(inner, exchange.sock))
            answers.start()
            copy(exchange.sock, inner)
            answers.join()

    return forward


def copy(source: socket.socket, sink: socket.socket) -> None:
    """All that comes, and its end. A side that is gone ends it too."""
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


# `off` gives what port 80 would give inside, which no redirect names: http://localhost/docs/.
@pytest.fixture(scope="module", params=["on", "off"], ids=["port-named", "port-80"])
def published(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The port N of `docker run -p N:80`."""
    site: Path = tmp_path_factory.mktemp("site")
    (site / "docs").mkdir()
    (site / "docs" / "index.html").write_text(PAGE)
    with inner_port() as port:
        http = _HTTP.format(port=port, port_in_redirect=request.param, site=site)
        with nginx_with(port, "events { worker_connections 64; }", http):
            engine = Service(forwarding_to(port))
            try:
                yield engine.port
            finally:
                engine.close()


def test_a_folder_without_its_slash_leads_to_the_folder(published: int, way: Way) -> None:
    asked = f"{way.base(published)}docs"
    with way.client() as client:
        answer = client.get(asked)
        assert answer.status_code == 301
        place = urljoin(asked, answer.headers["Location"])
        assert place == f"{asked}/"
        assert client.get(place).text == PAGE
