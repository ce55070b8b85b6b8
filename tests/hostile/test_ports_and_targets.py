"""What a request may say instead of a port and a path."""

from __future__ import annotations

import socket

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, Reply, ask
from tests.support.ports import free_port
from tests.support.procfs import cpu_seconds, worker_of
from tests.support.received import Received, recording
from tests.support.servers import gunicorn
from tests.support.service import Exchange

from .conftest import Noted, Untouched


def sent(port: int, target: str, *, method: str = "GET", **kwargs: object) -> Reply:
    """The reply to a request whose target goes out as it is."""
    return ask(port, method, target, **kwargs)


# --- Ports ---------------------------------------------------------------------------------------

# `{}` stands for the port of a service that would answer.
NOT_A_PORT = [
    *("", "abc", "{}%23", "{}@evil", "{}/", "{}:80", "{}%00", "{}%0d%0aX:1", "{}%0a", "{}%20"),
    *("+{}", "%2B{}", "-1", "-{}", "1_6006", "%20{}", "%09{}", "+{}", "0{}", "00{}", "0x3e86"),
    *("0b1", "1e4", "{}.0", "{},", "{};x", "{}%3B", "[{}]", '"{}"', "{}{}", "%31%36%30%30%36"),
    *("%D9%A1%D9%A6%D9%A0%D9%A0%D9%A6", "%EF%BC%91%EF%BC%96%EF%BC%90%EF%BC%90%EF%BC%96"),
    *("%C2%B2", "%ff", "{}\xa0", "\u0661".encode().decode("latin-1"), "<script>", "null", "${{x}}"),
]


@pytest.mark.parametrize("value", NOT_A_PORT)
@pytest.mark.parametrize("before", ["?port=", "?a=1&port=", "x/y?port="])
def test_what_is_no_port_is_400_and_nobody_is_asked(
    noted: Noted, untouched: Untouched, value: str, before: str
) -> None:
    value = value.format(untouched.port, untouched.port)
    reply = sent(noted.port, f"/alice/vision/{before}{value}")
    assert reply.status == 400
    if value.isascii():  # else gunicorn has said so
        assert reply.text.startswith("Invalid port parameter: ")
    assert noted.calls() == []
    untouched.heard_nothing()


@pytest.mark.parametrize("size", [10_000, 1_000_000])
def test_a_port_of_many_digits_costs_linear_time(
    noted: Noted, untouched: Untouched, size: int
) -> None:
    pid = worker_of(noted.server)
    begin = cpu_seconds(pid)
    for target in (f"/alice/vision/?port={'1' * size}", f"/alice/vision/proxy/{'1' * size}/"):
        reply = sent(noted.port, target)
        assert reply.status == 400
        assert len(reply.body) < 200
    assert cpu_seconds(pid) - begin < 3
    assert noted.calls() == []


@pytest.mark.parametrize(
    "query",
    [
        "port={}&port={}",
        "port={}&port=1",
        "port=1&port={}",
        "%70ort={}&port={}",
        "port={}&%70%6f%72%74=1",
        "port={}&port",
        "port&port={}",
        "port={}&x=1&port=",
    ],
)
def test_two_ports_are_400_and_nobody_is_asked(
    noted: Noted, untouched: Untouched, query: str
) -> None:
    query = query.format(untouched.port, untouched.port)
    assert sent(noted.port, f"/alice/vision/?{query}").status == 400
    assert noted.calls() == []
    untouched.heard_nothing()


@pytest.mark.parametrize(
    "query",
    [
        "PORT={}",
        "Port={}",
        ";port={}",
        "a=1;port={}",
        "port[]={}",
        "ports={}",
        "x[port]={}",
        ".port={}",
    ],
)
def test_other_keys_are_the_apps_own(noted: Noted, untouched: Untouched, query: str) -> None:
    query = query.format(untouched.port)
    reply = sent(noted.port, f"/alice/vision/?{query}")
    assert (reply.status, reply.text) == (200, f"the app: /alice/vision/?{query}\n")
    assert noted.calls() == []
    untouched.heard_nothing()


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_a_port_in_the_body_is_the_apps_own(noted: Noted, untouched: Untouched, kind: str) -> None:
    part = 'Content-Disposition: form-data; name="port"'
    bodies = {
        "a": f"port={untouched.port}",
        "m": f"--x\r\n{part}\r\n\r\n{untouched.port}\r\n--x--\r\n",
    }
    reply = sent(
        noted.port,
        "/alice/vision/",
        method="POST",
        headers=[("Content-Type", kind)],
        body=bodies[kind[0]].encode(),
    )
    assert (reply.status, reply.text) == (200, "the app: /alice/vision/?\n")
    assert noted.calls() == []
    untouched.heard_nothing()


