"""One exchange, two drivers: what a thread answers and what the relay answers is the same.

The same request goes to two like hosts, one whose requests all leave their thread at once, and one
whose never do; to the same service, which answers both alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Reply, request_bytes
from tests.support.received import Received, parse_request
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange
from tests.support.streams import StreamVisitor
from tests.support.urls import path_form, query_form

# What belongs to one connection, or to the server that writes the head.
_OF_THE_CONNECTION = {"connection", "transfer-encoding", "date", "server", "keep-alive"}
_MOMENT = re.compile(rb"(?<=portproxy\.hint\d)=\d+/")  # when a page was opened
_END = b"\r\n\r\n"


def sized(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    fields = b"".join(b"\r\n" + line for line in (b"Content-Length: %d" % len(body), *lines))
    return b"HTTP/1.1 " + status + fields + _END + body


def bare(*lines: bytes, status: bytes = b"200 OK", body: bytes = b"") -> bytes:
    return b"HTTP/1.1 " + status + b"".join(b"\r\n" + line for line in lines) + _END + body


PAGE = b'<!doctype html><a href="/x">x</a><base href="/"><img src="http://localhost:PORT/y.png">'
RESPONSES: dict[str, bytes] = {
    # Framing
    "length": sized(b"hello"),
    "no-bytes": sized(b""),
    "chunked": bare(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
    "trailers": bare(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"),
    "close": bare(body=b"hello, world"),
    "http-1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "large": sized(bytes(range(256)) * 2000),
    "large-close": bare(body=bytes(range(256)) * 2000),
    "surplus": sized(b"hello") + b"more",
    "204": bare(status=b"204 No Content"),
    "204-length": bare(b"Content-Length: 0", status=b"204 No Content"),
    "304": bare(b'ETag: "x"', status=b"304 Not Modified"),
    "304-length": bare(b"Content-Length: 5", b'ETag: "x"', status=b"304 Not Modified"),
    "206": sized(b"ell", b"Content-Range: bytes 1-3/5", status=b"206 Partial Content"),
    "no-reason": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi",
    "odd-reason": sized(b"hi", status=b"299 S\xe9lect"),
    "100-first": b"HTTP/1.1 100 Continue\r\n\r\n" + sized(b"hello"),
    "103-first": b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + sized(b"hello"),
    # Headers
    "cookies": sized(
        b"hi",
        b"Set-Cookie: a=1",
        b"Set-Cookie: b=2; Path=/; HttpOnly",
        b"Set-Cookie: c=3; Domain=localhost; Path=/x",
        b"Set-Cookie: sessionid=evil",
        b"Set-Cookie: gone=; Max-Age=0",
    ),
    "many-cookies": sized(b"hi", *(b"Set-Cookie: c%d=%d" % (n, n) for n in range(80))),
    "location": sized(b"", b"Location: /there?x=1#y", status=b"303 See Other"),
    "location-self": sized(b"", b"Location: http://localhost:PORT/there", status=b"302 Found"),
    "location-away": sized(b"", b"Location: https://example.com/", status=b"302 Found"),
    "location-astray": sized(b"", b"Location: //evil.example/", status=b"302 Found"),
    "https": sized(b"", b"Location: https://localhost:PORT/x", status=b"301 Moved Permanently"),
    "links": sized(
        b"hi", b"Link: </a.css>; rel=preload, <b.js>; rel=preload", b"Refresh: 1; url=/z"
    ),
    "policy": sized(b"hi", b"Content-Security-Policy: default-src 'self' http://localhost:PORT"),
    "cache": sized(b"hi", b"Cache-Control: public, max-age=60, s-maxage=9", b"Vary: Accept"),
    "dropped": sized(b"hi", b"X-Accel-Redirect: /etc/passwd", b"Clear-Site-Data: *", b"Via: 1.1 x"),
    "hop": sized(b"hi", b"Connection: x-own, close", b"X-Own: 1", b"Keep-Alive: timeout=5"),
    "latin": sized(b"hi", b"X-Name: caf\xe9", b"X-Empty:"),
    "gzip": sized(b"\x1f\x8b\x08\0\0\0\0\0", b"Content-Encoding: gzip", b"Content-Type: text/html"),
    "page": sized(PAGE, b"Content-Type: text/html; charset=utf-8", b'ETag: "x"'),
    "page-chunked": bare(
        b"Content-Type: text/html",
        b"Transfer-Encoding: chunked",
        body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(PAGE), PAGE),
    ),
    "events": bare(b"Content-Type: text/event-stream", body=b"data: 1\n\ndata: 2\n\n"),
    "501": sized(b"no", status=b"501 Not Implemented"),
    # What is no response
    "nothing": b"",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "half-a-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
    "short-chunks": bare(b"Transfer-Encoding: chunked", body=b"5\r\nhel"),
    "no-last-chunk": bare(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),
    "bad-chunks": bare(b"Transfer-Encoding: chunked", body=b"zz\r\nhello\r\n0\r\n\r\n"),
    "two-lengths": bare(b"Content-Length: 2", b"Content-Length: 3", body=b"hi"),
    "same-lengths": bare(b"Content-Length: 2", b"Content-Length: 2", body=b"hi"),
    "length-and-chunks": bare(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=b"hi"),
    "coding": bare(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "negative": bare(b"Content-Length: -1"),
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "no-colon": bare(b"Content-Length", b"X 1"),
    "nul": bare(b"X: a\0b"),
    "status-99": bare(status=b"99 Low"),
    "status-600": bare(status=b"600 High"),
    "101": bare(b"Upgrade: websocket", b"Connection: Upgrade", status=b"101 Switching Protocols"),
    "endless-head": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20000,
    "http-2": b"HTTP/2 200 OK\r\n\r\n",
}
CUT = ("short-chunks", "no-last-chunk")
REQUESTS: dict[str, tuple[str, bytes, str, list[tuple[str, str]]]] = {
    "get": ("GET", b"", "HTTP/1.1", [("Accept", "text/html")]),
    "head": ("HEAD", b"", "HTTP/1.1", []),
    "post": ("POST", b"a=1&b=2" * 100, "HTTP/1.1", [("Accept", "application/json")]),
    "get-1.0": ("GET", b"", "HTTP/1.0", [("Range", "bytes=1-3")]),
    "page": (
        "GET", b"", "HTTP/1.1",
        [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")],
    ),
}  # fmt: skip
FORMS = {"path": path_form, "query": query_form}


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[Server]]:
    """Whose requests stay, and whose leave."""
    app = "tests.support.hostapp:application"
    with (
        gunicorn(app, env={"LEAVING": "none"}) as staying,
        gunicorn(app, env={"LEAVING": "all"}) as leaving,
    ):
        yield [staying, leaving]
        for host in (staying, leaving):
            assert "Traceback" not in host.output()


def seen(reply: Reply) -> dict[str, object]:
    """What a visitor sees of a reply, less what belongs to the connection."""
    lines = [line.partition(b": ") for line in reply.head.split(b"\r\n")[1:]]
    return {
        "first line": reply.head.split(b"\r\n")[0],
        "headers": sorted(
            (name, _MOMENT.sub(b"=0/", value))
            for name, _, value in lines
            if name.decode().lower() not in _OF_THE_CONNECTION
        ),
        "body": reply.body,
        "complete": reply.complete,
        "interim": reply.interim,
    }


def asked(request: Received) -> tuple[object, ...]:
    """What the service sees; it is asked by two processes."""
    fields = [(name, value) for name, value in request.fields if name not in ("Via", "X-Test")]
    return request.method, request.target, fields


@pytest.mark.case("the same answer on a thread and in the relay")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", REQUESTS)
def test_the_same_on_a_thread_and_in_the_relay(
    hosts: list[Server], service: ServiceFactory, kind: str, form: str
) -> None:
    method, body, version, fields = REQUESTS[kind]
    answered = {"response": b""}

    def script(exchange: Exchange) -> None:
        head = exchange.read_head()
        if body:
            exchange.read(len(body))
        if b"/there" in head.partition(b"\r\n")[0]:  # where a redirect was followed to
            exchange.send(sized(b"there"))
        else:
            exchange.send(answered["response"])

    upstream = service(script)
    port = str(upstream.port).encode()
    differences = {}
    for name, response in RESPONSES.items():
        answered["response"] = resized(response.replace(b"PORT", port))
        replies, requests = [], []
        for host in hosts:
            before = len(upstream.heads)
            with StreamVisitor(host.port) as client:
                target = FORMS[form](upstream.port, "/x")
                request = request_bytes(method, target, headers=fields, body=body)
                client.send(request.replace(b"HTTP/1.1", version.encode(), 1))
                replies.append(seen(client.reply(method=method)))
            requests.append([asked(parse_request(head)) for head in upstream.heads[before:]])
        if version == "HTTP/1.0" and name in CUT:
            replies[0]["complete"] = False  # the relay resets; gunicorn closes as at a proper end
        if replies[0] != replies[1] or requests[0] != requests[1]:
            differences[name] = (replies, requests)
    assert not differences


def resized(response: bytes) -> bytes:
    """The length of a page depends on the number of digits of the port."""
    head, _, body = response.partition(_END)
    if b"localhost:" not in body:
        return response
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    if b"chunked" in head:
        return response.replace(b"%x\r\n" % len(PAGE), b"%x\r\n" % (len(body) - 12), 1)
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + _END + body
