"""Page adapters end to end: a corrected document is a true answer, and no other is touched."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.received import Received, recording
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, Service, answers
from tests.support.urls import path_form, query_form
from tests.support.waiting import Steps
from wsgi_portproxy.pages import MAX_DOCUMENT

from .common import read_until

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
    b'"fullAppUrl": "/lab", "token": ""}</script><a href="/lab">'
)
OTHER = b'<!doctype html><script>"baseUrl": "/"</script>'


def corrected(port: int) -> bytes:
    prefix = path_form(port, "").encode()
    return PAGE.replace(b'"/"', b'"%b/"' % prefix).replace(b'"/lab",', b'"%b/lab",' % prefix)


def head(
    *fields: str, status: str = "200 OK", kind: str = "text/html; charset=utf-8", minor: int = 1
) -> bytes:
    lines = [f"HTTP/1.{minor} {status}", f"Content-Type: {kind}", "X-Kept: 1", *fields, "", ""]
    return "\r\n".join(lines).encode()


def whole(body: bytes, *fields: str, **kwargs: str) -> bytes:
    return head(f"Content-Length: {len(body)}", *fields, **kwargs) + body  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def adapting() -> Iterator[Server]:
    with gunicorn("tests.support.pageapp:adapting") as server:
        yield server
        # Of the adapters that are made to fail, and of nothing else.
        output = server.output()
        assert output.count("Traceback") == output.count("the page adapter '"), output[-9000:]


@pytest.fixture(scope="module")
def not_adapting() -> Iterator[Server]:
    with gunicorn("tests.support.pageapp:not_adapting") as server:
        yield server


def navigate(server: Server, upstream: Service, method: str = "GET") -> Reply:
    return ask(server.port, method, path_form(upstream.port, "/lab"), headers=BROWSER)


# --- Corrected -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "framed",
    [
        pytest.param(whole(PAGE), id="length"),
        pytest.param(head("Transfer-Encoding: chunked") + chunk(PAGE) + chunk(b""), id="chunked"),
        pytest.param(
            head("Transfer-Encoding: chunked")
            + b"".join(chunk(PAGE[i : i + 1]) for i in range(len(PAGE)))
            + chunk(b""),
            id="byte-by-byte",
        ),
        pytest.param(head("Connection: close") + PAGE, id="close-delimited"),
        pytest.param(head(minor=0) + PAGE, id="http-1.0"),
    ],
)
def test_a_corrected_document_has_its_true_length_and_no_validators(
    adapting: Server, service: ServiceFactory, framed: bytes
) -> None:
    validators = "".join(f"{name}: {value}\r\n" for name, value in VALIDATORS.items()).encode()
    response = framed.replace(b"X-Kept", validators + b"X-Kept", 1)
    upstream = service(answers(response, keep_open=b"close" not in framed and b"1.1" in framed))
    reply = navigate(adapting, upstream)
    body = corrected(upstream.port)
    assert (reply.status, reply.body, reply.complete) == (200, body, True)
    assert reply.values("Content-Length") == [str(len(body))]
    assert reply.values("Transfer-Encoding") == []
    assert [name for name in VALIDATORS if reply.values(name)] == []
    assert reply.values("X-Kept") == ["1"]


def test_a_page_is_asked_for_unencoded(adapting: Server, service: ServiceFactory) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen, whole(PAGE)))
    navigate(adapting, upstream)
    assert seen[-1].values("Accept-Encoding") == ["identity"]
    for url, fields in [
        (path_form(upstream.port, "/x.js"), [("Sec-Fetch-Mode", "cors")]),
        (query_form(upstream.port, "/x"), []),
    ]:
        ask(adapting.port, "GET", url, headers=[*fields, ("Accept-Encoding", "gzip, br")])
        assert seen[-1].values("Accept-Encoding") == ["gzip, br"]
    ask(adapting.port, "GET", path_form(upstream.port, "/x.js"))
    assert seen[-1].values("Accept-Encoding") == []


def test_the_connection_is_kept(adapting: Server, service: ServiceFactory) -> None:
    upstream = service(answers(whole(PAGE)))
    for _ in range(3):
        assert navigate(adapting, upstream).body == corrected(upstream.port)
    assert upstream.connections == 1


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
    before = adapting.output().count("the page adapter '")
    assert navigate(adapting, upstream).body == mark + corrected(upstream.port)
    untouched = navigate(adapting, upstream)
    assert (untouched.body, untouched.values("ETag")) == (mark, ['"v1"'])
    assert adapting.output().count("the page adapter '") == before + 2


# --- As it came ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "body"),
    [
        pytest.param(whole(OTHER), OTHER, id="another-page"),
        pytest.param(whole(PAGE, "Content-Encoding: gzip"), PAGE, id="gzip"),
        pytest.param(whole(PAGE, "Content-Encoding: br"), PAGE, id="brotli"),
        pytest.param(whole(PAGE, kind="application/json"), PAGE, id="json"),
        pytest.param(whole(PAGE, kind="text/plain"), PAGE, id="text"),
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


@pytest.mark.parametrize("kind", ["TEXT/HTML", "text/html;charset=x", "application/xhtml+xml"])
@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
def test_spellings_of_a_document(
    adapting: Server, service: ServiceFactory, kind: str, encoding: str
) -> None:
    upstream = service(answers(whole(PAGE, f"Content-Encoding: {encoding}", kind=kind)))
    assert navigate(adapting, upstream).body == corrected(upstream.port)


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        pytest.param("GET", [], id="program"),
        pytest.param("GET", [("Sec-Fetch-Mode", "cors")], id="fetch"),
        pytest.param("POST", NAVIGATES, id="form"),
    ],
)
def test_what_is_no_page_that_is_opened_is_untouched(
    adapting: Server, service: ServiceFactory, method: str, fields: list[tuple[str, str]]
) -> None:
    upstream = service(answers(whole(PAGE, 'ETag: "v1"')))
    for form in (path_form, query_form):
        if form is query_form and fields == NAVIGATES:
            continue  # moves to the path form
        reply = ask(adapting.port, method, form(upstream.port, "/lab"), headers=fields)
        assert (reply.body, reply.value("ETag")) == (PAGE, '"v1"')


def test_a_head_is_untouched(adapting: Server, service: ServiceFactory) -> None:
    upstream = service(answers(head(f"Content-Length: {len(PAGE)}", 'ETag: "v1"')))
    reply = navigate(adapting, upstream, "HEAD")
    assert (reply.values("Content-Length"), reply.value("ETag")) == ([str(len(PAGE))], '"v1"')


def test_switched_off_pages_are_never_looked_at(
    not_adapting: Server, service: ServiceFactory
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen, whole(PAGE, 'ETag: "v1"')))
    reply = navigate(not_adapting, upstream)
    assert (reply.body, reply.value("ETag")) == (PAGE, '"v1"')
    assert seen[0].values("Accept-Encoding") == ["gzip, br"]


# --- Large, slow and broken ones -----------------------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("more", [0, 1, 3_000_000], ids=["just-fits", "just-not", "much-larger"])
def test_beyond_4_mib_a_document_is_untouched(
    adapting: Server, service: ServiceFactory, framing: str, more: int
) -> None:
    document = PAGE + b"x" * (MAX_DOCUMENT - len(PAGE) + more)
    response = whole(document, 'ETag: "v1"')
    if framing == "chunked":
        pieces = [document[i : i + 1_000_000] for i in range(0, len(document), 1_000_000)]
        response = head("Transfer-Encoding: chunked", 'ETag: "v1"')
        response += b"".join(map(chunk, [*pieces, b""]))
    upstream = service(answers(response))
    reply = navigate(adapting, upstream)
    assert (reply.status, reply.complete) == (200, True)
    if more:
        assert (reply.body == document, reply.value("ETag")) == (True, '"v1"')
    else:
        assert reply.body == document.replace(PAGE, corrected(upstream.port))


@pytest.mark.parametrize("encode", [chunk, lambda data: data], ids=["chunked", "close-delimited"])
def test_a_document_in_pieces_still_arrives_in_pieces(
    adapting: Server, service: ServiceFactory, encode: object
) -> None:
    encoded = chunk if encode is chunk else bytes
    start = head("Transfer-Encoding: chunked" if encode is chunk else "Connection: close")
    pieces = [b"<!doctype html>", PAGE, b"the end"]
    steps = Steps(start, *map(encoded, pieces), encoded(b"") or b"")
    with Client(adapting.port) as client:
        client.send(
            request_bytes("GET", path_form(service(steps).port, "/progress"), headers=BROWSER)
        )
        steps.go()
        assert client.read_head().startswith(b"HTTP/1.1 200 OK")
        for piece in pieces:
            steps.go()
            read_until(client, piece)
        steps.go(2)


def test_of_a_document_in_pieces_the_beginning_is_corrected(
    adapting: Server, service: ServiceFactory
) -> None:
    """Voila's appears as the notebook runs, and begins with its configuration."""
    head_ = head("Transfer-Encoding: chunked", 'ETag: "v1"')
    steps = Steps(head_ + chunk(PAGE), chunk(b"<p>more") + chunk(PAGE) + chunk(b""))
    upstream = service(steps)
    with Client(adapting.port) as client:
        target = path_form(upstream.port, "/voila")
        client.send(request_bytes("GET", target, headers=BROWSER))
        steps.go()
        read_until(client, b"\r\n\r\n")
        read_until(client, corrected(upstream.port))
        steps.go(2)
        read_until(client, b"<p>more")
        while client.fill():
            pass
        assert PAGE in client.buffer


