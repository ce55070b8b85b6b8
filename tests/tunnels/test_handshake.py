"""WebSocket handshakes end to end: what becomes a tunnel, what is refused, what each side sees."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, Reply, ask, request_bytes, without_copies
from tests.support.ports import free_port
from tests.support.received import Received, parse_request, recording
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, Service, answers
from tests.support.urls import MOUNT, Form, both_forms, path_form, query_form
from tests.support.waiting import until
from tests.support.websocket import (
    BINARY,
    CLOSE,
    KEY,
    STANDARD,
    TEXT,
    Fields,
    Frame,
    Visitor,
    accepting,
    echo,
    echoing,
    frame,
    handshake,
    switching,
)
from tests.tunnels.conftest import clean


def asked(host: Server, request: bytes) -> Reply:
    """The ordinary response to a handshake."""
    with Client(host.port) as client:
        client.send(request)
        return client.reply()


def received_by(upstream: Service) -> Received:
    """The one request that the service got."""
    assert len(upstream.heads) == 1
    return parse_request(upstream.heads[0])


# --- What becomes a tunnel


@both_forms
@pytest.mark.parametrize(
    ("upgrade", "connection"),
    [
        ("websocket", "Upgrade"),
        ("WebSocket", "keep-alive, Upgrade"),
        ("WEBSOCKET", "UPGRADE"),
        ("webSocket", "Upgrade,keep-alive"),
        ("websocket", "keep-alive ,\tupgrade"),
    ],
)
def test_an_upgrade_in_any_spelling_becomes_a_tunnel(
    host: Server, service: ServiceFactory, form: Form, upgrade: str, connection: str
) -> None:
    upstream = service(echoing)
    with Visitor(host.port) as visitor:
        target = form(upstream.port, "/socket")
        visitor.send(handshake(target, upgrade=upgrade, connection=connection))
        visitor.switched()
        visitor.says_and_hears()
    request = received_by(upstream)
    assert (request.method, request.target) == ("GET", "/socket")
    assert (request.values("Upgrade"), request.values("Connection")) == (["websocket"], ["Upgrade"])


def test_the_service_gets_the_handshake_as_it_was_sent(
    host: Server, service: ServiceFactory
) -> None:
    upstream = service(echoing)
    fields = [
        ("sec-websocket-protocol", "v1.token, base64url.eyJhIjoiYiJ9"),
        ("SEC-WEBSOCKET-EXTENSIONS", "permessage-deflate; client_max_window_bits"),
        ("X-Own", "1"),
    ]
    with Visitor(host.port) as visitor:
        visitor.open(path_form(upstream.port, "/a%2Fb?x=%zz&port=1"), fields)
    head = upstream.heads[0].decode("latin-1")
    # Some servers read these names case-sensitively.
    for line in (
        "GET /a%2Fb?x=%zz&port=1 HTTP/1.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: v1.token, base64url.eyJhIjoiYiJ9",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        "X-Own: 1",
        f"Host: localhost:{upstream.port}",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: http",
        f"X-Forwarded-Prefix: {MOUNT}/proxy/{upstream.port}",
    ):
        assert head.split("\r\n").count(line) == 1, line


CHOICES: list[Fields] = [
    [],
    [("Sec-WebSocket-Protocol", "v1.token")],
    [("Sec-WebSocket-Extensions", "permessage-deflate; server_no_context_takeover")],
    [("Sec-WebSocket-Protocol", "b"), ("Sec-WebSocket-Extensions", "x-one, x-two; a=1")],
]


@pytest.mark.parametrize("chosen", CHOICES, ids=["none", "protocol", "extension", "both"])
def test_the_service_chooses_subprotocol_and_extensions(
    host: Server, service: ServiceFactory, chosen: list[tuple[str, str]]
) -> None:
    offered = [
        ("Sec-WebSocket-Protocol", "v1.token, b"),
        ("Sec-WebSocket-Extensions", "permessage-deflate, x-one, x-two"),
    ]
    upstream = service(accepting(echo, chosen))
    with Visitor(host.port) as visitor:
        head = visitor.open(query_form(upstream.port, "/x"), offered)
        lines = head.decode("latin-1").split("\r\n")[1:]
    assert [line for line in lines if "Protocol" in line or "Extensions" in line] == [
        f"{name}: {value}" for name, value in chosen
    ]
    assert "Upgrade: websocket" in lines
    assert "Connection: Upgrade" in lines
    assert len([line for line in lines if line.startswith("Sec-WebSocket-Accept: ")]) == 1


def test_the_path_of_a_handshake_may_lack_its_slash(host: Server, service: ServiceFactory) -> None:
    upstream = service(echoing)
    with Visitor(host.port) as visitor:
        visitor.open(path_form(upstream.port, ""))
    assert received_by(upstream).target == "/"


def test_an_encoded_line_end_in_the_path_stays_encoded(
    host: Server, service: ServiceFactory
) -> None:
    upstream = service(echoing)
    path = "/a%0d%0aGET%20/x%20HTTP/1.1%0d%0aX:%201%0d%0a%0d%0a"
    with Visitor(host.port) as visitor:
        visitor.open(path_form(upstream.port, path))
        visitor.says_and_hears()
    assert received_by(upstream).target == path


# --- bytes before, with and behind the heads


def test_frames_in_the_packet_of_the_101_are_delivered(
    host: Server, service: ServiceFactory
) -> None:
    frames = frame(TEXT, b"first") + frame(BINARY, b"second" * 2000) + frame(TEXT, b"third")[:3]

    def script(exchange: Exchange) -> None:
        exchange.send(switching(exchange.read_head()) + frames)
        exchange.read(1)  # the third frame's rest comes when the visitor has seen the others
        exchange.send(frame(TEXT, b"third")[3:])
        exchange.read(1)

    upstream = service(script)
    with Visitor(host.port) as visitor:
        visitor.open(query_form(upstream.port, "/x"))
        assert visitor.frame() == Frame(0x80 | TEXT, b"first")
        assert visitor.frame() == Frame(0x80 | BINARY, b"second" * 2000)
        visitor.send(b"x")
        assert visitor.frame() == Frame(0x80 | TEXT, b"third")


@pytest.mark.parametrize("size", [5, 60_000, 1_000_000])
def test_frames_in_the_packet_of_the_request_are_delivered_after_the_101(
    host: Server, service: ServiceFactory, size: int
) -> None:
    early: list[bytes] = []

    def script(exchange: Exchange) -> None:
        head = exchange.read_head()
        readable, _, _ = select.select([exchange.sock], [], [], 0.2)
        early.append(exchange.buffer + (exchange.sock.recv(1) if readable else b""))
        exchange.send(switching(head))
        echo(exchange)

    upstream = service(script)
    payload = bytes(range(256)) * (size // 256) or b"hello"
    frames = frame(TEXT, b"first", mask=Visitor.MASK) + frame(BINARY, payload, mask=Visitor.MASK)
    with Visitor(host.port) as visitor:
        visitor.send(handshake(query_form(upstream.port, "/x")) + frames)
        visitor.switched()
        assert visitor.frame() == Frame(0x80 | TEXT, b"first")
        assert visitor.frame() == Frame(0x80 | BINARY, payload)
        visitor.says_and_hears()
    assert early == [b""]


def test_heads_byte_by_byte(host: Server, service: ServiceFactory) -> None:
    def script(exchange: Exchange) -> None:
        for byte in switching(exchange.read_head()) + frame(TEXT, b"welcome"):
            exchange.send(bytes([byte]))
        echo(exchange)

    upstream = service(script)
    with Visitor(host.port) as visitor:
        for byte in handshake(query_form(upstream.port, "/x")):
            visitor.send(bytes([byte]))
        visitor.switched()
        assert visitor.frame() == Frame(0x80 | TEXT, b"welcome")
        visitor.says_and_hears()


def test_103_before_the_101(host: Server, service: ServiceFactory) -> None:
    def script(exchange: Exchange) -> None:
        hints = b"HTTP/1.1 103 Early Hints\r\nX-Hint: 1\r\n\r\n"
        exchange.send(hints + switching(exchange.read_head()))
        echo(exchange)

    upstream = service(script)
    with Visitor(host.port) as visitor:
        visitor.open(query_form(upstream.port, "/x"))
        visitor.says_and_hears()


# --- what is refused before any connection is made

REFUSED = [
    *[
        pytest.param({"method": method}, 400, id=method)
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD")
    ],
    *[
        pytest.param({"sec_websocket_version": version}, 426, id=f"version-{version}")
        for version in ("12", "8", "0", "", "13, 8", "013")
    ],
    pytest.param({"without": ["Sec-WebSocket-Version"]}, 426, id="no-version"),
    pytest.param({"without": ["Sec-WebSocket-Key"]}, 400, id="no-key"),
    pytest.param({"sec_websocket_key": ""}, 400, id="empty-key"),
    pytest.param({"sec_websocket_key": "c2hvcnQ="}, 400, id="short-key"),
    pytest.param({"sec_websocket_key": KEY + KEY}, 400, id="long-key"),
    pytest.param({"sec_websocket_key": "not base64 at all!"}, 400, id="key-not-base64"),
    pytest.param({"fields": [("Sec-WebSocket-Key", KEY)]}, 400, id="two-keys"),
    pytest.param({"fields": [("Sec-WebSocket-Version", "13")]}, 426, id="two-versions"),
]


@both_forms
@pytest.mark.parametrize(("odd", "status"), REFUSED)
def test_what_is_no_handshake_is_refused(
    host: Server, service: ServiceFactory, form: Form, odd: dict[str, str], status: int
) -> None:
    upstream = service(echoing)
    with Client(host.port) as client:
        client.send(handshake(form(upstream.port, "/x"), **odd))  # type: ignore[arg-type]
        reply = client.reply(method=odd.get("method", "GET"))
    assert (reply.status, upstream.connections) == (status, 0)
    assert reply.values("Sec-WebSocket-Version") == (["13"] if status == 426 else [])


@pytest.mark.parametrize(
    ("odd", "version"),
    [
        pytest.param({"version": "HTTP/1.0"}, "HTTP/1.0", id="http-1.0"),
        pytest.param({"connection": "keep-alive"}, "HTTP/1.1", id="connection-without-upgrade"),
        pytest.param({"without": ["Connection"]}, "HTTP/1.1", id="no-connection"),
        pytest.param({"upgrade": "h2c"}, "HTTP/1.1", id="another-protocol"),
        pytest.param({"without": ["Upgrade"]}, "HTTP/1.1", id="no-upgrade"),
    ],
)
def test_what_asks_for_no_websocket_is_an_ordinary_request(
    host: Server, service: ServiceFactory, odd: dict[str, str], version: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    reply = asked(host, handshake(query_form(upstream.port, "/x"), **odd))  # type: ignore[arg-type]
    assert (reply.status, reply.body) == (200, b"hi")
    assert not seen[0].names & {"upgrade", "connection"}


@pytest.mark.parametrize("port", ["abc", "016006", "16006%23", "+16006", "0", "80", "20001"])
def test_a_bad_port_is_refused_as_for_a_request(host: Server, port: str) -> None:
    reply = asked(host, handshake(f"{MOUNT}/x?port={port}"))
    assert reply.status in (400, 403)
    assert reply.status == ask(host.port, "GET", f"{MOUNT}/x?port={port}").status


def test_nothing_listens_on_the_port(host: Server) -> None:
    port = free_port()
    reply = asked(host, handshake(query_form(port, "/x")))
    assert reply.status == 502
    assert f"Failed to connect to service on port {port}." in reply.text


def test_our_own_port_is_refused(host: Server) -> None:
    reply = asked(host, handshake(query_form(host.port, "/x")))
    assert reply.status == 508


# --- the service's answer decides

WRONG = "x" * 27 + "="
BAD_101 = [
    pytest.param([("Upgrade", "websocket"), ("Connection", "Upgrade")], id="no-accept"),
    pytest.param([*STANDARD.items(), ("Sec-WebSocket-Accept", WRONG)], id="wrong-accept"),
    pytest.param([*STANDARD.items(), ("Sec-WebSocket-Accept", KEY)], id="key-sent-back"),
    pytest.param([("Connection", "Upgrade"), ("Sec-WebSocket-Accept", "")], id="no-upgrade"),
    pytest.param([("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "")], id="no-connection"),
    pytest.param(
        [("Upgrade", "h2c"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", "")],
        id="another-upgrade",
    ),
    pytest.param(
        [("Upgrade", "websocket"), ("Connection", "close"), ("Sec-WebSocket-Accept", "")],
        id="connection-close",
    ),
]
RIGHT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # for KEY, by RFC 6455 section 1.3


def bad_101(fields: Fields) -> bytes:
    """A 101 with these fields; an empty Sec-WebSocket-Accept stands for the right one."""
    lines = [
        f"{name}: {value or RIGHT}" if name == "Sec-WebSocket-Accept" else f"{name}: {value}"
        for name, value in fields
    ]
    head = "\r\n".join(["HTTP/1.1 101 Switching Protocols", *lines])
    return f"{head}\r\n\r\n".encode() + frame(TEXT, b"a secret")


def assert_not_valid_http(reply: Reply, upstream: Service) -> None:
    assert reply.status == 502
    assert f"The service on port {upstream.port} did not answer with valid HTTP." in reply.text
    assert "secret" not in reply.text


@pytest.mark.parametrize("fields", BAD_101)
def test_a_101_that_does_not_accept_is_502(
    host: Server, service: ServiceFactory, fields: Fields
) -> None:
    upstream = service(answers(bad_101(fields)))
    assert_not_valid_http(asked(host, handshake(query_form(upstream.port, "/x"))), upstream)
    # Its script ends, and closes, when the proxy did.
    until(lambda: upstream.exchanges[0].sock.fileno() < 0, "the service's connection is closed")


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(lambda target: request_bytes("GET", target), id="plain"),
        pytest.param(lambda target: handshake(target, version="HTTP/1.0"), id="http-1.0"),
        pytest.param(lambda target: handshake(target, connection="close"), id="not-asked-for"),
    ],
)
def test_an_unasked_101_is_502(
    host: Server, service: ServiceFactory, request_: Callable[[str], bytes]
) -> None:
    right = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", RIGHT),
    ]
    upstream = service(answers(bad_101(right)))
    assert_not_valid_http(asked(host, request_(query_form(upstream.port, "/x"))), upstream)


ORDINARY = [
    pytest.param("200 OK", [("Content-Type", "text/html")], id="200"),
    pytest.param("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="x"')], id="401"),
    pytest.param("403 Forbidden", [("X-Why", "Origin")], id="403"),
    pytest.param("404 Not Found", [("Content-Type", "application/json")], id="404"),
    pytest.param("426 Upgrade Required", [("Sec-WebSocket-Version", "13, 8")], id="426"),
    pytest.param("500 Oops", [("Content-Type", "text/plain")], id="500"),
]


@both_forms
@pytest.mark.parametrize(("status", "fields"), ORDINARY)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_ordinary_answer_is_an_ordinary_response(
    host: Server,
    service: ServiceFactory,
    form: Form,
    status: str,
    fields: Fields,
    chunked: bool,
) -> None:
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 10"
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields), framing]
    body = b"4\r\nwhy \r\n6\r\nit is!\r\n0\r\n\r\n" if chunked else b"why it is!"
    upstream = service(answers("\r\n".join(lines).encode() + b"\r\n\r\n" + body))
    with Client(host.port) as client:
        client.send(handshake(form(upstream.port, "/x")))
        reply = client.reply()
    assert (f"{reply.status} {reply.reason}", reply.body) == (status, b"why it is!")
    assert reply.complete
    for name, value in fields:
        assert reply.values(name) == [value]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_sent_to_the_visitor_and_not_followed(
    host: Server, service: ServiceFactory, status: int
) -> None:
    head = f"HTTP/1.1 {status} Moved\r\nLocation: /login?next=x\r\nContent-Length: 4\r\n\r\nover"
    upstream = service(answers(head.encode()))
    reply = asked(host, handshake(path_form(upstream.port, "/x")))
    assert (reply.status, reply.body, len(upstream.heads)) == (status, b"over", 1)
    assert reply.values("Location") == [path_form(upstream.port, "/login?next=x")]


def test_no_answer_in_time(host: Server, service: ServiceFactory) -> None:
    def silent(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.read(1)

    upstream = service(silent)
    assert asked(host, handshake(query_form(upstream.port, "/x"))).status == 504


def test_closed_without_an_answer(host: Server, service: ServiceFactory) -> None:
    def closing(exchange: Exchange) -> None:
        exchange.read_head()

    upstream = service(closing)
    assert asked(host, handshake(query_form(upstream.port, "/x"))).status == 502


# --- the authorizer


@pytest.fixture(scope="module")
def noting() -> Iterator[Server]:
    """A host whose log has a line for each call of its authorizer; one of them raises."""
    with gunicorn("tests.support.tunnelapp:noting") as server:
        yield server


def calls(server: Server, path: str) -> list[str]:
    lines = server.output().splitlines()
    return [line for line in lines if line.startswith(f"authorizer asked: {path} ")]


@both_forms
def test_the_authorizer_is_called_exactly_once(
    noting: Server, service: ServiceFactory, form: Form
) -> None:
    upstream = service(echoing)
    path = f"/once-{form.__name__}"
    with Visitor(noting.port) as visitor:
        visitor.open(form(upstream.port, path))
        visitor.says_and_hears()
    assert calls(noting, path) == [f"authorizer asked: {path} websocket=True"]


@both_forms
@pytest.mark.parametrize(
    ("cookie", "status"),
    [
        pytest.param("user=mallory", 403, id="refused"),
        pytest.param("", 403, id="sent-to-the-login-page"),
        pytest.param("user=eve", 503, id="the-authorizer-fails"),
    ],
)
def test_who_is_not_let_through_sends_nothing_to_the_service(
    noting: Server, service: ServiceFactory, form: Form, cookie: str, status: int
) -> None:
    upstream = service(echoing)
    path = f"/refused-{form.__name__}-{cookie}"
    reply = asked(noting, handshake(form(upstream.port, path), cookie=cookie))
    assert (reply.status, upstream.connections) == (status, 0)
    assert reply.value("Location") is None
    assert len(calls(noting, path)) == 1


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"method": "POST"}, id="no-handshake"),
        pytest.param({"fields": [("Origin", "http://evil.test")]}, id="foreign"),
    ],
)
def test_what_is_refused_anyway_is_not_asked_about(
    noting: Server, service: ServiceFactory, odd: dict[str, str]
) -> None:
    upstream = service(echoing)
    asked(noting, handshake(query_form(upstream.port, "/never"), **odd))  # type: ignore[arg-type]
    assert (calls(noting, "/never"), upstream.connections) == ([], 0)


# --- where the request comes from


@pytest.mark.parametrize("origin", ["http://app.test", "HTTP://APP.TEST", "http://app.test:80"])
def test_our_own_origin_passes_as_the_services_own(
    host: Server, service: ServiceFactory, origin: str
) -> None:
    upstream = service(echoing)
    fields = [
        ("Origin", origin),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Mode", "websocket"),
    ]
    with Visitor(host.port) as visitor:
        visitor.open(query_form(upstream.port, "/x"), fields)
    assert received_by(upstream).values("Origin") == [f"http://localhost:{upstream.port}"]


FOREIGN = {
    "other-host": [("Origin", "http://evil.test")],
    "other-port": [("Origin", "http://app.test:8080")],
    "other-scheme": [("Origin", "https://app.test")],
    "sibling": [("Origin", "http://www.app.test")],
    "parent": [("Origin", "http://test")],
    "longer": [("Origin", "http://app.test.evil.test")],
    "null": [("Origin", "null")],
    "empty": [("Origin", "")],
    "userinfo": [("Origin", "http://app.test@evil.test")],
    "own-with-userinfo": [("Origin", "http://user@app.test")],
    "own-with-a-path": [("Origin", "http://app.test/")],
    "two-in-one": [("Origin", "http://app.test http://evil.test")],
    "two-fields": [("Origin", "http://app.test"), ("Origin", "http://evil.test")],
    "own-twice": [("Origin", "http://app.test"), ("Origin", "http://app.test")],
    "the-services": [("Origin", "http://localhost:16006")],
    "a-file": [("Origin", "file://")],
    "an-extension": [("Origin", "chrome-extension://abcdefgh")],
    "site-cross": [("Origin", "http://app.test"), ("Sec-Fetch-Site", "cross-site")],
    "site-same": [("Sec-Fetch-Site", "same-site")],
}


@both_forms
@pytest.mark.parametrize("fields", FOREIGN.values(), ids=FOREIGN)
def test_another_sites_page_is_refused(
    host: Server, service: ServiceFactory, form: Form, fields: Fields
) -> None:
    upstream = service(echoing)
    reply = asked(host, handshake(form(upstream.port, "/x"), fields))
    assert (reply.status, upstream.connections) == (403, 0)


def test_a_client_without_origin_passes(host: Server, service: ServiceFactory) -> None:
    upstream = service(echoing)
    with Visitor(host.port) as visitor:
        visitor.open(query_form(upstream.port, "/x"))
        visitor.says_and_hears()
    assert received_by(upstream).values("Origin") == []


@pytest.fixture(scope="module")
def with_origin() -> Iterator[Server]:
    yield from clean("tests.support.tunnelapp:with_origin")


def test_a_client_without_origin_is_refused_where_one_is_required(
    with_origin: Server, service: ServiceFactory
) -> None:
    upstream = service(echoing)
    target = query_form(upstream.port, "/x")
    assert asked(with_origin, handshake(target)).status == 403
    assert upstream.connections == 0
    with Visitor(with_origin.port) as visitor:
        visitor.open(target, [("Origin", "http://app.test")])
        visitor.says_and_hears()


# --- what passes with the handshake, and what does not

COOKIES = [
    pytest.param("a=1; sessionid=S; user=alice", "a=1; user=alice", id="between"),
    pytest.param("sessionid=S; user=alice", "user=alice", id="first"),
    pytest.param("user=alice; csrftoken=S", "user=alice", id="last"),
    pytest.param("user=alice; SessionID=S", "user=alice", id="odd-case"),
    pytest.param("user=alice;  sessionid =S", "user=alice", id="spaces"),
    pytest.param('user=alice; a="x; sessionid=S; b=y"', 'user=alice; a="x; b=y"', id="quoted"),
    pytest.param("user=alice, sessionid=S", "user=alice", id="behind-a-comma"),
    pytest.param("user=alice; sessionid=S; sessionid=S", "user=alice", id="twice"),
    pytest.param('user=alice; odd=a%20b|"c"\'', 'user=alice; odd=a%20b|"c"\'', id="odd-bytes"),
]


@both_forms
@pytest.mark.parametrize(("cookie", "expected"), COOKIES)
def test_the_apps_cookies_are_withheld(
    host: Server, service: ServiceFactory, form: Form, cookie: str, expected: str
) -> None:
    upstream = service(echoing)
    with Visitor(host.port) as visitor:
        visitor.send(handshake(form(upstream.port, "/x"), cookie=cookie))
        visitor.switched()
    assert received_by(upstream).values("Cookie") == [expected]
    assert b"=S" not in upstream.heads[0]


SPOOFED = [
    ("X-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-Host", "evil.test"),
    ("X-Forwarded-Proto", "gopher"),  # gunicorn itself believes an https from 127.0.0.1
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Forwarded-User", "root"),
    ("Forwarded", "for=6.6.6.6"),
    ("X-Real-IP", "6.6.6.6"),
    ("X-Remote-User", "root"),
    ("Remote-User", "root"),
    ("X-Original-URL", "/admin"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("Proxy", "http://evil.test"),
    ("X-Portproxy-User", "root"),
]


def test_a_visitors_own_identity_fields_are_dropped(host: Server, service: ServiceFactory) -> None:
    upstream = service(echoing)
    twice = [*SPOOFED, *((name.upper(), value) for name, value in SPOOFED)]
    with Visitor(host.port) as visitor:
        visitor.open(query_form(upstream.port, "/x"), twice)
    request = received_by(upstream)
    ours = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-prefix"}
    spoofed = {name.lower() for name, _ in SPOOFED}
    assert request.names & spoofed == ours
    assert request.values("X-Forwarded-For") == ["127.0.0.1"]
    assert request.values("X-Forwarded-Proto") == ["http"]
    assert request.values("X-Forwarded-Prefix") == [MOUNT]
    for _, value in SPOOFED[:2]:
        assert value.encode() not in upstream.heads[0]


def test_connection_cannot_remove_what_we_set(host: Server, service: ServiceFactory) -> None:
    upstream = service(echoing)
    named = "Upgrade, Host, Cookie, X-Forwarded-For, Via, X-Some"
    request = handshake(query_form(upstream.port, "/x"), [("X-Some", "1")], connection=named)
    with Visitor(host.port) as visitor:
        visitor.send(request)
        visitor.switched()
    names = received_by(upstream).names
    assert {"upgrade", "host", "cookie", "x-forwarded-for", "via", "sec-websocket-key"} <= names
    assert "x-some" not in names


ORIGIN_WIDE = [
    ("Strict-Transport-Security", "max-age=1"),
    ("Clear-Site-Data", '"*"'),
    ("Public-Key-Pins", "x"),
    ("Expect-CT", "max-age=1"),
    ("Alt-Svc", 'h3=":443"'),
    ("NEL", "{}"),
    ("Report-To", "{}"),
    ("Reporting-Endpoints", 'x="https://evil.test"'),
    ("Accept-CH", "Width"),
    ("Critical-CH", "Width"),
    ("Origin-Agent-Cluster", "?1"),
    ("Set-Login", "logged-out"),
    ("X-Accel-Redirect", "/secret"),
    ("X-Sendfile", "/secret"),
    ("X-LIGHTTPD-send-file", "/secret"),
    ("X-Reproxy-URL", "/secret"),
    ("Surrogate-Control", "max-age=1"),
    ("CDN-Cache-Control", "max-age=1"),
    ("Proxy-Authenticate", "Basic"),
    ("WWW-Authenticate", "Negotiate"),
    ("Service-Worker-Allowed", "/"),
    ("Transfer-Encoding", "chunked"),
    ("Content-Length", "5"),  # RFC 9110 section 8.6: never in a 1xx
    ("Keep-Alive", "timeout=5"),
]


def test_a_101_carries_nothing_that_speaks_to_the_whole_origin(
    host: Server, service: ServiceFactory
) -> None:
    twice = [*ORIGIN_WIDE, *((name.swapcase(), value) for name, value in ORIGIN_WIDE)]
    upstream = service(accepting(echo, [*twice, ("X-Kept", "1")]))
    with Visitor(host.port) as visitor:
        head = visitor.open(query_form(upstream.port, "/x")).decode("latin-1")
        visitor.says_and_hears()
    names = {line.partition(":")[0].lower() for line in head.split("\r\n")[1:]}
    assert names & {name.lower() for name, _ in ORIGIN_WIDE} == set()
    assert "x-kept" in names


SET_COOKIES = [
    pytest.param("a=1", "a=1", id="plain"),
    pytest.param("a=1; Path=/", "a=1; Path={prefix}/", id="path"),
    pytest.param(
        "a=1; Path=/; Domain=app.test; Secure", "a=1; Path={prefix}/; Secure", id="domain"
    ),
    pytest.param(
        "sessionid=s; Path=/", "portproxy.{port}.sessionid=s; Path={prefix}/", id="renamed"
    ),
    pytest.param(
        "__Host-a=1; Path=/; Secure",
        "portproxy.{port}.__Host-a=1; Path={prefix}/; Secure",
        id="host-prefix",
    ),
    pytest.param("=nameless", None, id="nameless"),
]


@pytest.mark.parametrize(("sent", "expected"), SET_COOKIES)
def test_a_cookie_on_the_101_is_scoped_to_the_prefix(
    host: Server, service: ServiceFactory, sent: str, expected: str | None
) -> None:
    upstream = service(accepting(echo, [("Set-Cookie", sent), ("Set-Cookie", "b=2; Path=/")]))
    prefix = path_form(upstream.port, "")
    with Visitor(host.port) as visitor:
        head = visitor.open(path_form(upstream.port, "/x")).decode("latin-1")
    wanted = [expected] if expected else []
    wanted.append("b=2; Path={prefix}/")
    lines = [line.partition(": ") for line in head.split("\r\n")]
    cookies = without_copies(value for name, _, value in lines if name == "Set-Cookie")
    assert cookies == [one.format(prefix=prefix, port=upstream.port) for one in wanted]


# --- the cap


@pytest.fixture(scope="module")
def two_tunnels() -> Iterator[Server]:
    """A host that allows two tunnels."""
    yield from clean("tests.support.tunnelapp:two_tunnels")


def opens(host: Server, target: str) -> bool:
    """Whether a handshake is accepted now."""
    with Visitor(host.port) as visitor:
        visitor.send(handshake(target))
        return visitor.read_head().startswith(b"HTTP/1.1 101 ")


def test_beyond_the_cap_503_and_recovery(two_tunnels: Server, service: ServiceFactory) -> None:
    upstream = service(echoing)
    target = query_form(upstream.port, "/x")
    with Visitor(two_tunnels.port) as first, Visitor(two_tunnels.port) as second:
        for visitor in (first, second):
            visitor.open(target)
        for _ in range(3):
            reply = asked(two_tunnels, handshake(target))
            assert (reply.status, reply.values("Retry-After")) == (503, ["30"])
        assert upstream.connections == 2
        assert ask(two_tunnels.port, "GET", f"{MOUNT}/").status == 200
        second.send_close()
        assert second.frame() == Frame(0x80 | CLOSE, b"\x03\xe8")
        assert second.frame() is None
        second.close()
        until(lambda: opens(two_tunnels, target), "a place is free")
        first.says_and_hears()


def test_handshakes_that_are_answered_together_stay_below_the_cap(service: ServiceFactory) -> None:
    """Each found room when it was judged; the 101 of the last finds none."""
    together = threading.Barrier(4)

    def script(exchange: Exchange) -> None:
        head = exchange.read_head()
        together.wait(10)
        exchange.send(switching(head))
        exchange.read(1)

    upstream = service(script)
    with ExitStack() as stack:
        fresh = stack.enter_context(gunicorn("tests.support.tunnelapp:two_tunnels"))
        visitors = [stack.enter_context(Visitor(fresh.port)) for _ in range(4)]
        for visitor in visitors:
            visitor.send(handshake(query_form(upstream.port, "/x")))
        statuses = sorted(visitor.read_head()[9:12] for visitor in visitors)
    assert statuses == [b"101", b"101", b"503", b"503"]


def test_a_handshake_that_became_no_tunnel_takes_no_place(
    two_tunnels: Server, service: ServiceFactory
) -> None:
    refusing = service(answers(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
    wrong = service(answers(bad_101([("Upgrade", "websocket"), ("Connection", "Upgrade")])))
    upstream = service(echoing)
    for _ in range(3):
        assert asked(two_tunnels, handshake(query_form(refusing.port, "/x"))).status == 404
        assert asked(two_tunnels, handshake(query_form(wrong.port, "/x"))).status == 502
    target = query_form(upstream.port, "/x")
    until(lambda: opens(two_tunnels, target), "the tunnels of the tests before are over")
