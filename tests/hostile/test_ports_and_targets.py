"""What a request may say instead of a port and a path."""

from __future__ import annotations

import socket

import pytest

from tests.conftest import ServiceFactory
from tests.support import marks
from tests.support.client import Client, ask
from tests.support.procfs import cpu_seconds, worker_of
from tests.support.received import Received, recording
from tests.support.servers import Server
from tests.support.service import Exchange
from tests.support.websocket import STANDARD

from .conftest import Noted, Untouched

FORMS = ("/alice/vision/?port={}", "/alice/vision/proxy/{}/")

# --- Ports: unit/test_locate has all other ways to write none -------------------------------------

# `{}` stands for the port of a service that would answer.
NOT_A_PORT = [
    *("", "abc", "{}@evil", "{}:80", "{}%00", "{}%0d%0aX:1", "{}%20", "+{}", "%2B{}", "-{}"),
    *("1_6006", "0{}", "0x3e86", "{}.0", "{};x", "[{}]", "{}{}", "<script>"),
    *("%D9%A1%D9%A6%D9%A0%D9%A0%D9%A6", "%ff", "{}\xa0"),
]


@pytest.mark.case("what is no port")
@pytest.mark.promise("Only allowed ports, only 127.0.0.1")
@pytest.mark.parametrize("value", NOT_A_PORT)
def test_what_is_no_port_is_400_and_nobody_is_asked(
    noted: Noted, untouched: Untouched, value: str
) -> None:
    value = value.format(untouched.port, untouched.port)
    for before in ("?port=", "x/y?a=1&port="):
        reply = ask(noted.port, "GET", f"/alice/vision/{before}{value}")
        assert reply.status == 400
        if value.isascii():  # else gunicorn has said so
            assert reply.text.startswith("Invalid port parameter: ")
    assert noted.calls() == []
    untouched.heard_nothing()


@pytest.mark.case("what is no port")
def test_a_port_of_many_digits_costs_linear_time(noted: Noted) -> None:
    pid = worker_of(noted.server)
    begin = cpu_seconds(pid)
    for form in FORMS:
        reply = ask(noted.port, "GET", form.format("1" * 1_000_000))
        assert reply.status == 400
        assert len(reply.body) < 200
    assert cpu_seconds(pid) - begin < 3
    assert noted.calls() == []


@pytest.mark.case("two ports; keys that are the app's own")
@pytest.mark.parametrize(
    "query",
    ["port={}&port={}", "port=1&port={}", "port={}&%70%6f%72%74=1", "port&port={}", "port={}&port"],
)
def test_two_ports_are_400_and_nobody_is_asked(
    noted: Noted, untouched: Untouched, query: str
) -> None:
    query = query.format(untouched.port, untouched.port)
    assert ask(noted.port, "GET", f"/alice/vision/?{query}").status == 400
    assert noted.calls() == []
    untouched.heard_nothing()


@pytest.mark.case("two ports; keys that are the app's own")
@pytest.mark.parametrize("query", ["PORT={}", "a=1;port={}", "port[]={}", "ports={}", ".port={}"])
def test_other_keys_are_the_apps_own(noted: Noted, untouched: Untouched, query: str) -> None:
    query = query.format(untouched.port)
    reply = ask(noted.port, "GET", f"/alice/vision/?{query}")
    assert (reply.status, reply.text) == (200, f"the app: /alice/vision/?{query}\n")
    assert noted.calls() == []
    untouched.heard_nothing()


@pytest.mark.case("two ports; keys that are the app's own")
def test_a_port_in_the_body_is_the_apps_own(noted: Noted, untouched: Untouched) -> None:
    headers = [("Content-Type", "application/x-www-form-urlencoded")]
    body = f"port={untouched.port}".encode()
    reply = ask(noted.port, "POST", "/alice/vision/", headers=headers, body=body)
    assert (reply.status, reply.text) == (200, "the app: /alice/vision/?\n")
    assert noted.calls() == []
    untouched.heard_nothing()


