"""URLs and cookies of a service as the visitor gets them: both forms, and below a SCRIPT_NAME."""

from __future__ import annotations

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Reply, ask, without_copies
from tests.support.servers import Server
from tests.support.service import Exchange, Service
from tests.support.urls import MOUNT, Form, both_forms, path_form, query_form


def answering(service: ServiceFactory, *fields: str, status: str = "201 Created") -> Service:
    """A service whose answers hold `fields`, in which `{port}` is its port."""

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            lines = [f"HTTP/1.1 {status}", *fields, "Content-Length: 2", "", "hi"]
            text = "\r\n".join(lines).replace("{port}", str(upstream.port))
            exchange.send(text.encode("latin-1"))

    upstream = service(script)
    return upstream


def get(server: Server, form: Form, upstream: Service, path: str, above: str = "") -> Reply:
    return ask(server.port, "GET", above + form(upstream.port, path))


# (what the service says, in the path form after the prefix or unchanged, in the query form)
UNCHANGED = None
LOCATIONS: list[tuple[str, str | None, str | None]] = [
    ("http://localhost:{port}/y?a=1#f", "/y?a=1#f", "/y?a=1&port={port}#f"),
    ("http://localhost:{port}", "/", "/?port={port}"),
    ("http://localhost:{port}/", "/", "/?port={port}"),
    ("http://127.0.0.1:{port}/y", "/y", "/y?port={port}"),
    ("http://[::1]:{port}/y", "/y", "/y?port={port}"),
    ("http://0.0.0.0:{port}/y", "/y", "/y?port={port}"),
    ("HTTP://LOCALHOST:{port}/Y", "/Y", "/Y?port={port}"),
    ("//localhost:{port}/y", "/y", "/y?port={port}"),
    ("/y", "/y", "/y?port={port}"),
    ("/", "/", "/?port={port}"),
    ("/y?a=%2B&&b", "/y?a=%2B&&b", "/y?a=%2B&&b&port={port}"),
    ("/y#f", "/y#f", "/y?port={port}#f"),
    ("/%zz%2F~caf\xe9", "/%zz%2F~caf\xe9", "/%zz%2F~caf\xe9?port={port}"),
    ("/alice/visionary", "/alice/visionary", "/alice/visionary?port={port}"),
    ("y", UNCHANGED, "/d/y?port={port}"),
    ("./y", UNCHANGED, "/d/y?port={port}"),
    ("../y", UNCHANGED, "/y?port={port}"),
    ("?a=1", UNCHANGED, "/d/x?a=1&port={port}"),
    ("http://other.example/y", UNCHANGED, UNCHANGED),
    ("https://other.example:{port}/y?a#f", UNCHANGED, UNCHANGED),
    ("http://localhost:1/y", UNCHANGED, UNCHANGED),
    ("http://localhost/y", UNCHANGED, UNCHANGED),
    ("http://localhost:{port}@other.example/y", UNCHANGED, UNCHANGED),
    ("http://localhost:{port}.other.example/y", UNCHANGED, UNCHANGED),
    ("//other.example/y", UNCHANGED, UNCHANGED),
    ("/\\other.example/y", UNCHANGED, UNCHANGED),
    ("mailto:a@localhost", UNCHANGED, UNCHANGED),
    ("data:text/plain,/y", UNCHANGED, UNCHANGED),
]
IDS = [location for location, *_ in LOCATIONS]


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
@pytest.mark.parametrize("above", ["", "/apps"], ids=["at-the-root", "below-a-script-name"])
@pytest.mark.parametrize(("location", "path", "query"), LOCATIONS, ids=IDS)
def test_a_url_in_a_field_is_mapped(
    host: Server,
    mounted: Server,
    service: ServiceFactory,
    location: str,
    path: str | None,
    query: str | None,
    above: str,
    name: str,
) -> None:
    server = mounted if above else host
    upstream = answering(service, f"{name}: {location}")
    for form, prefix, expected in [
        (path_form, f"{MOUNT}/proxy/{upstream.port}", path),
        (query_form, MOUNT, query),
    ]:
        reply = get(server, form, upstream, "/d/x", above)
        mapped = location if expected is None else above + prefix + expected
        assert reply.values(name) == [mapped.replace("{port}", str(upstream.port))]


@pytest.mark.parametrize("status", ["201 C", "301 M", "302 F", "303 S", "307 T", "308 P", "202 A"])
@pytest.mark.parametrize("above", ["", "/apps"], ids=["at-the-root", "below-a-script-name"])
def test_a_location_is_mapped_with_every_status(
    host: Server, mounted: Server, service: ServiceFactory, status: str, above: str
) -> None:
    upstream = answering(service, "Location: /y", status=status)
    reply = get(mounted if above else host, path_form, upstream, "/x", above)
    assert reply.status == int(status[:3])
    assert reply.values("Location") == [above + path_form(upstream.port, "/y")]


