"""Which fields arrive at the service, and with which values.

One of each kind; the tables are those of `tests/unit/test_headers_to_service.py`.
"""

from __future__ import annotations

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, ask, request_bytes
from tests.support.received import Received, recording
from tests.support.servers import Server
from tests.support.urls import MOUNT, Form, both_forms, query_form

# What a service sees of a request that has only Host and Cookie.
OURS = {"host", "cookie", "via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-prefix"}


@pytest.mark.case("nothing is added; duplicates keep order and count")
@both_forms
def test_nothing_is_added_but_what_says_where_we_are(
    host: Server, service: ServiceFactory, form: Form
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    target = form(upstream.port, "/x")
    assert ask(host.port, "GET", target).status == 200
    prefix = target.partition("?")[0].removesuffix("/x")
    assert seen[0].names == OURS
    assert len(seen[0].fields) == len(OURS)
    assert seen[0].values("Host") == [f"localhost:{upstream.port}"]
    assert seen[0].values("Cookie") == ["user=alice"]
    assert seen[0].values("X-Forwarded-For") == ["127.0.0.1"]
    assert seen[0].values("X-Forwarded-Proto") == ["http"]
    assert seen[0].values("X-Forwarded-Prefix") == [prefix]
    assert seen[0].values("Via")[0].startswith("1.1 portproxy-")


@pytest.mark.case("hop-by-hop fields and Upgrade: h2c")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Keep-Alive", "timeout=5, max=100"),
        ("Proxy-Authorization", "Basic c2VjcmV0"),
        ("TE", "trailers, deflate"),
        ("Upgrade", "h2c"),
    ],
)
def test_a_hop_by_hop_field_is_not_passed(
    host: Server, service: ServiceFactory, name: str, value: str
) -> None:
    seen: list[Received] = []
    target = query_form(service(recording(seen)).port, "/x")
    for spelling in (name, name.swapcase()):
        headers = [(spelling, value), ("X-Kept", "1")]
        assert ask(host.port, "GET", target, headers=headers).status == 200
    assert [request.names for request in seen] == [OURS | {"x-kept"}] * 2


@pytest.mark.case("hop-by-hop fields and Upgrade: h2c")
def test_an_upgrade_to_http_2_is_an_ordinary_request(host: Server, service: ServiceFactory) -> None:
    seen: list[Received] = []
    headers = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
    ]
    target = query_form(service(recording(seen)).port, "/x")
    reply = ask(host.port, "GET", target, headers=headers)
    assert (reply.status, reply.body, reply.interim) == (200, b"hi", [])
    assert seen[0].names == OURS


@pytest.mark.case("Connection names fields, but not ours")
@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        pytest.param(["close", "X-Some", ""], {"x-other"}, id="several-lines"),
        pytest.param(["close,\tx-some\t, ,X-Other"], set(), id="tabs-and-two-names"),
        pytest.param(["X-Some=1; X-Other"], {"x-some", "x-other"}, id="malformed"),
    ],
)
def test_fields_that_connection_names_are_not_passed(
    host: Server, service: ServiceFactory, lines: list[str], kept: set[str]
) -> None:
    seen: list[Received] = []
    target = query_form(service(recording(seen)).port, "/x")
    headers = [("Connection", line) for line in lines]
    headers[1:1] = [("X-Some", "1"), ("X-Other", "2")]
    assert ask(host.port, "GET", target, headers=headers).status == 200
    assert seen[0].names == OURS | kept


@pytest.mark.case("Connection names fields, but not ours")
def test_connection_cannot_remove_what_we_set(host: Server, service: ServiceFactory) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    target = query_form(upstream.port, "/x")
    names = "Host, Content-Length, Content-Type, Cookie, Via, Origin, Referer, Transfer-Encoding"
    headers = [
        ("Connection", f"close, {names}, X-Forwarded-For, x-forwarded-proto, X-Forwarded-Prefix"),
        ("Content-Type", "text/plain"),
        ("Origin", "http://app.test"),
        ("Referer", f"http://app.test/alice/vision/?port={upstream.port}"),
    ]
    assert ask(host.port, "POST", target, headers=headers, body=b"body").status == 200
    assert seen[0].names == OURS | {"content-length", "content-type", "origin", "referer"}
    assert seen[0].body == b"body"
    assert seen[0].values("Origin") == [f"http://localhost:{upstream.port}"]