@pytest.mark.case("ports out of range, our own, loops")
@pytest.mark.promise("Only allowed ports, only 127.0.0.1")
@pytest.mark.parametrize("port", [0, 22, 9999, 20001, 65535, 65536, 16006 + 65536])
@pytest.mark.parametrize("form", FORMS, ids=["query", "path"])
def test_a_port_outside_the_range_is_403_and_nobody_is_asked(
    noted: Noted, port: int, form: str
) -> None:
    reply = ask(noted.port, "GET", form.format(port))
    assert reply.status == 403
    assert reply.text == f"Port {port} is outside allowed range (10000-20000)\n"
    assert noted.calls() == []


# --- Never ourselves -----------------------------------------------------------------------------


@pytest.mark.promise("Your app is not opened as a service")
@pytest.mark.case("ports out of range, our own, loops")
@pytest.mark.promise("Only allowed ports, only 127.0.0.1")
@pytest.mark.parametrize("form", FORMS, ids=["query", "path"])
def test_our_own_port_is_refused(noted: Noted, second_port: int, form: str) -> None:
    for host in ("app.test", "app.test:80", "localhost:1"):
        for port in (noted.port, second_port):  # SERVER_PORT tells one of them only
            assert ask(port, "GET", form.format(port), host=host).status == 508
            assert noted.calls() == [f"GET {port} alice/vision"]
            # Which port is ours is for those to know who may use ports at all.
            assert ask(port, "GET", form.format(port), host=host, cookie="").status == 403
            assert noted.calls() == [f"GET {port} alice/vision"]


@pytest.mark.case("ports out of range, our own, loops")
@pytest.mark.promise("Only allowed ports, only 127.0.0.1")
@pytest.mark.parametrize("form", FORMS, ids=["query", "path"])
def test_a_request_that_comes_round_through_a_service_is_refused(
    noted: Noted, service: ServiceFactory, form: str
) -> None:
    rounds: list[bytes] = []

    def forwards(exchange: Exchange) -> None:
        head = exchange.read_head()
        rounds.append(head)
        lines = head.split(b"\r\n")
        lines[0] = f"GET {form.format(exchange.sock.getsockname()[1])} HTTP/1.1".encode()
        with socket.create_connection(("127.0.0.1", noted.port), timeout=10) as again:
            again.sendall(b"\r\n".join(lines))
            again.shutdown(socket.SHUT_WR)
            while data := again.recv(65536):
                exchange.send(data)

    upstream = service(forwards)
    reply = ask(noted.port, "GET", form.format(upstream.port))
    assert reply.status == 508
    assert len(rounds) == 1
    assert len(noted.calls()) == 1


# --- Paths ---------------------------------------------------------------------------------------


@pytest.mark.case("one request, no open redirect, odd targets")
@pytest.mark.promise("One request in, one request out")
@pytest.mark.parametrize(
    ("target", "arrives"),
    [
        ("/alice/vision/%0d%0aGET%20/x?port={}", "/%0d%0aGET%20/x"),
        ("/alice/vision/x?port={}&a=%0d%0aX:1", "/x?a=%0d%0aX:1"),
        ("/alice/vision/%00?port={}", "/%00"),
        ("/alice/vision//evil.com/?port={}", "//evil.com/"),
        ("/alice/vision/\\evil.com?port={}", "/\\evil.com"),
        ("/alice/vision/http://evil.com/?port={}", "/http://evil.com/"),
        ("/alice/vision/@evil.com/?port={}", "/@evil.com/"),
        ("/alice/vision/%2e%2e%2f?port={}&x=/../..", None),
        ("/alice/vision/a/%2e%2e/b?port={}", "/a/%2e%2e/b"),
        ("/alice/vision/proxy/{}/%0d%0aGET%20/x", "/%0d%0aGET%20/x"),
        ("/alice/vision/proxy/{}/?port=1&port=abc", "/?port=1&port=abc"),
        ("/alice/vision/proxy/{}/%2F%2e%2e%2F", None),
    ],
)
def test_one_request_arrives_byte_for_byte_or_none(
    noted: Noted, service: ServiceFactory, target: str, arrives: str | None
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    reply = ask(noted.port, "GET", target.format(upstream.port))
    assert reply.status == (404 if arrives is None else 200)
    assert [request.target for request in seen] == ([] if arrives is None else [arrives])
    assert len(upstream.heads) == len(seen)


def test_a_line_end_in_the_path_of_a_websocket_is_no_second_request(
    noted: Noted, service: ServiceFactory
) -> None:
    refused = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    seen: list[Received] = []
    upstream = service(recording(seen, refused))
    target = f"/alice/vision/%0d%0aGET%20/x?port={upstream.port}"
    assert ask(noted.port, "GET", target, headers=list(STANDARD.items())).status == 404
    assert [request.target for request in seen] == ["/%0d%0aGET%20/x"]


NAVIGATION = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]