@pytest.mark.parametrize("port", [0, 1, 22, 80, 9999, 20001, 65535, 65536, 16006 + 65536, 99999])
@pytest.mark.parametrize("form", ["/alice/vision/?port={}", "/alice/vision/proxy/{}/"])
def test_a_port_outside_the_range_is_403_and_nobody_is_asked(
    noted: Noted, port: int, form: str
) -> None:
    reply = sent(noted.port, form.format(port))
    assert reply.status == 403
    assert reply.text == f"Port {port} is outside allowed range (10000-20000)\n"
    assert noted.calls() == []


def test_a_port_that_overflows_does_not_come_out_as_another(
    noted: Noted, untouched: Untouched
) -> None:
    for port in (untouched.port + 65536, untouched.port + 2**32, untouched.port - 65536):
        assert sent(noted.port, f"/alice/vision/?port={port}").status in (400, 403)
    untouched.heard_nothing()


# --- Never ourselves -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["/alice/vision/?port={}", "/alice/vision/proxy/{}/"])
@pytest.mark.parametrize("host", ["app.test", "app.test:80", "localhost:1"])
def test_our_own_port_is_refused(noted: Noted, form: str, host: str) -> None:
    reply = sent(noted.port, form.format(noted.port), host=host)
    assert reply.status == 508
    assert noted.calls() == []


def test_our_own_port_is_refused_behind_another_address_too() -> None:
    """SERVER_PORT is then that of the address that was asked first."""
    second = free_port()
    with gunicorn(options=("-b", f"127.0.0.1:{second}")) as server:
        for asked, wanted in [(second, second), (server.port, server.port)]:
            assert sent(asked, f"/alice/vision/?port={wanted}").status == 508


@pytest.mark.parametrize("form", ["/alice/vision/?port={}", "/alice/vision/proxy/{}/"])
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
            answer = b""
            while data := again.recv(65536):
                answer += data
        exchange.send(answer)

    upstream = service(forwards)
    reply = sent(noted.port, form.format(upstream.port))
    assert reply.status == 508
    assert len(rounds) == 1
    assert len(noted.calls()) == 1


# --- Paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "arrives"),
    [
        ("/alice/vision/%0d%0aGET%20/x?port={}", "/%0d%0aGET%20/x"),
        ("/alice/vision/a%20HTTP/1.1%0d%0aA:b%0d%0a?port={}", "/a%20HTTP/1.1%0d%0aA:b%0d%0a"),
        ("/alice/vision/x?port={}&a=%0d%0aX:1", "/x?a=%0d%0aX:1"),
        ("/alice/vision/%00?port={}", "/%00"),
        ("/alice/vision//evil.com/?port={}", "//evil.com/"),
        ("/alice/vision/\\evil.com?port={}", "/\\evil.com"),
        ("/alice/vision/http://evil.com/?port={}", "/http://evil.com/"),
        ("/alice/vision/@evil.com/?port={}", "/@evil.com/"),
        ("/alice/vision/%2e%2e%2f?port={}&x=/../..", None),
        ("/alice/vision/a/%2e%2e/b?port={}", "/a/%2e%2e/b"),
        ("/alice/vision/proxy/{}/%0d%0aGET%20/x", "/%0d%0aGET%20/x"),
        ("/alice/vision/proxy/{}//evil.com/", "//evil.com/"),
        ("/alice/vision/proxy/{}/?port=1&port=abc", "/?port=1&port=abc"),
        ("/alice/vision/proxy/{}/%2F%2e%2e%2F", None),
    ],
)
def test_one_request_arrives_byte_for_byte_or_none(
    noted: Noted, service: ServiceFactory, target: str, arrives: str | None
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    reply = sent(noted.port, target.format(upstream.port))
    assert reply.status == (404 if arrives is None else 200)
    assert [request.target for request in seen] == ([] if arrives is None else [arrives])
    assert len(upstream.heads) == len(seen)


def test_a_line_end_in_the_path_of_a_websocket_is_no_second_request(
    noted: Noted, service: ServiceFactory
) -> None:
    refused = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    seen: list[Received] = []
    upstream = service(recording(seen, refused))
    headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    target = f"/alice/vision/%0d%0aGET%20/x?port={upstream.port}"
    assert sent(noted.port, target, headers=headers).status == 404
    assert [request.target for request in seen] == ["/%0d%0aGET%20/x"]


NAVIGATION = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]