def test_a_visitors_own_forwarding_fields_are_dropped(
    host: Server, service: ServiceFactory
) -> None:
    seen: list[Received] = []
    names = ["X-Forwarded-For", "X-Forwarded-Prefix", "X-Forwarded-User", "Forwarded", "X-Real-IP"]
    headers = [(spelling, "6.6.6.6") for name in names for spelling in (name, name.lower())]
    target = query_form(service(recording(seen)).port, "/x")
    assert ask(host.port, "GET", target, headers=headers).status == 200
    assert seen[0].names == OURS
    assert seen[0].values("X-Forwarded-For") == ["127.0.0.1"]
    assert seen[0].values("X-Forwarded-Prefix") == [MOUNT]


PASSED = [
    ("Accept-Encoding", "gzip, br;q=0.5"),
    ("Accept-Encoding", "identity"),
    ("Accept-Encoding", ""),
    ("Authorization", 'Digest username="x", realm="a, b"'),
    ("Range", "bytes=0-3,-2"),
    ("User-Agent", "curl/8.0 (odd; \xe9)"),
    ("X-Long", "x" * 8000),
    ("X-Quoted", '"a\\"b", \tc'),
]


@pytest.mark.case("Range, validators, Accept-Encoding; 206, 304, gzip")
@both_forms
@pytest.mark.parametrize(("name", "value"), PASSED, ids=[f"{n}-{v[:8]}" for n, v in PASSED])
def test_an_end_to_end_field_passes_unchanged(
    host: Server, service: ServiceFactory, form: Form, name: str, value: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    assert ask(host.port, "GET", form(upstream.port, "/x"), headers=[(name, value)]).status == 200
    assert seen[0].values(name) == [value]
    assert seen[0].names == OURS | {name.lower()}


@pytest.mark.case("nothing is added; duplicates keep order and count")
def test_repeated_fields_keep_their_order(host: Server, service: ServiceFactory) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    headers = [("X-Many", "3"), ("Accept", "a/b"), ("X-Many", "1, 4"), ("X-MANY", "1")]
    assert ask(host.port, "GET", query_form(upstream.port, "/x"), headers=headers).status == 200
    # WSGI hands over one string a name; what it was joined from is still all there, in order.
    assert [v.strip() for v in ",".join(seen[0].values("X-Many")).split(",")] == [
        "3",
        "1",
        "4",
        "1",
    ]


def test_repeated_cookie_lines_all_arrive(host: Server, service: ServiceFactory) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    headers = [("Cookie", 'a="x, y"; b=2'), ("Cookie", "c=3")]
    assert ask(host.port, "GET", query_form(upstream.port, "/x"), headers=headers).status == 200
    cookies = "; ".join(seen[0].values("Cookie"))
    for pair in ("user=alice", 'a="x, y"', "b=2", "c=3"):
        assert pair in cookies


@pytest.mark.case("Expect: 100-continue")
@both_forms
def test_expect_is_answered_here_and_not_passed_on(
    host: Server, service: ServiceFactory, form: Form
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    headers = [("Expect", "100-continue"), ("Content-Length", "5")]
    with Client(host.port) as client:
        client.send(request_bytes("PUT", form(upstream.port, "/x"), headers=headers))
        assert client.read_head().startswith(b"HTTP/1.1 100 ")
        client.send(b"hello")
        reply = client.reply()
    assert (reply.status, reply.interim) == (200, [])
    assert (seen[0].body, seen[0].values("Expect")) == (b"hello", [])


def test_a_visitor_that_speaks_http_1_0_is_served(host: Server, service: ServiceFactory) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    head = request_bytes("GET", query_form(upstream.port, "/x")).replace(b"HTTP/1.1", b"HTTP/1.0")
    with Client(host.port) as client:
        client.send(head)
        reply = client.reply()
    assert (reply.status, reply.body) == (200, b"hi")
    assert seen[0].names == OURS
