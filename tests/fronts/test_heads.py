"""Heads that a front-end's own limits and habits must not touch; and its connections."""

from __future__ import annotations

import gzip

import httpx
import pytest

from tests import KEPT
from tests.conftest import ServiceFactory
from tests.support.client import ask
from tests.support.received import OK, Received, recording
from tests.support.service import answers

from .conftest import Front

KIB = 1024
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"


def test_an_answer_with_a_head_of_30_kib_passes(
    front: Front, visitor: httpx.Client, service: ServiceFactory
) -> None:
    """nginx: 32 KiB with the README's lines, 4 by default."""
    cookies = [b"Set-Cookie: cookie%d=%b\r\n" % (n, b"x" * 900) for n in range(10)]
    policy = b"Content-Security-Policy: img-src %b\r\n" % (b"x" * 21 * KIB)
    upstream = service(answers(HEAD + b"".join(cookies) + policy + b"\r\nhi"))
    answer = visitor.get(front.url(upstream.port, "/x"))
    assert (answer.status_code, answer.text) == (200, "hi")
    assert 30 * KIB < sum(len(name) + len(value) for name, value in answer.headers.raw) < 32 * KIB
    assert {f"cookie{n}" for n in range(10)} <= set(answer.cookies)


def test_a_cookie_of_16_kb_and_a_url_of_8_kb_pass(
    front: Front, visitor: httpx.Client, service: ServiceFactory
) -> None:
    """What gunicorn takes with the settings of examples/gunicorn: 16,380 and 8,190 bytes."""
    received: list[Received] = []
    port = service(recording(received)).port
    cookie = "a=" + "x" * 16300
    path = "/" + "u" * 8000
    answer = visitor.get(front.url(port, path), headers={"Cookie": f"user=alice; {cookie}"})
    assert answer.status_code == 200
    assert received[0].target == path
    assert received[0].values("cookie")[0].endswith(cookie)


def test_a_longer_cookie_is_refused_by_gunicorn(front: Front, visitor: httpx.Client) -> None:
    """The front-end is not the narrower one."""
    cookie = "user=alice; a=" + "x" * 20000
    answer = visitor.get(f"{front.origin}/login", headers={"Cookie": cookie})
    direct = ask(front.behind.port, "GET", "/login", cookie=cookie)
    assert (answer.status_code, answer.content) == (direct.status, direct.body)
    assert direct.status == 431


@pytest.mark.parametrize(
    "path", ["/a%2Fb//c", "//", "/%41%2e%2E/x", "/a;b?c;d&e=%zz&f=[]|", "/x?", "/!$&'()*+,;=:@~"]
)
def test_the_bytes_of_a_url_are_not_touched(
    front: Front, visitor: httpx.Client, service: ServiceFactory, path: str
) -> None:
    received: list[Received] = []
    request = visitor.build_request("GET", front.origin)
    raw = front.url(service(recording(received)).port, path).removeprefix(front.origin)
    request.url = request.url.copy_with(raw_path=raw.encode())
    assert visitor.send(request).status_code == 200
    assert received[0].target == path


def test_cookies_in_fields_of_their_own_are_joined(front: Front, service: ServiceFactory) -> None:
    """As browsers send them over HTTP/2 (RFC 9113, section 8.2.3)."""
    received: list[Received] = []
    port = service(recording(received)).port
    with front.visited("HTTP/2") as visitor:
        crumbs = [("Cookie", "user=alice"), ("Cookie", "a=1"), ("Cookie", "b=2")]
        assert visitor.get(front.url(port, "/x"), headers=crumbs).status_code == 200
    assert received[0].values("cookie") == ["user=alice; a=1; b=2"]


def test_an_encoding_is_neither_asked_for_nor_taken_off(
    front: Front, visitor: httpx.Client, service: ServiceFactory
) -> None:
    received: list[Received] = []
    packed = gzip.compress(b"hello" * 100)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    port = service(recording(received, head + packed)).port
    with visitor.stream("GET", front.url(port, "/x")) as answer:
        assert b"".join(answer.iter_raw()) == packed
        assert answer.headers["Content-Length"] == str(len(packed))
    assert "accept-encoding" not in received[0].names


def test_connections_to_gunicorn_are_kept(
    front: Front, visitor: httpx.Client, service: ServiceFactory
) -> None:
    """Those of answers that come whole and soon, unless all requests leave their thread."""
    port = service(answers(OK)).port
    for _ in range(8):
        assert visitor.get(front.url(port, "/kept")).text == "hi"
    ports = front.ports_of(f"/{port}/kept", 8)
    assert (len(set(ports)) < len(ports)) == KEPT