@pytest.mark.case("one request, no open redirect, odd targets")
@pytest.mark.parametrize(
    "target",
    [
        "/?port={}",
        "//evil.com/?port={}",
        "/\\evil.com/?port={}",
        "/\\/evil.com?port={}",
        "/%5cevil.com/?port={}",
        "/%2f/evil.com/?port={}",
        "/%09/evil.com/?port={}",
        "/http://evil.com/?port={}",
        "//evil.com/proxy/{}",
        "/proxy/{}?//evil.com",
    ],
)
def test_no_redirect_of_ours_leads_to_another_site(
    whole: Server, untouched: Untouched, target: str
) -> None:
    reply = ask(whole.port, "GET", target.format(untouched.port), headers=NAVIGATION)
    location = reply.value("Location")
    if reply.status in (307, 308):
        assert location is not None
        assert location.startswith(f"/proxy/{untouched.port}/")
    else:
        assert reply.status in (200, 404)
        assert location is None
    untouched.heard_nothing()


def test_a_redirect_of_a_service_leads_to_no_other_site_by_our_mapping(
    whole: Server, service: ServiceFactory
) -> None:
    """`//evil.com/x` is a path at the service, and would be a host at the visitor's browser."""
    answer = b"HTTP/1.1 201 Created\r\nLocation: next\r\nContent-Length: 0\r\n\r\n"
    seen: list[Received] = []
    upstream = service(recording(seen, answer))
    reply = ask(whole.port, "POST", f"//evil.com/x?port={upstream.port}")
    assert [request.target for request in seen] == ["//evil.com/x"]
    assert reply.value("Location") == f"/.//evil.com/next?port={upstream.port}"


@pytest.mark.case("one request, no open redirect, odd targets")
@pytest.mark.parametrize(
    "line",
    [
        "GET http://evil.com/alice/vision/x?port={} HTTP/1.1",
        "GET http://alice:secret@evil.com/alice/vision/x?port={} HTTP/1.1",
        "GET https://evil.com:443/alice/vision/x?port={} HTTP/1.1",
        "GET alice/vision/x?port={} HTTP/1.1",
        "GET x/alice/vision/proxy/{}/x HTTP/1.1",
        "GET ?port={} HTTP/1.1",
        "GET alice:vision/x?port={} HTTP/1.1",
        "OPTIONS *?port={} HTTP/1.1",
        "GET /alice/vision/x?port={}#fragment HTTP/1.1",
        "GET /alice/vision/x?port={} HTTP/1.0",
    ],
)
def test_a_target_in_another_form_arrives_in_origin_form_or_not_at_all(
    noted: Noted, whole: Server, service: ServiceFactory, line: str
) -> None:
    fields = f"Host: app.test\r\n{marks.FIELD}: {marks.current()}\r\nCookie: user=alice"
    for port in (noted.port, whole.port):
        seen: list[Received] = []
        upstream = service(recording(seen))
        with Client(port) as client:
            client.send(f"{line.format(upstream.port)}\r\n{fields}\r\n\r\n".encode())
            assert client.reply().status in (200, 400, 404)
        assert len(seen) <= 1
        for request in seen:
            assert request.target in ("/x", "/alice/vision/x", "/")
            assert request.values("Host") == [f"localhost:{upstream.port}"]
