"""The query form follows GET and HEAD redirects within the port; all others are the visitor's."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.received import OK, Received, by_target, read_request, with_fields
from tests.support.servers import Server
from tests.support.service import Exchange, Script, Service, answers
from tests.support.urls import path_form, query_form
from tests.support.waiting import PATIENCE, peer_left, until


def redirect(location: str, *fields: str, status: str = "302 Found", body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Location: {location}", *fields, f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def get(host: Server, upstream: Service, path: str = "/start", *, method: str = "GET") -> Reply:
    return ask(host.port, method, query_form(upstream.port, path))


@pytest.mark.parametrize(
    ("method", "status"),
    [("GET", "301"), ("HEAD", "302"), ("GET", "303"), ("GET", "307"), ("GET", "308")],
)
def test_a_redirect_within_the_port_is_followed(
    host: Server, service: ServiceFactory, method: str, status: str
) -> None:
    seen: list[Received] = []
    answer = OK.removesuffix(b"hi") if method == "HEAD" else OK
    there = redirect("/there?a=1", status=f"{status} Moved")
    upstream = service(by_target({"/start": there, "/there?a=1": answer}, seen))
    reply = get(host, upstream, method=method)
    assert (reply.status, reply.values("Location")) == (200, [])
    assert reply.body == (b"" if method == "HEAD" else b"hi")
    assert [(one.method, one.target) for one in seen] == [
        (method, "/start"),
        (method, "/there?a=1"),
    ]
    assert upstream.connections == (2 if method == "HEAD" else 1)  # see test_reuse


# Those of tests/unit/test_rewrite.py, as they go to the service.
LOCATIONS = [
    ("../there", "/there"),
    ("?a=1", "/folder/start?a=1"),
    ("/caf\xe9 %zz%2F?a=1&port=5#part", "/caf%E9%20%zz%2F?a=1&port=5"),
    ("http://localhost:{port}?a=1", "/?a=1"),
    ("//127.0.0.1:{port}/there", "/there"),
    ("/alice/vision/there?a=1&port={port}", "/there?a=1"),
]


@pytest.mark.parametrize(("location", "target"), LOCATIONS, ids=[one for one, _ in LOCATIONS])
def test_a_location_is_understood(
    host: Server, service: ServiceFactory, location: str, target: str
) -> None:
    seen: list[Received] = []

    def script(exchange: Exchange) -> None:
        while (request := read_request(exchange)) is not None:
            seen.append(request)
            first = request.target == "/folder/start"
            exchange.send(redirect(location.format(port=upstream.port)) if first else OK)

    upstream = service(script)
    assert get(host, upstream, "/folder/start").body == b"hi"
    assert [request.target for request in seen] == ["/folder/start", target]


@pytest.mark.parametrize(
    "location",
    [
        "http://other.example:{port}/there",
        "http://localhost:{port}@other.example/there",
        "/\\other.example/there",
        "javascript:alert(1)",
    ],
)
def test_a_redirect_to_elsewhere_is_the_visitors(
    host: Server, service: ServiceFactory, location: str
) -> None:
    other = service(answers(OK))
    location = location.replace("{other}", str(other.port))
    upstream = service(with_fields(f"Location: {location}", status="302 Found"))
    reply = get(host, upstream)
    assert (reply.status, reply.body) == (302, b"hi")
    assert reply.values("Location") == [location.replace("{port}", str(upstream.port))]
    assert (len(upstream.heads), other.connections) == (1, 0)


def test_a_redirect_to_another_service_leads_to_its_own_prefix(
    host: Server, service: ServiceFactory
) -> None:
    """Which is judged when it is asked."""
    other = service(answers(OK))
    upstream = service(with_fields(f"Location: http://localhost:{other.port}/there?x"))
    expected = f"http://app.test{path_form(other.port, '/there?x')}"
    for target in (path_form(upstream.port, "/start"), query_form(upstream.port, "/start")):
        assert ask(host.port, "GET", target).values("Location") == [expected]
    assert other.connections == 0


def to_https(seen: list[str], port: int, location: str) -> Script:
    """A service that redirects to https whatever it is asked (Django's SECURE_SSL_REDIRECT)."""

    def script(exchange: Exchange) -> None:
        while head := exchange.read_head():
            path = head.split(b" ")[1].decode()
            seen.append(path)
            exchange.send(redirect(location.format(port=port, path=path), status="301 M"))

    return script


@pytest.mark.case("a service that wants https")
@pytest.mark.parametrize("location", ["https://localhost:{port}{path}", "https://127.0.0.1{path}"])
def test_a_redirect_to_the_same_url_on_https_is_no_loop(
    host: Server, service: ServiceFactory, location: str
) -> None:
    seen: list[str] = []

    def script(exchange: Exchange) -> None:
        to_https(seen, upstream.port, location)(exchange)

    upstream = service(script)
    for target in (path_form(upstream.port, "/x?y"), query_form(upstream.port, "/x?y")):
        reply = ask(host.port, "GET", target)
        assert reply.status == 502
        assert b"preserve_host=True" in reply.body
    assert seen == ["/x?y", "/x?y"]


def test_other_redirects_to_https_are_followed(host: Server, service: ServiceFactory) -> None:
    def script(exchange: Exchange) -> None:
        while head := exchange.read_head():
            if head.startswith(b"GET /there"):
                exchange.send(OK)
            else:  # a form that was posted, too
                exchange.send(redirect(f"https://localhost:{upstream.port}/there"))

    upstream = service(script)
    reply = ask(host.port, "GET", path_form(upstream.port, "/x"))
    there = path_form(upstream.port, "/there")
    assert (reply.status, reply.values("Location")) == (302, [f"http://app.test{there}"])
    assert get(host, upstream).body == b"hi"
    reply = ask(host.port, "POST", path_form(upstream.port, "/there"), body=b"x=1")
    assert reply.status in (200, 302)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_not_followed(host: Server, service: ServiceFactory, method: str) -> None:
    seen: list[Received] = []
    upstream = service(by_target({"/start": redirect("/there", status="308 Moved")}, seen))
    reply = get(host, upstream, method=method)
    assert reply.status == 308
    assert reply.values("Location") == [f"/alice/vision/there?port={upstream.port}"]
    assert len(seen) == 1


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_get_with_a_body_is_not_followed(
    host: Server, service: ServiceFactory, chunked: bool
) -> None:
    """The body is gone: to announce it again would leave the service waiting for it."""
    seen: list[Received] = []
    upstream = service(by_target({"/start": redirect("/there"), "/there": OK}, seen))
    target = query_form(upstream.port, "/start")
    field = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "4")
    with Client(host.port) as client:
        wire = chunk(b"body") + chunk(b"") if chunked else b"body"
        client.send(request_bytes("GET", target, headers=[field]) + wire)
        reply = client.reply()
    assert reply.status == 302
    assert reply.values("Location") == [f"/alice/vision/there?port={upstream.port}"]
    assert [request.body for request in seen] == [b"body"]


