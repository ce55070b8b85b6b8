"""What a visitor reads when there is no answer to pass on: the texts that the feature promises."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, ask, request_bytes
from tests.support.endings import reset
from tests.support.ports import bound_socket, free_port
from tests.support.received import OK
from tests.support.servers import Server
from tests.support.service import Exchange, Script
from tests.support.urls import Form, both_forms, query_form
from tests.support.waiting import PATIENCE, peer_left, until

NOT_HTTP = (
    "The service on port {port} did not answer with valid HTTP.\n"
    "Does it speak plain HTTP (not HTTPS, SSH or a database protocol) on this port?\n"
)
NO_ANSWER = (
    "The service on port {port} closed the connection without an answer.\n"
    "Its own output may say why; it may have crashed or be restarting.\n"
)
TOO_LATE = (
    "The service on port {port} did not answer in time.\n"
    "It accepts connections but may be busy or stuck. Try again, or restart it.\n"
)


@both_forms
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_nobody_listens(host: Server, form: Form, method: str) -> None:
    port = free_port()
    reply = ask(host.port, method, form(port, "/x"))
    assert reply.status == 502
    assert reply.text == (
        f"Failed to connect to service on port {port}.\n"
        f"Is the service running? Try: python3 -m http.server {port}\n"
    )
    assert (reply.value("Content-Type") or "").startswith("text/plain")
    assert reply.value("Cache-Control") == "no-store"


def test_nobody_listens_and_the_body_is_already_on_its_way(host: Server) -> None:
    with Client(host.port) as client:
        headers = [("Content-Length", "1000000")]
        client.send(request_bytes("POST", query_form(free_port(), "/x"), headers=headers))
        client.send(b"x" * 1000)
        assert client.reply().status == 502


def test_head_of_a_port_where_nobody_listens(host: Server) -> None:
    reply = ask(host.port, "HEAD", query_form(free_port(), "/x"))
    assert (reply.status, reply.body) == (502, b"")


def test_the_same_as_json(host: Server) -> None:
    port = free_port()
    headers = [("Accept", "application/json")]
    reply = ask(host.port, "GET", query_form(port, "/x"), headers=headers)
    assert (reply.status, reply.value("Content-Type")) == (502, "application/json")
    assert json.loads(reply.body) == {
        "status": 502,
        "error": f"Failed to connect to service on port {port}.",
        "hint": f"Is the service running? Try: python3 -m http.server {port}",
        "port": port,
    }


@both_forms
def test_the_same_as_a_page(host: Server, form: Form) -> None:
    port = free_port()
    headers = [("Accept", "text/html,*/*;q=0.8"), ("User-Agent", "Mozilla/5.0")]
    reply = ask(host.port, "GET", form(port, "/x"), headers=headers)
    if reply.status == 307:  # a browser is sent to the path form, before anything else
        reply = ask(host.port, "GET", reply.value("Location") or "", headers=headers)
    assert reply.status == 502
    assert (reply.value("Content-Type") or "").startswith("text/html")
    assert f"Failed to connect to service on port {port}." in reply.text
    assert f"Is the service running? Try: python3 -m http.server {port}" in reply.text


def test_a_port_out_of_range(host: Server) -> None:
    for port in (0, 80, 5000, 9999, 20001, 65535, 65536, 99999):
        reply = ask(host.port, "GET", query_form(port, "/x"))
        assert reply.status == 403
        message = f"Port {port} is outside allowed range (10000-20000)"
        assert reply.text.splitlines()[0] == message


@pytest.mark.parametrize("value", ["abc", "", "+16006", "16006.0", "016006", "1e4", "0x3e86"])
def test_a_port_that_is_none(host: Server, value: str) -> None:
    reply = ask(host.port, "GET", f"/alice/vision/x?port={value}")
    assert reply.status == 400
    assert reply.text.splitlines()[0] == f"Invalid port parameter: {value}".rstrip() or not value


# --- What other protocols and broken services say ------------------------------------------------

TLS_ALERT = b"\x15\x03\x01\x00\x02\x02\x46"
TLS_HELLO = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + bytes(range(100))
HTTP_2_SETTINGS = b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"
NOT_HTTP_AT_ALL = [
    pytest.param(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", id="ssh-banner"),
    pytest.param(b"<html>hello</html>", id="http-0.9"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="http-2-preface"),
    pytest.param(HTTP_2_SETTINGS, id="http-2-settings"),
    pytest.param(TLS_ALERT, id="tls-alert"),
    pytest.param(TLS_HELLO, id="tls-hello"),
    pytest.param(b"J\x00\x00\x00\x0a8.0.36\x00", id="mysql-greeting"),
    pytest.param(b"-ERR unknown command\r\n", id="redis"),
    pytest.param(b"220 mail.example ESMTP\r\n", id="smtp"),
    pytest.param(b"RFB 003.008\n", id="vnc"),
    pytest.param(b"\r\n", id="empty-line"),
    pytest.param(b"\0" * 100, id="zeros"),
    pytest.param(b"\xff" * 100_000, id="garbage"),
    pytest.param(b"x" * 1_000_000, id="a-lot-of-garbage"),
]


@both_forms
@pytest.mark.parametrize("ending", ["stays-open", "closes"])
@pytest.mark.parametrize("greeting", NOT_HTTP_AT_ALL)
def test_another_protocol_is_502_at_once(
    host: Server, service: ServiceFactory, form: Form, greeting: bytes, ending: str
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(greeting)
        if ending == "stays-open":
            exchange.peer_closed(PATIENCE)

    upstream = service(script)
    reply = ask(host.port, "GET", form(upstream.port, "/x"))
    assert (reply.status, reply.text) == (502, NOT_HTTP.format(port=upstream.port))


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2p1\r\n", b"220 ready\r\n", TLS_ALERT])
def test_a_service_that_speaks_first_is_502(
    host: Server, service: ServiceFactory, greeting: bytes
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(greeting)
        exchange.peer_closed(PATIENCE)

    upstream = service(script)
    for method in ("GET", "POST"):
        reply = ask(host.port, method, query_form(upstream.port, "/x"))
        assert (reply.status, reply.text) == (502, NOT_HTTP.format(port=upstream.port))


CUT_HEADS = [b"H", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX: 1\r\n\r"]


@pytest.mark.parametrize("ending", ["closes", "resets"])
@pytest.mark.parametrize("head", CUT_HEADS, ids=repr)
def test_a_cut_head_is_502(host: Server, service: ServiceFactory, head: bytes, ending: str) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(head)
        if ending == "resets":
            reset(exchange.sock)

    upstream = service(script)
    reply = ask(host.port, "GET", query_form(upstream.port, "/x"))
    texts = [NOT_HTTP.format(port=upstream.port)]
    if ending == "resets":  # the reset may overtake what was sent before it
        texts.append(NO_ANSWER.format(port=upstream.port))
    assert reply.status == 502
    assert reply.text in texts


def close_at_once(exchange: Exchange) -> None:
    pass


def close_after_the_request(exchange: Exchange) -> None:
    exchange.read_head()


def reset_after_the_request(exchange: Exchange) -> None:
    exchange.read_head()
    reset(exchange.sock)


def half_close(exchange: Exchange) -> None:
    exchange.read_head()
    exchange.sock.shutdown(socket.SHUT_WR)
    exchange.peer_closed(PATIENCE)


SILENT: list[Script] = [close_at_once, close_after_the_request, reset_after_the_request, half_close]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("script", SILENT)
def test_a_service_that_closes_without_an_answer_is_502(
    host: Server, service: ServiceFactory, script: Script, method: str
) -> None:
    upstream = service(script)
    for _ in range(5):
        reply = ask(host.port, method, query_form(upstream.port, "/x"))
        assert (reply.status, reply.text) == (502, NO_ANSWER.format(port=upstream.port))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_service_that_resets_at_once_is_502(
    host: Server, service: ServiceFactory, method: str
) -> None:
    """The reset may be seen while connecting, while sending, or after."""
    upstream = service(lambda exchange: reset(exchange.sock))
    for _ in range(30):
        reply = ask(host.port, method, query_form(upstream.port, "/x"))
        assert reply.status == 502
        assert reply.text in (
            NO_ANSWER.format(port=upstream.port),
            f"Failed to connect to service on port {upstream.port}.\n"
            f"Is the service running? Try: python3 -m http.server {upstream.port}\n",
        )


# --- Too late ------------------------------------------------------------------------------------


def dribble(exchange: Exchange) -> None:
    """A byte of a head now and then: each is progress, but there is one deadline for the head."""
    exchange.read_head()
    for byte in OK[:-6]:
        exchange.send(bytes([byte]))
        time.sleep(0.1)


def say_nothing(exchange: Exchange) -> None:
    until(lambda: peer_left(exchange.sock), "the proxy leaves")


def read_and_say_nothing(exchange: Exchange) -> None:
    exchange.read(10_000_000)


@pytest.mark.parametrize("script", [say_nothing, read_and_say_nothing, dribble])
def test_no_head_in_time_is_504(host: Server, service: ServiceFactory, script: Script) -> None:
    upstream = service(script)
    started = time.monotonic()
    reply = ask(host.port, "GET", query_form(upstream.port, "/x"))
    seconds = time.monotonic() - started
    assert (reply.status, reply.text) == (504, TOO_LATE.format(port=upstream.port))
    assert 2.0 <= seconds < 5.0  # the host's head_timeout, and a busy machine


def test_only_interim_responses_in_time_are_504(host: Server, service: ServiceFactory) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.peer_closed(PATIENCE)

    upstream = service(script)
    reply = ask(host.port, "GET", query_form(upstream.port, "/x"))
    assert (reply.status, reply.text) == (504, TOO_LATE.format(port=upstream.port))


def test_a_body_has_no_deadline(host: Server, service: ServiceFactory) -> None:
    """A pause longer than the host's head_timeout of 2 s."""

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        threading.Event().wait(2.5)
        exchange.send(b"world")

    reply = ask(host.port, "GET", query_form(service(script).port, "/x"))
    assert (reply.status, reply.body, reply.complete) == (200, b"helloworld", True)


def test_a_slow_visitor_has_no_deadline(host: Server, service: ServiceFactory) -> None:
    """The deadline for the head counts from the last byte of the request that the service took."""

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.read(10)
        exchange.send(OK)

    with Client(host.port) as client:
        headers = [("Content-Length", "10")]
        client.send(request_bytes("POST", query_form(service(script).port, "/x"), headers=headers))
        client.send(b"hello")
        assert not threading.Event().wait(2.5)
        client.send(b"world")
        assert client.reply().body == b"hi"


@pytest.fixture
def full_queue() -> Iterator[int]:
    """A port whose listener accepts nobody, with its queue full: connecting takes for ever."""
    listener = bound_socket()
    listener.listen(0)
    port: int = listener.getsockname()[1]
    waiting = []
    for _ in range(4):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
        waiting.append(sock)
    yield port
    for sock in [listener, *waiting]:
        sock.close()


def test_a_service_too_busy_to_accept_is_504(host: Server, full_queue: int) -> None:
    reply = ask(host.port, "GET", query_form(full_queue, "/x"))
    assert (reply.status, reply.text) == (504, TOO_LATE.format(port=full_queue))
