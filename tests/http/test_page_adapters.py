"""Page adapters end to end: a corrected document is a true answer, and no other is touched."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping

import pytest
import werkzeug.test

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk, plain
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.procfs import queued
from tests.support.received import Received, recording
from tests.support.servers import Server
from tests.support.service import Exchange, Service, answers
from tests.support.streams import leaving, stream_target
from tests.support.urls import MOUNT, path_form
from tests.support.waiting import PATIENCE, Steps, until
from wsgi_portproxy import PortProxy
from wsgi_portproxy.respond import documents as pages
from wsgi_portproxy.respond.documents import MAX_DOCUMENT

from .common import Encode, read_until

NAVIGATES = [("Sec-Fetch-Mode", "navigate")]
BROWSER = [*NAVIGATES, ("Accept-Encoding", "gzip, br")]
VALIDATORS = {
    "ETag": '"v1"',
    "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT",
    "Accept-Ranges": "bytes",
    "Content-MD5": "x",
    "Digest": "sha-256=x",
    "Content-Digest": "sha-256=:x:",
    "Repr-Digest": "sha-256=:x:",
}
PAGE = (
    b'<!doctype html><script id="jupyter-config-data" type="application/json">{"baseUrl": "/", '
    b'"fullAppUrl": "/lab", "token": ""}</script><p title="/lab">'
)
OTHER = b'<!doctype html><script>"baseUrl": "/"</script>'


def corrected(port: int, *, mount: str = MOUNT) -> bytes:
    prefix = f"{mount}/proxy/{port}".encode()
    return PAGE.replace(b'"/"', b'"%b/"' % prefix).replace(b'"/lab",', b'"%b/lab",' % prefix)


def head(*fields: str, status: str = "200 OK", kind: str = "text/html; charset=utf-8") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", "X-Kept: 1", *fields, "", ""]
    return "\r\n".join(lines).encode()


def whole(body: bytes, *fields: str, **kwargs: str) -> bytes:
    return head(f"Content-Length: {len(body)}", *fields, **kwargs) + body


@pytest.fixture
def adapting(variants: Mapping[str, Server]) -> Server:
    return variants["adapting"]


def navigate(server: Server, upstream: Service, method: str = "GET") -> Reply:
    return ask(server.port, method, path_form(upstream.port, "/lab"), headers=BROWSER)


# --- Corrected -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "framed",
    [
        pytest.param(whole(PAGE), id="length"),
        pytest.param(
            head("Transfer-Encoding: chunked")
            + b"".join(chunk(PAGE[i : i + 1]) for i in range(len(PAGE)))
            + chunk(b""),
            id="chunked",
        ),
        pytest.param(head("Connection: close") + PAGE, id="close-delimited"),
    ],
)
def test_a_corrected_document_has_its_true_length_and_no_validators(
    adapting: Server, service: ServiceFactory, framed: bytes
) -> None:
    validators = "".join(f"{name}: {value}\r\n" for name, value in VALIDATORS.items()).encode()
    response = framed.replace(b"X-Kept", validators + b"X-Kept", 1)
    upstream = service(answers(response, keep_open=b"close" not in framed))
    reply = navigate(adapting, upstream)
    body = corrected(upstream.port)
    assert (reply.status, reply.body, reply.complete) == (200, body, True)
    assert reply.values("Content-Length") == [str(len(body))]
    assert reply.values("Transfer-Encoding") == []
    assert [name for name in VALIDATORS if reply.values(name)] == []
    assert reply.values("X-Kept") == ["1"]


def test_a_page_is_asked_for_unencoded_and_all_else_is_as_it_is(
    adapting: Server, service: ServiceFactory
) -> None:
    """What a page is has its table in `tests/unit/test_pages.py`."""
    seen: list[Received] = []
    upstream = service(recording(seen, whole(PAGE, 'ETag: "v1"')))
    assert navigate(adapting, upstream).body == corrected(upstream.port)
    assert seen[-1].values("Accept-Encoding") == ["identity"]
    for method, fields in [("GET", [("Sec-Fetch-Mode", "cors")]), ("GET", []), ("POST", [])]:
        fields = [*fields, ("Accept-Encoding", "gzip, br")]
        reply = ask(adapting.port, method, path_form(upstream.port, "/lab"), headers=fields)
        assert (reply.body, reply.value("ETag")) == (PAGE, '"v1"')
        assert seen[-1].values("Accept-Encoding") == ["gzip, br"]
    assert upstream.connections == 2  # one of them the POST's own


def test_in_the_host_form_an_address_becomes_that_of_the_name(
    adapting: Server, service: ServiceFactory
) -> None:
    """Gradio writes the Host that it was sent into its page."""

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        root = f"http://localhost:{upstream.port}"
        exchange.send(
            whole(b'<script>window.gradio_config = {"root":"%b"};</script>' % root.encode())
        )

    upstream = service(script)
    name = f"{upstream.port}.ports.test:8000"
    reply = ask(adapting.port, "GET", "/", headers=BROWSER, host=name)
    assert f'{{"root":"http://{name}"}}'.encode() in reply.body
    assert reply.values("Content-Length") == [str(len(reply.body))]


def test_an_adapter_of_the_deployments_own(adapting: Server, service: ServiceFactory) -> None:
    upstream = service(answers(whole(b"<base href='@prefix@/'>")))
    body = f"<base href='{path_form(upstream.port, '/')}'>".encode()
    assert navigate(adapting, upstream).body == body


@pytest.mark.parametrize("mark", [b"@raise@", b"@text@"])
def test_an_adapter_that_fails_is_told_and_passed_over(
    adapting: Server, service: ServiceFactory, mark: bytes
) -> None:
    upstream = service(answers(whole(mark + PAGE, 'ETag: "v1"'), whole(mark, 'ETag: "v1"')))
    line = f"port {upstream.port}: the page adapter '"
    assert navigate(adapting, upstream).body == mark + corrected(upstream.port)
    untouched = navigate(adapting, upstream)
    assert (untouched.body, untouched.values("ETag")) == (mark, ['"v1"'])
    until(lambda: adapting.output().count(line) == 2, "each failure is told once")


# --- As it came ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "body"),
    [
        pytest.param(whole(OTHER), OTHER, id="another-page"),
        pytest.param(whole(PAGE, "Content-Encoding: gzip"), PAGE, id="gzip"),
        pytest.param(whole(PAGE, kind="application/json"), PAGE, id="json"),
        pytest.param(whole(PAGE, kind="text/htmlx"), PAGE, id="longer-type"),
        pytest.param(whole(PAGE, kind=""), PAGE, id="no-type"),
        pytest.param(whole(PAGE, status="206 Partial Content"), PAGE, id="206"),
        pytest.param(whole(b""), b"", id="empty"),
        pytest.param(head(status="304 Not Modified"), b"", id="304"),
        pytest.param(head(status="204 No Content"), b"", id="204"),
    ],
)
def test_all_other_answers_are_untouched(
    adapting: Server, service: ServiceFactory, response: bytes, body: bytes
) -> None:
    validators = "".join(f"{name}: {value}\r\n" for name, value in VALIDATORS.items()).encode()
    upstream = service(answers(response.replace(b"X-Kept", validators + b"X-Kept", 1)))
    for _ in range(2):
        reply = navigate(adapting, upstream)
        assert (reply.body, reply.complete) == (body, True)
        assert {name: reply.value(name) for name in VALIDATORS} == VALIDATORS
        if b"Content-Length" in response:
            assert reply.values("Content-Length") == [str(len(body))]
    assert upstream.connections == 1


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [("TEXT/HTML", "Identity"), ("text/html;charset=x", ""), ("application/xhtml+xml", "identity")],
)
def test_spellings_of_a_document(
    adapting: Server, service: ServiceFactory, kind: str, encoding: str
) -> None:
    upstream = service(answers(whole(PAGE, f"Content-Encoding: {encoding}", kind=kind)))
    assert navigate(adapting, upstream).body == corrected(upstream.port)


def test_switched_off_pages_are_never_looked_at(
    variants: Mapping[str, Server], service: ServiceFactory
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen, whole(PAGE, 'ETag: "v1"')))
    reply = navigate(variants["not_adapting"], upstream)
    assert (reply.body, reply.value("ETag")) == (PAGE, '"v1"')
    assert seen[0].values("Accept-Encoding") == ["gzip, br"]


# --- Large, slow and broken ones -----------------------------------------------------------------


@pytest.fixture
def visitor() -> Iterator[werkzeug.test.Client]:
    """A visitor in this process, where it can be changed how long a document is waited for."""
    proxy = PortProxy(lambda environ, start_response: [], authorizer=lambda request, target: True)
    yield werkzeug.test.Client(proxy)
    proxy.close()


def opened(visitor: werkzeug.test.Client, upstream: Service) -> werkzeug.test.TestResponse:
    return visitor.get(f"/proxy/{upstream.port}/lab", headers=BROWSER)


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("more", [0, 1, 3_000_000], ids=["just-fits", "just-not", "much-larger"])
def test_beyond_4_mib_a_document_is_untouched(
    visitor: werkzeug.test.Client,
    service: ServiceFactory,
    monkeypatch: pytest.MonkeyPatch,
    framing: str,
    more: int,
) -> None:
    monkeypatch.setattr(pages, "_PAUSE", PATIENCE)  # as long as it takes
    monkeypatch.setattr(pages, "_IN_ALL", PATIENCE)
    document = PAGE + b"x" * (MAX_DOCUMENT - len(PAGE) + more)
    response = whole(document, 'ETag: "v1"')
    if framing == "chunked":
        pieces = [document[i : i + 1_000_000] for i in range(0, len(document), 1_000_000)]
        response = head("Transfer-Encoding: chunked", 'ETag: "v1"')
        response += b"".join(map(chunk, [*pieces, b""]))
    reply = opened(visitor, upstream := service(answers(response)))
    assert reply.status_code == 200
    if more:
        assert (reply.data == document, reply.headers["ETag"]) == (True, '"v1"')
    else:
        assert reply.data == document.replace(PAGE, corrected(upstream.port, mount=""))
        assert "ETag" not in reply.headers


@pytest.mark.parametrize("encode", [chunk, plain])
def test_a_document_in_pieces_still_arrives_in_pieces(
    adapting: Server, service: ServiceFactory, encode: Encode
) -> None:
    """Of one that appears as a notebook runs (Voila's), the beginning is corrected."""
    start = head("Transfer-Encoding: chunked" if encode is chunk else "Connection: close")
    steps = Steps(start + encode(PAGE), *map(encode, [b"<p>more", PAGE, b""]))
    upstream = service(steps)
    with Client(adapting.port) as client:
        target = path_form(upstream.port, "/progress")
        client.send(request_bytes("GET", target, headers=BROWSER))
        steps.go()
        assert client.read_head().startswith(b"HTTP/1.1 200 OK")
        read_until(client, corrected(upstream.port))
        for piece in (b"<p>more", PAGE):
            steps.go()
            read_until(client, piece)
        steps.go(2)


@pytest.mark.parametrize(
    ("limit", "start", "first", "again"),
    [
        pytest.param("_IN_ALL", head("Transfer-Encoding: chunked"), chunk(b"<p>one"),
                     chunk(b"<p>another line"), id="it-never-pauses"),
        pytest.param("_IN_ALL_WITH_LENGTH", head("Content-Length: 100000"), b"<p>one", b"",
                     id="it-has-a-length-and-stalls"),
    ],
)  # fmt: skip
def test_a_document_is_not_kept_for_long(
    visitor: werkzeug.test.Client,
    service: ServiceFactory,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    start: bytes,
    first: bytes,
    again: bytes,
) -> None:
    """The first is a page that shows how something progresses: a line every now and then."""
    monkeypatch.setattr(pages, "_PAUSE", PATIENCE)
    monkeypatch.setattr(pages, limit, 0.3)
    has_come = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(start + first)
        while not has_come.wait(0.05):
            exchange.send(again)

    response = opened(visitor, service(script))
    assert next(response.iter_encoded()).startswith(b"<p>one")
    has_come.set()
    response.close()


def has_taken(sock: socket.socket) -> bool:
    """Whether the other side has read all that was sent to it."""
    return queued((sock.getpeername()[1], sock.getsockname()[1]))[0][1] == 0


@pytest.mark.parametrize(
    ("start", "sent"),
    [
        pytest.param(head("Content-Length: 5000"), PAGE, id="length"),
        pytest.param(head("Content-Length: 5000"), b"", id="length-no-byte"),
        pytest.param(head("Content-Length: 4000000"), PAGE + b"x" * 3_000_000, id="length-large"),
        pytest.param(head("Transfer-Encoding: chunked"), chunk(PAGE), id="chunked"),
        pytest.param(head("Transfer-Encoding: chunked"), chunk(PAGE)[:-30], id="within-a-chunk"),
        pytest.param(head("Transfer-Encoding: chunked"), chunk(PAGE) + b"0x3\r\n", id="malformed"),
    ],
)
def test_a_document_that_is_cut_looks_cut(
    adapting: Server, service: ServiceFactory, start: bytes, sent: bytes
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(start)
        until(lambda: has_taken(exchange.sock), "the head is read: malformed with it, it is a 502")
        exchange.send(sent)

    upstream = service(script)
    with Client(adapting.port) as client:
        target = stream_target(upstream.port)
        client.send(request_bytes("GET", target, headers=BROWSER))
        if len(sent) > 1_000_000:
            leaving(adapting, target)  # as what a visitor is slow to take does in the end
        reply = client.reply()
        assert (reply.status, reply.complete) == (200, False)
        assert not client.fill()  # the connection is closed: nothing can be taken for the rest
    # Without a length what came can be corrected, and is where the data is whole.
    ends = [sent] if b"chunked" not in start else [PAGE, corrected(upstream.port)]
    assert any(end.startswith(reply.body) for end in ends)


def test_a_document_that_comes_byte_by_byte_is_not_waited_for_to_its_end(
    adapting: Server, service: ServiceFactory
) -> None:
    """A page without end, in chunks of a byte: what has come after a second is passed on, long
    before that is as much as a document may have."""
    sent = 0

    def script(exchange: Exchange) -> None:
        nonlocal sent
        exchange.read_head()
        exchange.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            while True:
                exchange.send(b"1\r\nx\r\n" * 10_000)
                sent += 10_000

    upstream = service(script)
    with Client(adapting.port, timeout=30) as visitor:
        visitor.send(request_bytes("GET", path_form(upstream.port, "/"), headers=BROWSER))
        assert visitor.read_head().startswith(b"HTTP/1.1 200 ")
        assert sent < MAX_DOCUMENT / 2
