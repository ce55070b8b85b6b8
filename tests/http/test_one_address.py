"""One address, told the same everywhere, on https sites and on http."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import ask, own_session, without_copies
from tests.support.received import OK, Received, recording, with_fields
from tests.support.servers import Server
from tests.support.service import answers
from tests.support.urls import path_form, query_form
from tests.support.websocket import STANDARD, echoing

HTTPS = ("X-Forwarded-Proto", "https")  # as a front-end says it, which gunicorn believes


@pytest.mark.promise("A service is told one address")
@pytest.mark.case("one address, told the same everywhere")
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("authority", ["app.test", "app.test:8443"])
@pytest.mark.parametrize("identity", ["local", "external"])
@pytest.mark.parametrize("form", [path_form, query_form])
def test_one_story(
    host: Server,
    variants: Mapping[str, Server],
    service: ServiceFactory,
    identity: str,
    authority: str,
    scheme: str,
    form: object,
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    assert callable(form)
    server = host if identity == "local" else variants["external"]
    site = f"{scheme}://{authority}"
    told = site if identity == "external" else f"http://localhost:{upstream.port}"
    here = site + form(upstream.port, "/a?b")
    fields = [
        ("X-Forwarded-Proto", scheme),
        *(("Origin", site), ("Referer", here), ("Destination", here), ("HX-Current-URL", here)),
        ("If", f"<{here}> (<urn:x>)"),
    ]
    ask(server.port, "POST", form(upstream.port, "/x"), headers=fields, host=authority, body=b"x")
    [request] = seen
    assert request.values("Host") == [told.partition("://")[2]]
    assert request.values("X-Forwarded-Proto") == [told.partition("://")[0]]
    assert request.values("Origin") == [told]
    assert request.values("Destination") == [f"{told}/a?b"]
    assert request.values("If") == [f"<{told}/a?b> (<urn:x>)"]
    for name in ("Referer", "HX-Current-URL"):
        [page] = request.values(name)
        assert page.startswith(f"{told}/")
    hosts = [told.partition("://")[2]] if identity == "external" else []
    assert request.values("X-Forwarded-Host") == hosts


@pytest.mark.case("request fields with URLs")
def test_a_destination_that_climbs_out_reaches_no_service(
    host: Server, service: ServiceFactory
) -> None:
    upstream = service(answers(OK))
    fields = [("Destination", f"http://app.test{path_form(upstream.port, '/../x')}")]
    reply = ask(host.port, "MOVE", path_form(upstream.port, "/a"), headers=fields)
    assert (reply.status, upstream.connections) == (400, 0)


@pytest.mark.case("a service's cookies on an https site")
def test_cookies_get_secure_on_https(host: Server, service: ServiceFactory) -> None:
    upstream = service(
        with_fields("Set-Cookie: a=1; Path=/", "Set-Cookie: b=2; secure", "Set-Cookie: session=3")
    )
    for fields, end in (([HTTPS], "; Secure"), ([], "")):
        target = path_form(upstream.port, "/x")
        reply = ask(host.port, "GET", target, headers=fields, cookie=own_session())
        assert without_copies(reply.values("Set-Cookie")) == [
            f"a=1; Path={path_form(upstream.port, '/')}{end}",
            "b=2; secure",
            f"portproxy.{upstream.port}.session=3{end}",
        ]


@pytest.mark.case("a service's own port and proxy in its URLs")
@pytest.mark.parametrize(
    "target",
    [
        *("/api/v1/connect?port=5432", "/api/v1/?port=COM3", "/api/v1/connect?port=16007"),
        *("/api/v1/connect?port=1&port=2", "/api/v1/proxy/8080/x", "/api/v1/proxy/99999/x"),
        *("/alice/vision/?port=16007", "/x?port=1"),
    ],
)
def test_what_a_page_fetches_is_its_services_whatever_it_names(
    host: Server, service: ServiceFactory, target: str
) -> None:
    upstream = service(answers(OK))
    fields = [("Referer", f"http://app.test{path_form(upstream.port, '/lab')}")]
    for more in ([], [("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Site", "same-origin")]):
        reply = ask(host.port, "GET", target, headers=[*fields, *more])
        assert (reply.status, reply.value("Location")) == (307, path_form(upstream.port, target))


def test_what_leads_to_a_port_on_purpose_does(host: Server, service: ServiceFactory) -> None:
    upstream, other = service(answers(OK)), service(answers(OK))
    page = [("Referer", f"http://app.test{path_form(upstream.port, '/lab')}")]
    followed = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Site", "same-origin")]
    # A link that is followed.
    reply = ask(host.port, "GET", query_form(other.port, "/"), headers=[*page, *followed])
    assert reply.value("Location") == path_form(other.port, "/")
    # Another service's prefix under the same mount, to which a redirect may have led.
    assert ask(host.port, "GET", path_form(other.port, "/x"), headers=page).body == b"hi"
    assert ask(host.port, "GET", query_form(upstream.port, "/x"), headers=page).body == b"hi"
    # What a page of the app asks for.
    app = [("Referer", "http://app.test/alice/vision/")]
    assert ask(host.port, "GET", query_form(other.port, "/x"), headers=app).body == b"hi"


def test_a_relative_url_does_not_climb_out_of_the_prefix(
    host: Server, service: ServiceFactory
) -> None:
    """A browser stops at a service's root, and here it does not know where that is."""
    upstream = service(answers(OK))
    fields = [("Referer", f"http://app.test{path_form(upstream.port, '/')}")]
    reply = ask(host.port, "GET", "/alice/vision/proxy/statics/x.js", headers=fields)
    assert reply.value("Location") == path_form(upstream.port, "/statics/x.js")


