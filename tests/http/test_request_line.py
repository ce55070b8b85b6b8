"""Method, path and query arrive byte for byte, without the `port` of the query form.

One of each kind that a server may treat in its own way; `tests/unit/test_locate.py` has the others.
"""

from __future__ import annotations

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, ask, request_bytes
from tests.support.received import Received, recording
from tests.support.servers import Server
from tests.support.urls import Form, both_forms, path_form, query_form


@pytest.mark.case("methods with and without body; CONNECT and TRACE are 405")
@both_forms
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND"])
def test_a_request_without_body_stays_without_one(
    host: Server, service: ServiceFactory, form: Form, method: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    reply = ask(host.port, method, form(upstream.port, "/x"))
    assert reply.status == 200
    assert reply.body == (b"" if method == "HEAD" else b"hi")
    assert reply.value("Content-Length") == "2"
    assert (seen[0].method, seen[0].target, seen[0].body) == (method, "/x", b"")
    assert not seen[0].names & {"content-length", "transfer-encoding", "content-type"}


@pytest.mark.case("methods with and without body; CONNECT and TRACE are 405")
@both_forms
@pytest.mark.parametrize("method", ["GET", "PUT", "PROPFIND"])
def test_a_body_with_length_arrives_as_sent(
    host: Server, service: ServiceFactory, form: Form, method: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    body = bytes(range(256)) * 3
    headers = [("Content-Type", 'multipart/form-data; boundary="=_x"')]
    reply = ask(host.port, method, form(upstream.port, "/x"), headers=headers, body=body)
    assert reply.status == 200
    assert (seen[0].method, seen[0].body, seen[0].complete) == (method, body, True)
    assert seen[0].values("Content-Length") == [str(len(body))]
    assert seen[0].values("Content-Type") == ['multipart/form-data; boundary="=_x"']
    assert not seen[0].values("Transfer-Encoding")


@both_forms
@pytest.mark.parametrize("method", ["GET", "PUT", "PROPFIND"])
def test_a_chunked_body_arrives_chunked(
    host: Server, service: ServiceFactory, form: Form, method: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    chunks = b"5;ext=1\r\nhello\r\n01\r\n \r\n5\r\nworld\r\n0\r\nX-Sum: dropped\r\n\r\n"
    with Client(host.port) as client:
        head = request_bytes(
            method, form(upstream.port, "/x"), headers=[("Transfer-Encoding", "chunked")]
        )
        client.send(head + chunks)
        assert client.reply(method=method).status == 200
        # The framing was read to its end: the next request on the connection is understood.
        client.send(request_bytes("GET", form(upstream.port, "/next")))
        assert client.reply().status == 200
    assert (seen[0].method, seen[0].body, seen[0].complete) == (method, b"hello world", True)
    assert seen[0].values("Transfer-Encoding") == ["chunked"]
    assert not seen[0].values("Content-Length")
    assert seen[1].target == "/next"


@pytest.mark.parametrize(("method", "lengths"), [("GET", []), ("POST", ["0"])])
def test_a_content_length_of_zero_is_told_where_it_means_something(
    host: Server, service: ServiceFactory, method: str, lengths: list[str]
) -> None:
    seen: list[Received] = []
    target = query_form(service(recording(seen)).port, "/x")
    assert ask(host.port, method, target, headers=[("Content-Length", "0")]).status == 200
    assert seen[0].values("Content-Length") == lengths
    assert not seen[0].values("Transfer-Encoding")


@pytest.mark.case("methods with and without body; CONNECT and TRACE are 405")
@both_forms
@pytest.mark.parametrize("cookie", ["user=alice", ""], ids=["alice", "nobody"])
@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_connect_and_trace_are_refused_before_the_authorizer(
    host: Server, service: ServiceFactory, form: Form, method: str, cookie: str
) -> None:
    upstream = service(recording([]))
    reply = ask(host.port, method, form(upstream.port, "/x"), cookie=cookie)
    assert reply.status == 405
    assert reply.value("Allow") == "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
    assert upstream.connections == 0


@pytest.mark.case("only the pair is cut out of the query; a bare ? stays")
@pytest.mark.parametrize(
    ("query", "forwarded"),
    [
        pytest.param("a=1&{port}&b=%2B+&a", "?a=1&b=%2B+&a", id="in-the-middle"),
        pytest.param("{port}&&=b&a=", "?&=b&a=", id="empty-pairs"),
        pytest.param("{port}&q=%zz%20;port=1", "?q=%zz%20;port=1", id="escapes-and-semicolons"),
        pytest.param("q=?/:@!$'()*,[]|^`{{}}\"\\&{port}", "?q=?/:@!$'()*,[]|^`{}\"\\", id="odd"),
        pytest.param("u=http://h/?a=1%26port=2&{port}", "?u=http://h/?a=1%26port=2", id="nested"),
    ],
)
def test_only_the_port_pair_is_cut_out_of_the_query(
    host: Server, mounted: Server, service: ServiceFactory, query: str, forwarded: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    query = query.format(port=f"port={upstream.port}")
    assert ask(host.port, "GET", f"/alice/vision/x?{query}").status == 200
    assert ask(mounted.port, "GET", f"/apps/alice/vision/x?{query}").status == 200
    assert [request.target for request in seen] == [f"/x{forwarded}"] * 2


@pytest.mark.parametrize("query", ["", "?", "?a=1&port=9999&b=%2B+&c", "??%zz&&="])
def test_the_query_of_the_path_form_is_the_services_own(
    host: Server, mounted: Server, service: ServiceFactory, query: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    assert ask(host.port, "GET", path_form(upstream.port, f"/x{query}")).status == 200
    assert ask(mounted.port, "GET", "/apps" + path_form(upstream.port, f"/x{query}")).status == 200
    assert [request.target for request in seen] == [f"/x{query}"] * 2


PATHS = [
    "/",
    "/a%2Fb%2f%25zz",
    "//two//slashes//",
    "/~user/@a:b+c|d;e=f,!$&'()*",
    "/a%20b%09c",
    "/%E2%82%AC%FF%FE",
    "/%zz%20%2F%25",
    "/100%",
    '/[x]{y}^`"<>%5C',
    "/a%00b",
    "/a%0D%0AX-Injected:%201",
    "/a%3Fb%23c",
    "/./a/../b/..c/...",
    "/proxy/16006/x",
    "/http://other.example/x",
    "/" + "a/" * 1500,
]


@pytest.mark.case("path bytes")
@both_forms
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:24])
def test_the_path_keeps_its_bytes(
    host: Server, service: ServiceFactory, form: Form, path: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    if form is query_form and path.startswith("/proxy/16006"):
        path = path.replace("16006", "readme")  # a port there makes it the path form
    assert ask(host.port, "GET", form(upstream.port, path)).status == 200
    assert seen[0].target == path


@both_forms
@pytest.mark.parametrize("path", ["/a%2Fb", "//two//", "/%zz%25", "/apps/alice"])
def test_the_path_keeps_its_bytes_below_a_script_name(
    mounted: Server, service: ServiceFactory, form: Form, path: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    assert ask(mounted.port, "GET", "/apps" + form(upstream.port, path)).status == 200
    assert seen[0].target == path
    assert seen[0].values("X-Forwarded-Prefix") == [
        "/apps" + form(upstream.port, "").partition("?")[0]
    ]


def test_a_path_form_without_its_slash_is_sent_to_it(host: Server, service: ServiceFactory) -> None:
    upstream = service(recording([]))
    reply = ask(host.port, "GET", path_form(upstream.port, "?a=1"))
    assert (reply.status, reply.body) == (308, b"")
    assert reply.value("Location") == path_form(upstream.port, "/?a=1")
    assert upstream.connections == 0