@pytest.mark.parametrize(
    "target",
    [
        "/?port={}",
        "//evil.com/?port={}",
        "///evil.com/?port={}",
        "/\\evil.com/?port={}",
        "/\\/evil.com?port={}",
        "/%5cevil.com/?port={}",
        "/%2f/evil.com/?port={}",
        "/%09/evil.com/?port={}",
        "/http://evil.com/?port={}",
        "//evil.com/proxy/{}",
        "/proxy/{}",
        "/proxy/{}?//evil.com",
    ],
)
def test_no_redirect_of_ours_leads_to_another_site(
    whole: Noted, untouched: Untouched, target: str
) -> None:
    reply = sent(whole.port, target.format(untouched.port), headers=NAVIGATION, cookie="user=alice")
    location = reply.value("Location")
    if reply.status in (307, 308):
        assert location is not None
        assert location.startswith(f"/proxy/{untouched.port}/")
    else:
        assert reply.status in (200, 404)
        assert location is None
    untouched.heard_nothing()


def test_a_redirect_of_a_service_leads_to_no_other_site_by_our_mapping(
    whole: Noted, service: ServiceFactory
) -> None:
    """`//evil.com/x` is a path at the service, and would be a host at the visitor's browser."""
    answer = b"HTTP/1.1 201 Created\r\nLocation: next\r\nContent-Length: 0\r\n\r\n"
    seen: list[Received] = []
    upstream = service(recording(seen, answer))
    reply = sent(whole.port, f"//evil.com/x?port={upstream.port}", method="POST")
    assert [request.target for request in seen] == ["//evil.com/x"]
    assert reply.value("Location") == f"/.//evil.com/next?port={upstream.port}"


@pytest.mark.parametrize(
    "line",
    [
        "GET http://evil.com/alice/vision/x?port={} HTTP/1.1",
        "GET http://127.0.0.1:22/alice/vision/x?port={} HTTP/1.1",
        "GET http://alice:secret@evil.com/alice/vision/x?port={} HTTP/1.1",
        "GET https://evil.com:443/alice/vision/x?port={} HTTP/1.1",
        "GET alice/vision/x?port={} HTTP/1.1",
        "GET x/alice/vision/x?port={} HTTP/1.1",
        "GET x/alice/vision/proxy/{}/x HTTP/1.1",
        "GET ?port={} HTTP/1.1",
        "GET alice:vision/x?port={} HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "OPTIONS *?port={} HTTP/1.1",
        "GET /alice/vision/x?port={}#fragment HTTP/1.1",
        "GET /alice/vision/x#?port={} HTTP/1.1",
        "GET /alice/vision/x?port={} HTTP/1.0",
    ],
)
def test_a_target_in_another_form_arrives_in_origin_form_or_not_at_all(
    noted: Noted, whole: Noted, service: ServiceFactory, line: str
) -> None:
    for host in (noted, whole):
        seen: list[Received] = []
        upstream = service(recording(seen))
        with Client(host.port) as client:
            head = f"{line.format(upstream.port)}\r\nHost: app.test\r\nCookie: user=alice\r\n\r\n"
            client.send(head.encode())
            assert client.reply().status in (200, 400, 404)
        assert len(seen) <= 1
        for request in seen:
            assert request.target in ("/x", "/alice/vision/x", "/")
            assert request.values("Host") == [f"localhost:{upstream.port}"]


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
@pytest.mark.parametrize("form", ["/alice/vision/?port={}", "/alice/vision/proxy/{}/"])
def test_connect_and_trace_are_405_and_nobody_is_asked(
    noted: Noted, untouched: Untouched, method: str, form: str
) -> None:
    reply = sent(noted.port, form.format(untouched.port), method=method)
    assert reply.status == 405
    assert noted.calls() == []
    untouched.heard_nothing()