@pytest.mark.parametrize(
    "status", ["201 Created", "300 Choices", "304 Same", "305 Proxy", "400 Bad"]
)
def test_a_location_with_another_status_is_not_followed(
    host: Server, service: ServiceFactory, status: str
) -> None:
    upstream = service(by_target({"/start": redirect("/there", status=status)}))
    reply = get(host, upstream)
    assert reply.status == int(status[:3])
    assert reply.values("Location") == [f"/alice/vision/there?port={upstream.port}"]


@pytest.mark.parametrize("fields", [(), ("Location: /a", "Location: /b")], ids=["none", "two"])
def test_only_one_location_is_followed(
    host: Server, service: ServiceFactory, fields: tuple[str, ...]
) -> None:
    upstream = service(with_fields(*fields, status="302 Found"))
    reply = get(host, upstream)
    assert (reply.status, len(reply.values("Location"))) == (302, len(fields))
    assert len(upstream.heads) == 1


def test_the_path_form_leaves_redirects_to_the_browser(
    host: Server, service: ServiceFactory
) -> None:
    upstream = service(by_target({"/start": redirect("/there", body=b"moved")}))
    reply = ask(host.port, "GET", path_form(upstream.port, "/start"))
    assert (reply.status, reply.body) == (302, b"moved")
    assert reply.value("Location") == path_form(upstream.port, "/there")


