"""No request of one visitor is the beginning of another's: which connections are used again.

The visitors of a service share its connections, and many a service leaves a body unread that it did
not expect: what is left on the connection it takes for the next request.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests import KEPT
from tests.conftest import ServiceFactory
from tests.support.chunks import chunk, plain
from tests.support.client import Client, ask, request_bytes
from tests.support.ports import bound_socket
from tests.support.received import OK
from tests.support.servers import Server
from tests.support.service import Exchange, answers
from tests.support.urls import query_form
from tests.support.websocket import STANDARD

from .common import PLANTED, Encode, NotReading, get, upload_head

METHODS = ["GET", "HEAD", "OPTIONS", "DELETE", "PUT", "POST", "PATCH", "PROPFIND"]


@pytest.mark.promise("No visitor's request is the beginning of another's")
@pytest.mark.case("a body that a service leaves unread; what comes late")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("framing", "encode", "end"),
    [("Content-Length", plain, b""), ("chunked", chunk, b"0\r\n\r\n")],
    ids=["length", "chunked"],
)
def test_what_one_visitor_plants_in_a_body_is_no_part_of_anothers_request(
    host: Server, service: ServiceFactory, method: str, framing: str, encode: Encode, end: bytes
) -> None:
    script = NotReading()
    upstream = service(script)

    def alice() -> bytes:
        return ask(host.port, "GET", query_form(upstream.port, "/alices")).body

    assert alice() == b"/alices"
    head = upload_head(query_form(upstream.port, "/bobs"), framing, len(PLANTED))
    with Client(host.port) as bob:
        bob.send(head.replace(b"POST", method.encode(), 1) + encode(PLANTED) + end)
        assert bob.reply(method=method).status == 200
    for _ in range(3):
        assert alice() == b"/alices"
    assert [one for one in script.seen if one[1] != "/planted"] == [
        (0, "/alices"),
        (1, "/bobs"),  # not on hers either: it may be closed by now, and could not be repeated
        *[(0, "/alices")] * 3,
    ]


@pytest.fixture
def library() -> Iterator[int]:
    """The port of Python's own HTTP server, on HTTP/1.1, whose handler reads no bodies."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.path.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = bound_socket()
    server.server_activate()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.socket.getsockname()[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_nor_with_pythons_own_server(host: Server, library: int) -> None:
    for _ in range(3):
        bobs = ask(host.port, "GET", query_form(library, "/bobs"), body=PLANTED)
        assert bobs.body == b"/bobs"
        assert ask(host.port, "GET", query_form(library, "/alices")).body == b"/alices"


@pytest.mark.promise("No visitor's request is the beginning of another's")
@pytest.mark.case("a body that a service leaves unread; what comes late")
def test_an_early_answer_ends_its_connection(host: Server, service: ServiceFactory) -> None:
    """The rest of the body would be the next request."""
    script = NotReading()
    upstream = service(script)
    for method in ("POST", "GET"):
        head = upload_head(query_form(upstream.port, "/bobs"), "Content-Length", 1000)
        with Client(host.port) as bob:
            bob.send(head.replace(b"POST", method.encode(), 1) + b"beginning")
            assert bob.reply().body == b"/bobs"
        assert ask(host.port, "GET", query_form(upstream.port, "/alices")).body == b"/alices"
    assert script.seen == [(0, "/bobs"), (1, "/alices"), (2, "/bobs"), (1, "/alices")]


@pytest.mark.promise("No visitor's request is the beginning of another's")
@pytest.mark.case("a body that a service leaves unread; what comes late")
def test_a_handshake_that_is_refused_leaves_no_connection_and_takes_none(
    host: Server, service: ServiceFactory
) -> None:
    script = NotReading()
    upstream = service(script)
    for headers in ([], list(STANDARD.items()), []):
        assert ask(host.port, "GET", query_form(upstream.port, "/x"), headers=headers).status != 101
    assert script.seen == [(0, "/x"), (1, "/x"), (0, "/x")]


# --- Bodies that were announced, and come though none may -----------------------------------------

LATE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
ANNOUNCED = [
    pytest.param("HEAD", b"200 OK\r\nContent-Length: %d", id="head"),
    pytest.param("HEAD", b"200 OK\r\nTransfer-Encoding: chunked", id="head-chunked"),
    pytest.param("HEAD", b"200 OK\r\nX-Length: %d", id="head-without"),
    pytest.param("GET", b"304 Not Modified\r\nContent-Length: %d", id="304"),
    pytest.param("GET", b"304 Not Modified\r\nTransfer-Encoding: chunked", id="304-chunked"),
    pytest.param("GET", b"204 No Content\r\nContent-Length: %d", id="204"),
]


@pytest.mark.promise("No visitor's request is the beginning of another's")
@pytest.mark.case("a body that a service leaves unread; what comes late")
@pytest.mark.parametrize(("method", "head"), ANNOUNCED)
def test_a_body_that_comes_late_is_nobodys_answer(
    host: Server, service: ServiceFactory, method: str, head: bytes
) -> None:
    """So late that nothing has come when the next request goes out."""
    head = head.replace(b"%d", b"%d" % len(LATE))

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        if exchange.number:
            exchange.send(OK)
            return
        exchange.send(b"HTTP/1.1 " + head + b"\r\n\r\n")
        if exchange.read_head():
            exchange.send(LATE)

    upstream = service(script)
    assert get(host, upstream, method=method).status == int(head[:3])
    assert get(host, upstream).body == b"hi"


@pytest.mark.parametrize("head", [b"204 No Content", b"304 Not Modified", b"304 x\r\nX-Length: 5"])
def test_where_none_was_announced_the_connection_is_kept(
    host: Server, service: ServiceFactory, head: bytes
) -> None:
    upstream = service(answers(b"HTTP/1.1 " + head + b"\r\n\r\n", OK))
    assert get(host, upstream).status == int(head[:3])
    assert get(host, upstream).body == b"hi"
    assert upstream.connections == 1


# --- What is the visitor's own business -----------------------------------------------------------


def test_a_visitors_own_connection_goes_on(host: Server, service: ServiceFactory) -> None:
    upstream = service(NotReading())
    kept = []
    with Client(host.port) as client:
        for number in range(3):
            target = query_form(upstream.port, f"/{number}")
            client.send(request_bytes("POST", target, body=PLANTED))
            reply = client.reply()
            assert (reply.status, reply.text) == (200, f"/{number}")
            kept.append(reply.value("Connection") != "close")
    assert any(kept) == KEPT  # one may take long on a busy machine
