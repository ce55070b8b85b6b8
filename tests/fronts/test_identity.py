"""What the service and the app are told of the visitor's address, and of the site's own."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.conftest import ServiceFactory
from tests.support.received import OK, Received, recording
from tests.support.service import Exchange

from .conftest import Front

# What a visitor may claim; the front-end and ProxyFix know better.
SPOOFED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.test",
    "X-Forwarded-Port": "80",
    "X-Real-IP": "203.0.113.9",
    "Forwarded": "for=203.0.113.9;proto=http;host=evil.test",
}


@pytest.mark.parametrize("claims", [{}, SPOOFED], ids=["honest", "spoofed"])
def test_the_service_is_told_the_visitors_address_and_its_own(
    front: Front, version: str, service: ServiceFactory, claims: dict[str, str]
) -> None:
    received: list[Received] = []
    port = service(recording(received)).port
    with front.visited(version, address="127.0.0.2", fields=claims) as visitor:
        assert visitor.get(front.url(port, "/x")).status_code == 200
        post = visitor.post(front.url(port, "/x"), content=b"x", headers={"Origin": front.origin})
        assert post.status_code == 200
    for request in received:
        assert request.values("x-forwarded-for") == ["127.0.0.2"]
        # Its own address, on http, of which Origin and Host are made too.
        assert request.values("x-forwarded-proto") == ["http"]
        assert set(request.values("origin")) <= {f"http://localhost:{port}"}
        dropped = {"x-forwarded-host", "x-forwarded-port", "x-real-ip", "forwarded"}
        assert not dropped & request.names
        assert not any("203.0.113.9" in value for _, value in request.fields)


def test_only_pages_of_the_same_scheme_and_port_may_post(
    front: Front, visitor: httpx.Client, service: ServiceFactory
) -> None:
    received: list[Received] = []
    url = front.url(service(recording(received)).port, "/x")
    foreign = (f"http://{front.authority}", "https://localhost", "https://evil.test")
    for origin in foreign:
        assert visitor.post(url, content=b"x", headers={"Origin": origin}).status_code == 403
    assert received == []
    assert visitor.post(url, content=b"x", headers={"Origin": front.origin}).status_code == 200
    assert received[0].body == b"x"


def test_cookies_of_ours_are_secure(
    front: Front, visitor: httpx.Client, service: ServiceFactory
) -> None:
    url = front.url(service(recording([])).port, "/")
    answer = visitor.get(url, headers={"Sec-Fetch-Mode": "navigate"})
    cookies = answer.headers.get_list("Set-Cookie")
    (hint,) = [cookie for cookie in cookies if re.match(r"portproxy\.hint\d=", cookie)]
    assert "Secure" in hint.split("; ")


@pytest.mark.parametrize("location", ["/next", "http://localhost:{port}/next", "next"])
def test_a_redirect_of_the_service_is_followed_on_https(
    front: Front, visitor: httpx.Client, service: ServiceFactory, location: str
) -> None:
    def script(exchange: Exchange) -> None:
        to = location.format(port=exchange.sock.getsockname()[1]).encode()
        while head := exchange.read_head():
            found = b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % to
            exchange.send(OK if head.startswith(b"GET /next ") else found)

    answer = visitor.get(front.url(service(script).port, "/x"), follow_redirects=True)
    assert (answer.status_code, answer.text, answer.url.scheme) == (200, "hi", "https")
    assert answer.url.path.endswith("/next")