@pytest.mark.parametrize(("hops", "status"), [(5, 200), (6, 302), (20, 302)])
def test_at_most_five_redirects_are_followed(
    host: Server, service: ServiceFactory, hops: int, status: int
) -> None:
    seen: list[Received] = []
    chain = {f"/{number}": redirect(f"/{number + 1}") for number in range(hops)}
    upstream = service(by_target({**chain, f"/{hops}": OK}, seen))
    reply = get(host, upstream, "/0")
    assert reply.status == status
    assert len(seen) == min(hops, 5) + 1
    if status == 302:
        assert reply.value("Location") == f"/alice/vision/6?port={upstream.port}"


def test_below_a_script_name(mounted: Server, service: ServiceFactory) -> None:
    seen: list[Received] = []
    responses = {
        "/start": redirect("/apps/alice/vision/second"),
        "/second": redirect("/third"),
        "/third": redirect("http://other.example/"),
    }
    upstream = service(by_target(responses, seen))
    reply = ask(mounted.port, "GET", "/apps" + query_form(upstream.port, "/start"))
    assert reply.value("Location") == "http://other.example/"
    assert [request.target for request in seen] == ["/start", "/second", "/third"]


# --- What the repeated request holds -------------------------------------------------------------


def test_the_fields_of_the_request_are_sent_again(host: Server, service: ServiceFactory) -> None:
    seen: list[Received] = []
    upstream = service(by_target({"/start": redirect("/there"), "/there": OK}, seen))
    headers = [("Accept", "a/b"), ("X-Own", "1"), ("Range", "bytes=0-1")]
    ask(host.port, "GET", query_form(upstream.port, "/start"), headers=headers)
    first, second = seen
    assert sorted(first.fields) == sorted(second.fields)