def test_a_document_that_never_pauses_is_not_kept_for_long(
    adapting: Server, service: ServiceFactory
) -> None:
    """A page that shows how something progresses writes a line every now and then."""

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(head("Transfer-Encoding: chunked"))
        while not exchange.peer_closed(0.1):
            exchange.send(chunk(b"<p>another line"))

    with Client(adapting.port) as client:
        begin = time.monotonic()
        target = path_form(service(script).port, "/progress")
        client.send(request_bytes("GET", target, headers=BROWSER))
        read_until(client, b"another line")
        assert time.monotonic() - begin < 4


def test_a_document_with_a_length_that_stalls_is_not_kept_for_ever(
    adapting: Server, service: ServiceFactory
) -> None:
    steps = Steps(head("Content-Length: 1000") + PAGE, b"x" * (1000 - len(PAGE)))
    with Client(adapting.port) as client:
        target = path_form(service(steps).port, "/slow")
        client.send(request_bytes("GET", target, headers=BROWSER))
        steps.go()
        read_until(client, PAGE)
        steps.go(2)
        assert client.fill()


@pytest.mark.parametrize(
    ("start", "sent"),
    [
        pytest.param(head("Content-Length: 5000"), PAGE, id="length"),
        pytest.param(head("Content-Length: 5000"), b"", id="length-no-byte"),
        pytest.param(head("Content-Length: 4000000"), PAGE + b"x" * 3_000_000, id="length-large"),
        pytest.param(head("Transfer-Encoding: chunked"), chunk(PAGE), id="chunked"),
        pytest.param(head("Transfer-Encoding: chunked"), b"", id="chunked-no-byte"),
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
        time.sleep(0.05)  # what is malformed together with the head is a 502
        exchange.send(sent)

    upstream = service(script)
    with Client(adapting.port) as client:
        target = path_form(upstream.port, "/cut")
        client.send(request_bytes("GET", target, headers=BROWSER))
        if len(sent) > 1_000_000:
            time.sleep(1.5)  # until a response that a visitor is slow to take leaves its thread
        reply = client.reply()
        assert (reply.status, reply.complete) == (200, False)
        assert not client.fill()  # the connection is closed: nothing can be taken for the rest
    # Without a length what came can be corrected, and is where the data is whole.
    ends = [sent] if b"chunked" not in start else [PAGE, corrected(upstream.port)]
    assert any(end.startswith(reply.body) for end in ends)