@pytest.mark.case("a handshake with a body")
@pytest.mark.parametrize(
    "fields",
    [[("Transfer-Encoding", "chunked")], [("Content-Length", "5")]],
    ids=["chunked", "length"],
)
def test_a_handshake_with_a_body_is_400(
    host: Server, service: ServiceFactory, fields: list[tuple[str, str]]
) -> None:
    upstream = service(echoing)
    body = b"5\r\nhello\r\n0\r\n\r\n" if fields[0][1] == "chunked" else b"hello"
    target = path_form(upstream.port, "/ws")
    reply = ask(host.port, "GET", target, headers=[*STANDARD.items(), *fields], body=body)
    # That no traceback is in its log is looked at where the server ends.
    assert (reply.status, upstream.connections) == (400, 0)


@pytest.mark.case("many interim answers; spaces behind a chunk's size")
def test_many_interim_answers_and_padded_chunks(host: Server, service: ServiceFactory) -> None:
    padded = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    padded += b"5  \r\nhello\r\n1\t \r\n!\r\n2 ;x=y\r\n..\r\n0 \r\n\r\n"
    upstream = service(answers(b"HTTP/1.1 102 Processing\r\n\r\n" * 30 + padded))
    reply = ask(host.port, "GET", path_form(upstream.port, "/x"))
    assert (reply.status, reply.body) == (200, b"hello!..")


@pytest.mark.case("odd spellings of Content-Length; HTTP_VERSION; Cookie lines")
def test_only_the_exact_name_is_a_length(host: Server, service: ServiceFactory) -> None:
    odd = b"Content.Length: 2\r\nContent_Length: 3\r\n"
    upstream = service(answers(b"HTTP/1.1 200 OK\r\n" + odd + b"Content-Length: 5\r\n\r\nhello"))
    reply = ask(host.port, "GET", path_form(upstream.port, "/x"))
    assert (reply.body, reply.values("Content-Length")) == (b"hello", ["5"])


@pytest.mark.case("odd spellings of Content-Length; HTTP_VERSION; Cookie lines")
def test_several_cookie_lines_hold_no_withheld_byte(host: Server, service: ServiceFactory) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    lines = [("Cookie", "a=1"), ("Cookie", "sessionid=secret"), ("Cookie", "b=2"), ("Version", "2")]
    ask(host.port, "GET", path_form(upstream.port, "/x"), headers=lines)
    assert "secret" not in " ".join(seen[0].values("Cookie"))
    assert seen[0].values("Version") == []