COOKIES = [
    pytest.param(["b=2; Path=/; HttpOnly; SameSite=Lax"], "user=alice; b=2", id="attributes"),
    pytest.param(["b=2", "b=3"], "user=alice; b=3", id="the-last-wins"),
    pytest.param(["user=bob"], "user=bob", id="replaced"),
    pytest.param(["user=x; Max-Age=0", "b=2"], "b=2", id="removed-by-max-age"),
    pytest.param(["user=x; max-age=-1", "b=2"], "b=2", id="removed-by-negative-max-age"),
    pytest.param(
        ["user=; expires=Thu, 01 Jan 1970 00:00:00 GMT", "b=2"], "b=2", id="removed-by-expires"
    ),
    pytest.param(
        ["b=2; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
        "user=alice; b=2",
        id="max-age-counts-before-expires",
    ),
    pytest.param(["b=2; Max-Age=012"], "user=alice; b=2", id="max-age-with-leading-zero"),
    pytest.param(["b=2; Expires=soon"], "user=alice; b=2", id="unreadable-expires"),
    pytest.param(
        ["b=2; Expires=Thu, 01 Jan 1970 00:00:00 +99999999999999999999"],
        "user=alice; b=2",
        id="expires-beyond-counting",
    ),
    pytest.param(["sessionid=S", "b=2"], "user=alice; sessionid=S; b=2", id="renamed-for-us"),
    pytest.param(["b=2; Path=/elsewhere", "c=3"], "user=alice; c=3", id="another-path"),
    pytest.param(["b=2; Path=/the", "c=3"], "user=alice; c=3", id="half-a-segment"),
    pytest.param(["b=2; Path=/there/x", "c=3"], "user=alice; b=2; c=3", id="the-same-path"),
    pytest.param(["b=2; Path=/there/", "c=3"], "user=alice; b=2; c=3", id="a-path-above"),
    pytest.param(['b="x y=z"; Path=/'], 'user=alice; b="x y=z"', id="odd-value"),
]


@pytest.mark.parametrize(("lines", "sent"), COOKIES)
def test_cookies_set_on_the_way_are_carried(
    host: Server, service: ServiceFactory, lines: list[str], sent: str
) -> None:
    seen: list[Received] = []
    fields = [f"Set-Cookie: {line}" for line in lines]
    responses = {"/start": redirect("/there/x", *fields), "/there/x": OK}
    upstream = service(by_target(responses, seen))
    assert get(host, upstream).status == 200
    assert [one.strip() for one in "; ".join(seen[1].values("Cookie")).split(";")] == [
        one.strip() for one in sent.split(";")
    ]


def test_cookies_set_on_the_way_reach_the_visitor_before_those_of_the_answer(
    host: Server, service: ServiceFactory
) -> None:
    """A browser keeps the last of one name."""
    answer = OK.replace(b"\r\n", b"\r\nSet-Cookie: a=last; Path=/\r\nSet-Cookie: d=4\r\n", 1)
    responses = {
        "/start": redirect("/second", "Set-Cookie: a=first; Path=/", "Set-Cookie: b=2"),
        "/second": redirect("/third", "Set-Cookie: a=second; Path=/", "Set-Cookie: sessionid=S"),
        "/third": answer,
    }
    upstream = service(by_target(responses))
    reply = get(host, upstream)
    assert reply.values("Set-Cookie") == [
        "a=first; Path=/alice/vision/",
        "b=2",
        "a=second; Path=/alice/vision/",
        f"portproxy.{upstream.port}.sessionid=S",
        "a=last; Path=/alice/vision/",
        "d=4",
    ]


# --- Redirects with something wrong about them ---------------------------------------------------

CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
# Complete within what comes with the head, or not: then the connection is not used again.
BODIES = [
    pytest.param(b"Content-Length: 4\r\n\r\nbody", True, id="with-body"),
    pytest.param(CHUNKED + b"4\r\nbody\r\n0\r\n\r\n", True, id="chunked"),
    pytest.param(b"Content-Length: 9\r\n\r\nbody", False, id="body-not-there-yet"),
    pytest.param(b"\r\nbody", False, id="close-delimited"),
    pytest.param(CHUNKED + b"4\r\nbo", False, id="cut-chunk"),
    pytest.param(b"Content-Length: 1\r\n\r\nbody", False, id="surplus"),
    pytest.param(b"Connection: close\r\nContent-Length: 4\r\n\r\nbody", False, id="close"),
]


@pytest.mark.parametrize("ending", ["stays-open", "closes"])
@pytest.mark.parametrize(("rest", "reusable"), BODIES)
def test_the_body_of_a_redirect_does_not_matter(
    host: Server, service: ServiceFactory, rest: bytes, reusable: bool, ending: str
) -> None:
    def script(exchange: Exchange) -> None:
        while head := exchange.read_head():
            if b" /there " in head:
                exchange.send(OK)
                continue
            exchange.send(b"HTTP/1.1 302 Found\r\nLocation: /there\r\n" + rest)
            if ending == "closes":
                return

    upstream = service(script)
    reply = get(host, upstream)
    assert (reply.status, reply.body) == (200, b"hi")
    assert upstream.connections == (1 if reusable and ending == "stays-open" else 2)


def test_a_redirect_with_an_endless_body_is_followed_without_reading_it(
    host: Server, service: ServiceFactory
) -> None:
    ended = threading.Event()

    def script(exchange: Exchange) -> None:
        if b" /there " in exchange.read_head():
            exchange.send(OK)
            return
        exchange.send(b"HTTP/1.1 302 Found\r\nLocation: /there\r\n\r\n")
        try:
            while True:
                exchange.send(b"x" * 65536)
        finally:
            ended.set()

    assert get(host, service(script)).body == b"hi"
    assert ended.wait(PATIENCE)


def test_a_redirect_to_a_page_that_is_never_answered_is_504(
    variants: Mapping[str, Server], service: ServiceFactory
) -> None:
    def script(exchange: Exchange) -> None:
        while b" /there " not in exchange.read_head():
            exchange.send(redirect("/there"))
        until(lambda: peer_left(exchange.sock), "the proxy leaves")

    assert get(variants["impatient"], service(script)).status == 504
