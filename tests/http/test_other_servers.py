"""The cases in which WSGI servers differ, on those that are not gunicorn.

Each does some of it differently (which bodies it drops, how it frames, what it asserts), and what a
visitor gets must be right all the same. They also differ in what they show of the request target
and of Host.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk, plain
from tests.support.client import Client, ask, request_bytes
from tests.support.notes import Notes
from tests.support.ports import free_port
from tests.support.received import OK, Received, read_request, recording
from tests.support.servers import Server, running
from tests.support.service import Exchange, answers
from tests.support.urls import path_form, query_form
from tests.support.waiting import PATIENCE, Steps, peer_left, until
from tests.support.websocket import Visitor, echoing, handshake

from .common import PLANTED, NotReading, read_until

Encode = Callable[[bytes], bytes]


NAVIGATES = [("Sec-Fetch-Mode", "navigate")]
PAGE = b'<script id="jupyter-config-data">{"baseUrl": "/"}</script>'


@pytest.fixture(scope="module", params=["werkzeug", "waitress", "cheroot", "gevent"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(name: str) -> Iterator[Server]:
    """All of it on one server of each kind, which has host names of its own for services, too."""
    port = free_port()
    patched = ["gevent.monkey", "--module"] if name == "gevent" else []
    command = [sys.executable, "-m", *patched, "tests.support.serve", name, str(port)]
    with running([*command, "pageapp:hosted"], port) as server:
        yield server
        # Servers tell of what broke off in their own ways, cheroot of uploads by ValueError.
        signs = ["AssertionError", "TypeError", "KeyError", *(["ValueError"] * (name != "cheroot"))]
        output = server.output()
        assert not any(sign in output for sign in signs)


@pytest.fixture
def notes(server: Server) -> Notes:
    return Notes(server)


def get(server: Server, port: int, *, method: str = "GET") -> None:
    """The server still works, and so does the service."""
    assert ask(server.port, method, query_form(port, "/x")).body == b"hi"


def once_then_ok(response: bytes) -> Callable[[Exchange], None]:
    """A script that answers its first connection with `response`, and closes; all others well."""

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            exchange.send(OK if exchange.number else response)
            if not exchange.number:
                return

    return script


@pytest.mark.case("a body that is cut is reported as broken, on every server that can show it")
@pytest.mark.promise("An answer that breaks looks broken")
@pytest.mark.parametrize(
    "response",
    [
        pytest.param(b"200 OK\r\nContent-Length: 10\r\n\r\nhello", id="length"),
        pytest.param(b"200 OK\r\nContent-Length: 10\r\n\r\n", id="length-no-byte"),
        pytest.param(b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", id="chunked"),
        pytest.param(b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", id="chunked-no-byte"),
    ],
)
def test_a_body_that_is_cut_looks_cut(
    server: Server, service: ServiceFactory, response: bytes
) -> None:
    upstream = service(once_then_ok(b"HTTP/1.1 " + response))
    with Client(server.port) as client:
        client.send(request_bytes("GET", query_form(upstream.port, "/x")))
        reply = client.reply()
        assert (reply.status, reply.complete) == (200, False)
        assert b"hello".startswith(reply.body)
        assert not client.fill()  # the connection is closed: nothing can be taken for the rest
    get(server, upstream.port)


BODILESS = [
    pytest.param("HEAD", b"200 OK\r\nContent-Length: 1234", {"1234"}, id="head-length"),
    pytest.param("HEAD", b"200 OK\r\nTransfer-Encoding: chunked", set(), id="head-chunked"),
    pytest.param("HEAD", b"200 OK", set(), id="head-no-length"),
    pytest.param("GET", b"204 No Content", set(), id="204"),
    pytest.param("GET", b"204 No Content\r\nContent-Length: 0", set(), id="204-length"),
    pytest.param("GET", b"304 Not Modified", set(), id="304"),
    pytest.param("GET", b"304 Not Modified\r\nContent-Length: 12", {"12"}, id="304-length"),
]


@pytest.mark.parametrize("bogus", [b"", b"bogus"], ids=["sound", "with-a-bogus-body"])
@pytest.mark.parametrize(("method", "head", "lengths"), BODILESS)
def test_an_answer_without_body_has_none(
    server: Server,
    service: ServiceFactory,
    method: str,
    head: bytes,
    lengths: set[str],
    bogus: bytes,
) -> None:
    upstream = service(answers(b"HTTP/1.1 " + head + b"\r\n\r\n" + bogus, OK))
    with Client(server.port) as client:
        client.send(request_bytes(method, query_form(upstream.port, "/x")))
        reply = client.reply(method=method)
        assert f"{reply.status} {reply.reason}".encode() == head.partition(b"\r")[0]
        if method == "HEAD" and lengths:
            assert set(reply.values("Content-Length")) == lengths
        else:  # some servers drop the length of a 304, some add one to a HEAD
            assert set(reply.values("Content-Length")) <= lengths | {"0"}
        if reply.value("Connection") == "close":
            while client.fill():
                pass
            assert client.buffer in (b"", b"0\r\n\r\n")  # the latter is waitress's own, after HEAD
        else:
            client.send(request_bytes("GET", "/login"))
            assert client.reply().body == b"the app: /login?\n"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
STREAMS = [
    pytest.param(CHUNKED, chunk, b"0\r\n\r\n", id="chunked"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 36\r\n", plain, b"", id="length"),
    pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\n", plain, b"", id="close-delimited"),
    pytest.param(b"HTTP/1.0 200 OK\r\n", plain, b"", id="http-1.0"),
]
EVENTS = [b"data: one\n\n", b"data: two\n\n", b"data: three!\n\n"]
assert len(b"".join(EVENTS)) == 36


@pytest.mark.parametrize(("head", "encode", "end"), STREAMS)
def test_head_and_each_event_arrive_before_the_next_is_sent(
    server: Server, service: ServiceFactory, head: bytes, encode: Encode, end: bytes
) -> None:
    steps = Steps(head + b"Content-Type: text/event-stream\r\n\r\n", *map(encode, EVENTS), end)
    with Client(server.port) as client:
        client.send(request_bytes("GET", query_form(service(steps).port, "/events")))
        steps.go()
        assert client.read_head().startswith(b"HTTP/1.1 200 OK")
        for event in EVENTS:
            steps.go()
            while event not in client.buffer:
                assert client.fill()
            client.buffer = client.buffer.partition(event)[2]
        steps.go(2)


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_upload_arrives_as_sent(
    server: Server, service: ServiceFactory, framing: str, size: int
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    target = query_form(upstream.port, "/up")
    with Client(server.port) as client:
        if framing == "length":
            client.send(request_bytes("POST", target, headers=[("Content-Length", str(size))]))
            client.send(body)
        else:
            client.send(request_bytes("POST", target, headers=[("Transfer-Encoding", "chunked")]))
            for start in range(0, size, 50_000):
                client.send(chunk(body[start : start + 50_000]))
            client.send(chunk(b""))
        assert client.reply().body == b"hi"
    assert (seen[0].body == body, seen[0].complete) == (True, True)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_visitor_that_stops_never_leaves_a_complete_request(
    server: Server, name: str, service: ServiceFactory, framing: str
) -> None:
    seen: list[Received] = []
    cut = threading.Event()

    def script(exchange: Exchange) -> None:
        while (request := read_request(exchange)) is not None:
            seen.append(request)
            if not request.complete:
                cut.set()
                return
            exchange.send(OK)

    upstream = service(script)
    field = (
        ("Content-Length", "300000") if framing == "length" else ("Transfer-Encoding", "chunked")
    )
    encode = plain if framing == "length" else chunk
    with Client(server.port) as client:
        client.send(request_bytes("POST", query_form(upstream.port, "/up"), headers=[field]))
        client.send(encode(b"x" * 100_000))
    if name == "waitress":  # reads a body whole before it calls the app
        get(server, upstream.port)
    else:
        assert cut.wait(PATIENCE)
    assert not any(request.complete for request in seen if request.target == "/up")


def test_fields_that_servers_refuse_do_not_reach_them(
    server: Server, service: ServiceFactory
) -> None:
    """waitress asserts that there is no hop-by-hop field; werkzeug would send two of Date."""
    head = (
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n"
        b"Date: Sat, 29 Oct 1994 19:43:31 GMT\r\nServer: x\r\nTransfer-Encoding: chunked\r\n"
        b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Kept: caf\xe9\r\n\r\n"
    )
    upstream = service(answers(head + chunk(b"hi") + chunk(b"")))
    reply = ask(server.port, "GET", query_form(upstream.port, "/x"))
    assert (reply.status, reply.body) == (200, b"hi")
    assert (reply.values("Set-Cookie"), reply.values("X-Kept")) == (["a=1", "b=2"], ["caf\xe9"])
    assert len(reply.values("Date")) == 1
    assert "x" not in reply.values("Server")
    assert reply.values("Keep-Alive") in ([], ["timeout=10, max=100"])


@pytest.mark.parametrize("name", ["werkzeug", "waitress", "cheroot"], indirect=True)
def test_the_service_sees_that_a_visitor_left_a_silent_stream(
    server: Server, service: ServiceFactory
) -> None:
    left = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(CHUNKED + b"\r\n" + chunk(b"first"))
        until(lambda: peer_left(exchange.sock), "the proxy leaves")
        left.set()

    # gevent's poll cannot tell that a connection was closed: there it shows at the next write.
    with Client(server.port) as client:
        client.send(request_bytes("GET", query_form(service(script).port, "/x")))
        client.read_head()
    assert left.wait(PATIENCE)


# --- Strays and host names -----------------------------------------------------------------------


def of_page(port: int) -> list[tuple[str, str]]:
    return [("Referer", f"http://app.test{path_form(port, '/lab')}")]


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/static/app.js"),
        ("GET", "/a%2Fb?x=%zz&y"),
        ("GET", "/a%20b/%C3%A4;~@:+?"),
        ("GET", "/a//b/%2541"),
    ],
)
def test_a_stray_moves_byte_for_byte(
    server: Server, name: str, service: ServiceFactory, method: str, target: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    body = b"x" * 100_000 if method == "POST" else b""
    fields = of_page(upstream.port)
    with Client(server.port) as client:
        client.send(request_bytes(method, target, headers=fields, body=body))
        moved = client.reply()
        assert moved.status == 307
        location = moved.value("Location") or ""
        # gevent shows no raw target; what it decoded is quoted anew.
        expected = path_form(upstream.port, target)
        assert location == expected or name == "gevent"
        if moved.value("Connection") == "close":
            return
        client.send(request_bytes(method, location, headers=fields, body=body))
        assert client.reply().status == 200
    assert seen[0].body == body
    if name != "gevent":
        assert seen[0].target == target


def test_the_apps_answer_streams_as_ever(server: Server, service: ServiceFactory) -> None:
    upstream = service(answers(OK))
    with Client(server.port) as client:
        fields = [*of_page(upstream.port), *NAVIGATES]
        client.send(request_bytes("GET", "/stream", headers=fields))
        read_until(client, b"first")
        ask(server.port, "GET", "/go")
        read_until(client, b"second")


def test_what_is_planted_in_a_body_is_no_part_of_the_next_request(
    server: Server, service: ServiceFactory
) -> None:
    script = NotReading()
    upstream = service(script)
    for _ in range(3):
        assert ask(server.port, "GET", path_form(upstream.port, "/alices")).body == b"/alices"
        bobs = ask(server.port, "GET", path_form(upstream.port, "/bobs"), body=PLANTED)
        assert bobs.body == b"/bobs"
    assert script.seen == [(0, "/alices"), (1, "/bobs"), (0, "/alices"), (2, "/bobs"),
                           (0, "/alices"), (3, "/bobs")]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_404_of_the_app_becomes_the_move(
    server: Server, notes: Notes, service: ServiceFactory, method: str
) -> None:
    upstream = service(answers(OK))
    fields = [*of_page(upstream.port), *NAVIGATES]
    reply = ask(server.port, method, "/status/404", headers=fields)
    location = path_form(upstream.port, "/status/404")
    assert (reply.status, reply.value("Location")) == (307, location)
    asked = f"authorizer stray {upstream.port} /status/404"
    notes.wait_for(f"app {method} /status/404", "app closed /status/404", asked)


def test_a_handshake_goes_to_what_was_opened_last(
    server: Server, notes: Notes, service: ServiceFactory
) -> None:
    refusing, upstream = service(answers(OK)), service(echoing)
    prefixes = [path_form(one.port, "") for one in (refusing, upstream)]
    cookies = [
        f"portproxy.hint{i}={1764000000000 - i}{prefix}" for i, prefix in enumerate(prefixes)
    ]
    with Visitor(server.port) as visitor:
        visitor.send(handshake("/status/404?x", cookie="; ".join(["user=alice", *cookies])))
        visitor.switched()
        visitor.says_and_hears()
    path = "/status/404"
    asked = [f"authorizer stray {one.port} {path}?x" for one in (refusing, upstream)]
    notes.wait_for(f"app GET {path}", *asked, f"app closed {path}")


@pytest.mark.parametrize("target", ["/x%2Fy?z=%zz", "/alice/vision/?port=1", "/a//b"])
def test_the_host_form(
    server: Server, name: str, notes: Notes, service: ServiceFactory, target: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    for host in (f"{upstream.port}.ports.test", f"{upstream.port}.PORTS.test:8000"):
        assert ask(server.port, "GET", target, host=host).body == b"hi"
    for request in seen:
        if name != "gevent":
            assert request.target == target
        assert request.values("Host") == [f"localhost:{upstream.port}"]
    assert not any(line.startswith("app") for line in notes.new())


@pytest.mark.parametrize(("label", "status"), [("www", 400), ("5000", 403)])
def test_a_name_without_a_port_is_never_the_app(
    server: Server, notes: Notes, label: str, status: int
) -> None:
    for path in ("/login", "/status/200"):
        assert ask(server.port, "GET", path, host=f"{label}.ports.test").status == status
    assert notes.new() == []


def test_a_corrected_page(server: Server, service: ServiceFactory) -> None:
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
    upstream = service(answers(head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(PAGE), PAGE)))
    body = PAGE.replace(b'"/"', f'"{path_form(upstream.port, "/")}"'.encode())
    reply = ask(server.port, "GET", path_form(upstream.port, "/lab"), headers=NAVIGATES)
    assert (reply.body, reply.complete) == (body, True)
    assert reply.values("Content-Length") == [str(len(body))]


def test_a_page_that_is_cut_looks_cut(server: Server, service: ServiceFactory) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n"
    for body in (PAGE, b""):
        upstream = service(answers(head + body, keep_open=False))
        with Client(server.port) as client:
            target = path_form(upstream.port, "/lab")
            client.send(request_bytes("GET", target, headers=NAVIGATES))
            reply = client.reply()
            assert (reply.status, reply.complete) == (200, False)
            assert PAGE.startswith(reply.body)
            assert not client.fill()