@both_forms
@pytest.mark.parametrize("above", ["", "/apps"], ids=["at-the-root", "below-a-script-name"])
def test_a_location_that_is_mapped_already_stays(
    host: Server, mounted: Server, service: ServiceFactory, form: Form, above: str
) -> None:
    """Services that honour X-Forwarded-Prefix map by themselves."""

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            location = above + form(upstream.port, "/y?a=1")
            head = f"HTTP/1.1 201 Created\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            exchange.send(head.encode())

    upstream = service(script)
    reply = get(mounted if above else host, form, upstream, "/x", above)
    assert reply.values("Location") == [above + form(upstream.port, "/y?a=1")]


@both_forms
def test_refresh_and_link_are_mapped(host: Server, service: ServiceFactory, form: Form) -> None:
    upstream = answering(
        service,
        "Refresh: 5; url=/y",
        'Link: </a.css>; rel=preload; title="</b>", <http://cdn.example/c>; rel=x',
        "Link: <http://localhost:{port}/d>; rel=next",
    )
    reply = get(host, form, upstream, "/x")
    assert reply.values("Refresh") == [f"5; url={form(upstream.port, '/y')}"]
    links = ", ".join(reply.values("Link"))
    for path in ("/a.css", "/d"):
        assert f"<{form(upstream.port, path)}>" in links
    assert "<http://cdn.example/c>; rel=x" in links


def test_bodies_are_never_touched(host: Server, service: ServiceFactory) -> None:
    body = b'<a href="/y">http://localhost:1/</a>'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body)

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(head + body)

    assert ask(host.port, "GET", path_form(service(script).port, "/x")).body == body


# (what the service sets, what the visitor gets, with `{}` for the prefix)
COOKIES = [
    ("a=1", "a=1"),
    ("a=1; Path=/", "a=1; Path={}/"),
    ("a=1; path=/sub/", "a=1; path={}/sub/"),
    ("a=1;Path=/;HttpOnly", "a=1;Path={}/;HttpOnly"),
    ("a=1; Path={}/", "a=1; Path={}/"),
    ("a=1; Path={}/sub", "a=1; Path={}/sub"),
    ("a=1; Domain=localhost; Path=/", "a=1; Path={}/"),
    ("a=1; DOMAIN=.example.com", "a=1"),
    ("a=1; Path=/; Domain=127.0.0.1; Secure", "a=1; Path={}/; Secure"),
    ("a=; Max-Age=0; Path=/", "a=; Max-Age=0; Path={}/"),
    (
        "a=b==; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Path=/; SameSite=None; Partitioned",
        "a=b==; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Path={}/; SameSite=None; Partitioned",
    ),
    ('a="x, y=z"; Path=/', 'a="x, y=z"; Path={}/'),
    ("a={%22x%22:1}|~; Path=/; Priority=High", None),
    (
        "a=caf\xe9%20\xff; Path=/; Odd-Attribute = x",
        "a=caf\xe9%20\xff; Path={}/; Odd-Attribute = x",
    ),
    ("_xsrf=2|1a:0|b", "_xsrf=2|1a:0|b"),
]


@both_forms
@pytest.mark.parametrize("above", ["", "/apps"], ids=["at-the-root", "below-a-script-name"])
@pytest.mark.parametrize(("line", "expected"), COOKIES, ids=[line[:40] for line, _ in COOKIES])
def test_a_cookie_is_scoped_to_the_service_and_else_unchanged(
    host: Server,
    mounted: Server,
    service: ServiceFactory,
    form: Form,
    above: str,
    line: str,
    expected: str | None,
) -> None:
    expected = line.replace("Path=/", "Path={}/") if expected is None else expected
    mount = "/proxy/{port}" if form is path_form else ""
    upstream = answering(service, "Set-Cookie: " + line.replace("{}", above + MOUNT + mount))
    prefix = above + MOUNT + mount.replace("{port}", str(upstream.port))
    reply = get(mounted if above else host, form, upstream, "/x", above)
    assert without_copies(reply.values("Set-Cookie")) == [expected.replace("{}", prefix)]


@both_forms
def test_cookies_keep_their_lines_and_order(
    host: Server, service: ServiceFactory, form: Form
) -> None:
    lines = [f"Set-Cookie: c{number}={number}; HttpOnly" for number in (3, 1, 2, 1)]
    reply = get(host, form, answering(service, *lines), "/x")
    kept = without_copies(reply.values("Set-Cookie"))
    assert kept == [line.partition(": ")[2] for line in lines]
