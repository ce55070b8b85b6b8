"""What a server is found to be by what it shows."""

from __future__ import annotations

import io
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wsgi_portproxy.servers import (
    ADAPTERS,
    Adapter,
    BodyReader,
    bodiless_headers,
    body_reader,
    connection_of,
    is_tls,
    processes,
    server_processes,
    takes_chunks,
)

from .given import environ


@pytest.fixture(autouse=True)
def uncounted() -> None:
    processes._siblings.cache_clear()


def test_a_server_that_has_one_process_is_asked_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getppid", lambda: pytest.fail("it was asked"))
    for made in ({}, {"wsgi.multiprocess": False}):
        assert server_processes(made) == 1


@pytest.mark.parametrize(("children", "count"), [("", 1), ("17", 1), ("17 18 23 ", 3)])
def test_several_are_the_children_of_one_parent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, children: str, count: int
) -> None:
    opened: list[object] = []

    def fake_open(path: str) -> Any:
        opened.append(path)
        (tmp_path / "children").write_text(children)
        return (tmp_path / "children").open()

    monkeypatch.setattr(os, "getppid", lambda: 16)
    monkeypatch.setattr(processes, "open", fake_open, raising=False)
    for _ in range(3):
        assert server_processes({"wsgi.multiprocess": True}) == count
    assert opened == ["/proc/16/task/16/children"], "they are not counted each time"


def test_where_they_cannot_be_seen_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getppid", lambda: 1 << 30)
    assert server_processes({"wsgi.multiprocess": True}) == 1


# --- The table of adapters -----------------------------------------------------------------------


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)
def test_an_adapter_makes_nothing_of_another_servers_request(adapter: Adapter) -> None:
    made = environ()
    assert adapter.socket(made) is None
    assert adapter.body_reader(made) is None
    assert adapter.threads(made) is None
    headers = [("Content-Length", "2")]
    assert adapter.bodiless_headers(made, 304, headers) == headers


def test_a_request_through_no_known_server_is_served_by_pep_3333() -> None:
    made = environ(body=b"hello")
    assert connection_of(made) is None
    reader = body_reader(made)
    assert type(reader) is BodyReader
    assert (reader.read(3), reader.buffered(), reader.socket) == (b"hel", True, None)


GEVENT: dict[str, Any] = {"SERVER_SOFTWARE": "gevent/25.0 Python/3.13"}


@pytest.mark.parametrize(
    ("method", "status", "given", "expected"),
    [
        ("GET", 304, ["Content-Length", "ETag"], ["ETag"]),
        ("HEAD", 304, ["Content-Length"], ["Connection"]),
        ("HEAD", 200, ["Content-Length"], ["Content-Length"]),
        ("HEAD", 200, ["ETag"], ["ETag", "Connection"]),
    ],
)
def test_gevent_is_given_heads_that_it_sends_without_a_body(
    method: str, status: int, given: list[str], expected: list[str]
) -> None:
    headers = [(name, "x") for name in given]
    fitted = bodiless_headers(environ(method=method, **GEVENT), status, headers)
    assert [name for name, _ in fitted] == expected
    assert bodiless_headers(environ(method=method), status, headers) == headers


class Counted:
    """cheroot's reader of a body: what is left of it, over a reader of the connection."""

    def __init__(self, rfile: io.BufferedReader, remaining: int) -> None:
        self.rfile = rfile
        self.remaining = remaining


def test_what_follows_a_body_that_cheroot_has_dropped_is_not_read() -> None:
    """It drops the rest of a body when it sends the response's head."""
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as rfile:
        theirs.sendall(b"bodyGET /next HTTP/1.1\r\n\r\n")
        source = Counted(rfile, 4)
        reader = body_reader({**environ(), "wsgi.input": source})
        assert bytes(reader.read(2)) == b"bo"
        assert bytes(reader.read(100)) == b"dy", "no more than is left"
        assert reader.buffered()
        assert reader.read(100) == b""
        assert rfile.read1(3) == b"GET"


class OpenSSLConnection:
    """pyOpenSSL's, which cheroot can use for TLS."""

    def get_peer_certificate(self) -> None: ...


def test_each_python_tls_is_known() -> None:
    assert is_tls(OpenSSLConnection())
    assert not is_tls(object())


class GunicornResponse:
    __module__ = "gunicorn.http.wsgi"

    def __init__(self, protocol: str) -> None:
        self.cfg = SimpleNamespace(protocol=protocol)

    def start_response(self) -> None: ...


def test_gunicorn_hands_over_no_connection_of_uwsgis_protocol() -> None:
    """A front end would take the chunks for a part of the body."""
    (gunicorn,) = (adapter for adapter in ADAPTERS if adapter.name == "gunicorn")
    assert gunicorn.owns(GunicornResponse("http").start_response)
    assert not gunicorn.owns(GunicornResponse("uwsgi").start_response)


@pytest.mark.parametrize("options", [{"socket": b""}, {"https-socket": b""}], ids=str)
def test_uwsgi_takes_no_chunks_and_keeps_its_tls(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, bytes]
) -> None:
    module = SimpleNamespace(opt={"enable-threads": b"true", **options})
    monkeypatch.setitem(sys.modules, "uwsgi", module)
    made = {**environ(), "uwsgi.version": b"2.0", "SERVER_PROTOCOL": "HTTP/1.1"}
    (uwsgi,) = (adapter for adapter in ADAPTERS if adapter.name == "uwsgi")
    assert not takes_chunks(made)
    assert uwsgi.hands_over(made) == ("https-socket" not in options)
    assert takes_chunks(environ(SERVER_PROTOCOL="HTTP/1.1"))
    assert not takes_chunks(environ(SERVER_PROTOCOL="HTTP/1.0"))


def test_another_input_in_front_of_gunicorns_has_nothing_read_ahead() -> None:
    """A middleware that limits bodies puts its own there."""
    (gunicorn,) = (adapter for adapter in ADAPTERS if adapter.name == "gunicorn")
    assert gunicorn.read_ahead({**environ(), "wsgi.input": io.BytesIO(b"body")}) == b""
