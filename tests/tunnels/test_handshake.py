"""WebSocket handshakes end to end: what becomes a tunnel, what is refused, what each side sees."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import ServiceFactory
from tests.support.chosen import settings
from tests.support.client import Client, Reply, ask, request_bytes, without_copies
from tests.support.notes import Notes
from tests.support.ports import free_port
from tests.support.received import Received, parse_request, recording
from tests.support.servers import Server
from tests.support.service import Exchange, Service, answers
from tests.support.streams import state
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


@pytest.mark.case("which requests are handshakes")
@both_forms
@pytest.mark.parametrize(
    ("upgrade", "connection"),
    [
        ("websocket", "Upgrade"),
        ("WEBSOCKET", "UPGRADE"),
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


@pytest.mark.case("subprotocol and extensions are the service's choice")
def test_the_service_chooses_subprotocol_and_extensions(
    host: Server, service: ServiceFactory
) -> None:
    offered = [
        ("Sec-WebSocket-Protocol", "v1.token, b"),
        ("Sec-WebSocket-Extensions", "permessage-deflate, x-one, x-two"),
    ]
    both = [("Sec-WebSocket-Protocol", "b"), ("Sec-WebSocket-Extensions", "x-one, x-two; a=1")]
    for chosen in ([], both):
        upstream = service(accepting(echo, chosen))
        with Visitor(host.port) as visitor:
            head = visitor.open(query_form(upstream.port, "/x"), offered)
        lines = head.decode("latin-1").split("\r\n")[1:]
        assert [line for line in lines if "Protocol" in line or "Extensions" in line] == [
            f"{name}: {value}" for name, value in chosen
        ]
        assert {"Upgrade: websocket", "Connection: Upgrade"} < {*lines}
        assert len([line for line in lines if line.startswith("Sec-WebSocket-Accept: ")]) == 1


@pytest.mark.parametrize(
    ("path", "target"), [("", "/"), ("/a%0d%0aX:%201%0d%0a%0d%0a", "/a%0d%0aX:%201%0d%0a%0d%0a")]
)
def test_a_path_arrives_encoded_and_with_its_slash(
    host: Server, service: ServiceFactory, path: str, target: str
) -> None:
    upstream = service(echoing)
    with Visitor(host.port) as visitor:
        visitor.open(path_form(upstream.port, path))
        visitor.says_and_hears()
    assert received_by(upstream).target == target


# --- bytes before, with and behind the heads


@pytest.mark.case("frames in the packets of the heads; heads byte by byte")
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


@pytest.mark.case("frames in the packets of the heads; heads byte by byte")
@pytest.mark.parametrize("size", [5, 1_000_000])
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


@pytest.mark.case("frames in the packets of the heads; heads byte by byte")
def test_heads_byte_by_byte_behind_early_hints(host: Server, service: ServiceFactory) -> None:
    def script(exchange: Exchange) -> None:
        hints = b"HTTP/1.1 103 Early Hints\r\nX-Hint: 1\r\n\r\n"
        for byte in hints + switching(exchange.read_head()) + frame(TEXT, b"welcome"):
            exchange.send(bytes([byte]))
        echo(exchange)

    upstream = service(script)
    with Visitor(host.port) as visitor:
        for byte in handshake(query_form(upstream.port, "/x")):
            visitor.send(bytes([byte]))
        visitor.switched()
        assert visitor.frame() == Frame(0x80 | TEXT, b"welcome")
        visitor.says_and_hears()


# --- what is refused before any connection is made

REFUSED = [
    pytest.param({"method": "POST"}, 400, id="POST"),
    pytest.param({"method": "HEAD"}, 400, id="HEAD"),
    pytest.param({"sec_websocket_version": "12"}, 426, id="version-12"),
    pytest.param({"without": ["Sec-WebSocket-Version"]}, 426, id="no-version"),
    pytest.param({"without": ["Sec-WebSocket-Key"]}, 400, id="no-key"),
    pytest.param({"sec_websocket_key": "c2hvcnQ="}, 400, id="short-key"),
    pytest.param({"fields": [("Sec-WebSocket-Key", KEY)]}, 400, id="two-keys"),
    pytest.param({"fields": [("Sec-WebSocket-Version", "13")]}, 426, id="two-versions"),
]


@pytest.mark.case("which requests are handshakes")
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


@pytest.mark.parametrize("port", ["abc", "016006", "16006%23", "80"])
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

BAD_101 = [
    pytest.param([("Upgrade", "websocket"), ("Connection", "Upgrade")], id="no-accept"),
    pytest.param([*STANDARD.items(), ("Sec-WebSocket-Accept", KEY)], id="wrong-accept"),
    pytest.param([("Connection", "Upgrade"), ("Sec-WebSocket-Accept", "")], id="no-upgrade"),
    pytest.param([("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "")], id="no-connection"),
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
    assert f"The service on port {upstream.port} did not send a valid HTTP response." in reply.text
    assert "secret" not in reply.text


@pytest.mark.case("a wrong 101; an ordinary answer")
@pytest.mark.promise("A WebSocket is judged like a request")
@pytest.mark.parametrize("fields", BAD_101)
def test_a_101_that_does_not_accept_is_502(
    host: Server, service: ServiceFactory, fields: Fields
) -> None:
    upstream = service(answers(bad_101(fields)))
    assert_not_valid_http(asked(host, handshake(query_form(upstream.port, "/x"))), upstream)
    # Its script ends, and closes, when the proxy did.
    until(lambda: upstream.exchanges[0].sock.fileno() < 0, "the service's connection is closed")


@pytest.mark.case("103, unsolicited 101, 1xx without end")
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
    pytest.param("426 Upgrade Required", [("Sec-WebSocket-Version", "13, 8")], id="426"),
    pytest.param("500 Oops", [("Content-Type", "text/plain")], id="500"),
]


@pytest.mark.case("a wrong 101; an ordinary answer")
@pytest.mark.parametrize(("status", "fields"), ORDINARY)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_ordinary_answer_is_an_ordinary_response(
    host: Server, service: ServiceFactory, status: str, fields: Fields, chunked: bool
) -> None:
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 10"
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields), framing]
    body = b"4\r\nwhy \r\n6\r\nit is!\r\n0\r\n\r\n" if chunked else b"why it is!"
    upstream = service(answers("\r\n".join(lines).encode() + b"\r\n\r\n" + body))
    reply = asked(host, handshake(query_form(upstream.port, "/x")))
    assert (f"{reply.status} {reply.reason}", reply.body) == (status, b"why it is!")
    assert reply.complete
    for name, value in fields:
        assert reply.values(name) == [value]


def test_a_redirect_is_sent_to_the_visitor_and_not_followed(
    host: Server, service: ServiceFactory
) -> None:
    head = b"HTTP/1.1 302 Moved\r\nLocation: /login?next=x\r\nContent-Length: 4\r\n\r\n"
    upstream = service(answers(head + b"over"))
    reply = asked(host, handshake(path_form(upstream.port, "/x")))
    assert (reply.status, reply.body, len(upstream.heads)) == (302, b"over", 1)
    assert reply.values("Location") == [path_form(upstream.port, "/login?next=x")]


@pytest.mark.parametrize(("closes", "status"), [(True, 502), (False, 504)])
def test_no_answer(host: Server, service: ServiceFactory, closes: bool, status: int) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        if not closes:
            exchange.read(1)

    target = query_form(service(script).port, "/x")
    assert asked(host, handshake(target, settings("hurried"))).status == status


# --- the authorizer


@both_forms
def test_the_authorizer_is_called_exactly_once(
    host: Server, service: ServiceFactory, form: Form
) -> None:
    upstream = service(echoing)
    notes = Notes(host)
    with Visitor(host.port) as visitor:
        visitor.open(form(upstream.port, "/once"), settings("noting"))
        visitor.says_and_hears()
    notes.wait_for("asked about /once websocket=True")


@pytest.mark.promise("A WebSocket is judged like a request")
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
    host: Server, service: ServiceFactory, form: Form, cookie: str, status: int
) -> None:
    upstream = service(echoing)
    notes = Notes(host)
    target = form(upstream.port, "/refused")
    reply = asked(host, handshake(target, settings("noting"), cookie=cookie))
    assert (reply.status, upstream.connections) == (status, 0)
    assert reply.value("Location") is None
    notes.wait_for("asked about /refused websocket=True")


@pytest.mark.parametrize(
    ("method", "origin"),
    [
        pytest.param("POST", "http://app.test", id="no-handshake"),
        pytest.param("GET", "http://evil.test", id="foreign"),
    ],
)
def test_what_is_refused_anyway_is_not_asked_about(
    host: Server, service: ServiceFactory, method: str, origin: str
) -> None:
    upstream = service(echoing)
    notes = Notes(host)
    fields = [("Origin", origin), *settings("noting")]
    asked(host, handshake(query_form(upstream.port, "/never"), fields, method=method))
    assert (notes.new(), upstream.connections) == ([], 0)


# --- where the request comes from


@pytest.mark.parametrize("origin", ["http://app.test", "HTTP://APP.TEST:80"])
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
    "null": [("Origin", "null")],
    "empty": [("Origin", "")],
    "userinfo": [("Origin", "http://app.test@evil.test")],
    "own-twice": [("Origin", "http://app.test"), ("Origin", "http://app.test")],
    "the-services": [("Origin", "http://localhost:16006")],
    "site-cross": [("Origin", "http://app.test"), ("Sec-Fetch-Site", "cross-site")],
    "site-same": [("Sec-Fetch-Site", "same-site")],
}


@pytest.mark.promise("A WebSocket is judged like a request")
@both_forms
@pytest.mark.parametrize("fields", FOREIGN.values(), ids=FOREIGN)
def test_another_sites_page_is_refused(
    host: Server, service: ServiceFactory, form: Form, fields: Fields
) -> None:
    upstream = service(echoing)
    reply = asked(host, handshake(form(upstream.port, "/x"), fields))
    assert (reply.status, upstream.connections) == (403, 0)


@pytest.mark.case("foreign origins")
def test_a_client_without_origin_passes(host: Server, service: ServiceFactory) -> None:
    upstream = service(echoing)
    with Visitor(host.port) as visitor:
        visitor.open(query_form(upstream.port, "/x"))
        visitor.says_and_hears()
    assert received_by(upstream).values("Origin") == []


def test_a_client_without_origin_is_refused_where_one_is_required(
    host: Server, service: ServiceFactory
) -> None:
    upstream = service(echoing)
    target = query_form(upstream.port, "/x")
    assert asked(host, handshake(target, settings("with-origin"))).status == 403
    assert upstream.connections == 0
    with Visitor(host.port) as visitor:
        visitor.open(target, [("Origin", "http://app.test"), *settings("with-origin")])
        visitor.says_and_hears()


# --- what passes with the handshake, and what does not

COOKIES = [
    pytest.param("a=1; sessionid=S; user=alice", "a=1; user=alice", id="between"),
    pytest.param("user=alice; csrftoken=S", "user=alice", id="last"),
    pytest.param('user=alice; a="x; sessionid=S; b=y"', 'user=alice; a="x; b=y"', id="quoted"),
]


@pytest.mark.promise("Your app's cookies stay here")
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
    ("Forwarded", "for=6.6.6.6"),
    ("Remote-User", "root"),
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
    ("X-Accel-Redirect", "/secret"),
    ("WWW-Authenticate", "Negotiate"),
    ("Service-Worker-Allowed", "/"),
    ("Transfer-Encoding", "chunked"),
    ("Content-Length", "5"),  # RFC 9110 section 8.6: never in a 1xx
    ("Keep-Alive", "timeout=5"),
]


@pytest.mark.case("instructions to others, on a 101 too")
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
    pytest.param("a=1; Path=/; Domain=app.test", "a=1; Path={prefix}/", id="path"),
    pytest.param(
        "sessionid=s; Path=/", "portproxy.{port}.sessionid=s; Path={prefix}/", id="renamed"
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


def asked_of_two(host: Server, upstream: Service) -> Reply:
    """The answer to a handshake where two tunnels are allowed, as much as has come: a 101 may be
    one."""
    with Visitor(host.port) as visitor:
        visitor.send(handshake(query_form(upstream.port, "/x"), settings("two")))
        head = visitor.read_head()
        return Reply(head, b"", True, [])


@pytest.fixture(scope="module")
def counting() -> Iterator[Server]:
    """A host of its own for those who count tunnels, and that tells their number."""
    with clean("tests.support.streamapp:application") as server:
        yield server


@pytest.fixture
def counted(counting: Server) -> Server:
    """It, once the tunnels of the test before are over."""
    until(lambda: not state(counting.port)["streams"], "no tunnel is open")
    return counting


@pytest.mark.promise("Memory is bounded")
def test_beyond_the_cap_503_and_recovery(counted: Server, service: ServiceFactory) -> None:
    upstream = service(echoing)
    target = query_form(upstream.port, "/x")
    with Visitor(counted.port) as first, Visitor(counted.port) as second:
        for visitor in (first, second):
            visitor.open(target, settings("two"))
        for _ in range(3):
            reply = asked_of_two(counted, upstream)
            assert (reply.status, reply.values("Retry-After")) == (503, ["30"])
        assert upstream.connections == 2
        assert ask(counted.port, "GET", f"{MOUNT}/").status == 200
        second.send_close()
        assert second.frame() == Frame(0x80 | CLOSE, b"\x03\xe8")
        assert second.frame() is None
        second.close()
        until(lambda: asked_of_two(counted, upstream).status == 101, "a place is free")
        first.says_and_hears()


def test_handshakes_that_are_answered_together_stay_below_the_cap(
    counted: Server, service: ServiceFactory
) -> None:
    """Each found room when it was judged; the 101 of the last finds none."""
    together = threading.Barrier(4)

    def script(exchange: Exchange) -> None:
        head = exchange.read_head()
        together.wait(30)
        exchange.send(switching(head))
        exchange.read(1)

    upstream = service(script)
    with ExitStack() as stack:
        visitors = [stack.enter_context(Visitor(counted.port)) for _ in range(4)]
        for visitor in visitors:
            visitor.send(handshake(query_form(upstream.port, "/x"), settings("two")))
        statuses = sorted(visitor.read_head()[9:12] for visitor in visitors)
    assert statuses == [b"101", b"101", b"503", b"503"]


def test_a_handshake_that_became_no_tunnel_takes_no_place(
    counted: Server, service: ServiceFactory
) -> None:
    refusing = service(answers(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
    wrong = service(answers(bad_101([("Upgrade", "websocket"), ("Connection", "Upgrade")])))
    for _ in range(3):
        assert asked_of_two(counted, refusing).status == 404
        assert asked_of_two(counted, wrong).status == 502
    assert state(counted.port)["streams"] == 0
    assert asked_of_two(counted, service(echoing)).status == 101
