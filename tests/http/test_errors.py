"""What a visitor reads when there is no answer to pass on: the texts that the feature promises.

Answers that come too late are `test_limits`'s.
"""

from __future__ import annotations

import json
import socket

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, ask, request_bytes
from tests.support.endings import reset
from tests.support.ports import free_port
from tests.support.servers import Server
from tests.support.service import Exchange, Script
from tests.support.urls import Form, both_forms, query_form
from tests.support.waiting import PATIENCE

from .common import assert_not_valid_http, get

NO_ANSWER = (
    "The service on port {port} closed the connection without a response.\n"
    "It may have crashed or be restarting; its own output may say why.\n"
)


@pytest.mark.case("refused, no head in time, garbage")
@both_forms
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_nobody_listens(host: Server, form: Form, method: str) -> None:
    port = free_port()
    reply = ask(host.port, method, form(port, "/x"))
    assert reply.status == 502
    text = (
        f"Failed to connect to service on port {port}.\n"
        f"Is the service running? Try: python3 -m http.server {port}\n"
    )
    assert reply.text == ("" if method == "HEAD" else text)
    assert (reply.value("Content-Type") or "").startswith("text/plain")
    assert reply.value("Cache-Control") == "no-store"


def test_nobody_listens_and_the_body_is_already_on_its_way(host: Server) -> None:
    with Client(host.port) as client:
        headers = [("Content-Length", "1000000")]
        client.send(request_bytes("POST", query_form(free_port(), "/x"), headers=headers))
        client.send(b"x" * 1000)
        assert client.reply().status == 502


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


@pytest.mark.parametrize("value", ["abc", "", "+16006", "16006.0", "016006"])
def test_a_port_that_is_none(host: Server, value: str) -> None:
    reply = ask(host.port, "GET", f"/alice/vision/x?port={value}")
    assert reply.status == 400
    assert reply.text.splitlines()[0] == f"Invalid port parameter: {value}".rstrip() or not value


# --- What other protocols and broken services say ------------------------------------------------


@pytest.mark.case("refused, no head in time, garbage")
@pytest.mark.parametrize("ending", ["stays-open", "closes", "speaks-first"])
@pytest.mark.parametrize(
    "greeting",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", id="ssh"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="http-2"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x46", id="tls-alert"),
        pytest.param(b"\xff" * 1_000_000, id="a-lot-of-garbage"),
    ],
)
def test_another_protocol_is_502_at_once(
    host: Server, service: ServiceFactory, greeting: bytes, ending: str
) -> None:
    def script(exchange: Exchange) -> None:
        if ending != "speaks-first":
            exchange.read_head()
        exchange.send(greeting)
        if ending != "closes":
            exchange.peer_closed(PATIENCE)

    upstream = service(script)
    assert_not_valid_http(get(host, upstream), upstream)


@pytest.mark.case("refused, no head in time, garbage")
@pytest.mark.parametrize("ending", ["closes", "resets"])
@pytest.mark.parametrize("head", [b"H", b"HTTP/1.1 200 OK\r\nX: 1\r\n\r"], ids=repr)
def test_a_cut_head_is_502(host: Server, service: ServiceFactory, head: bytes, ending: str) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(head)
        if ending == "resets":
            reset(exchange.sock)

    upstream = service(script)
    reply = get(host, upstream)
    if ending == "resets" and reply.text == NO_ANSWER.format(port=upstream.port):
        assert reply.status == 502  # the reset may overtake what was sent before it
    else:
        assert_not_valid_http(reply, upstream)


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
    for _ in range(3):
        reply = get(host, upstream, method=method)
        assert (reply.status, reply.text) == (502, NO_ANSWER.format(port=upstream.port))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_service_that_resets_at_once_is_502(
    host: Server, service: ServiceFactory, method: str
) -> None:
    """The reset may be seen while connecting, while sending, or after."""
    upstream = service(lambda exchange: reset(exchange.sock))
    for _ in range(20):
        reply = get(host, upstream, method=method)
        assert reply.status == 502
        assert reply.text in (
            NO_ANSWER.format(port=upstream.port),
            f"Failed to connect to service on port {upstream.port}.\n"
            f"Is the service running? Try: python3 -m http.server {upstream.port}\n",
        )
