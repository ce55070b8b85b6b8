"""URLs and cookies of a service as the visitor gets them: both forms, and below a SCRIPT_NAME."""

from __future__ import annotations

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Reply, ask, own_session, without_copies
from tests.support.received import with_fields
from tests.support.servers import Server
from tests.support.service import Service, answers
from tests.support.urls import MOUNT, Form, both_forms, path_form, query_form


def get(server: Server, form: Form, upstream: Service, path: str, above: str = "") -> Reply:
    return ask(server.port, "GET", above + form(upstream.port, path), cookie=own_session())


# (what the service says, in the path form after the prefix or unchanged, in the query form)
UNCHANGED = None
LOCATIONS: list[tuple[str, str | None, str | None]] = [
    ("http://localhost:{port}/y?a=1#f", "/y?a=1#f", "/y?a=1&port={port}#f"),
    ("HTTP://127.0.0.1:{port}", "/", "/?port={port}"),
    ("http://localhost/y", "/y", "/y?port={port}"),
    ("/y?a=%2B&&b", "/y?a=%2B&&b", "/y?a=%2B&&b&port={port}"),
    ("/%zz%2F~caf\xe9", "/%zz%2F~caf\xe9", "/%zz%2F~caf\xe9?port={port}"),
    ("../y", UNCHANGED, "/y?port={port}"),
    ("http://localhost:1/y", "/y", "/y?port={port}"),
    ("http://localhost:{port}@other.example/y", UNCHANGED, UNCHANGED),
    ("/\\other.example/y", UNCHANGED, UNCHANGED),
]


@pytest.mark.parametrize("above", ["", "/apps"], ids=["at-the-root", "below-a-script-name"])
@pytest.mark.parametrize(
    ("location", "path", "query"), LOCATIONS, ids=[row[0] for row in LOCATIONS]
)
def test_a_url_in_a_field_is_mapped(
    host: Server,
    mounted: Server,
    service: ServiceFactory,
    location: str,
    path: str | None,
    query: str | None,
    above: str,
) -> None:
    upstream = service(with_fields(f"Location: {location}", f"Content-Location: {location}"))
    for form, prefix, expected in [
        (path_form, f"{MOUNT}/proxy/{upstream.port}", path),
        (query_form, MOUNT, query),
    ]:
        reply = get(mounted if above else host, form, upstream, "/d/x", above)
        mapped = location if expected is None else above + prefix + expected
        if expected is not None and "://" in location:  # what was absolute stays absolute
            mapped = f"http://app.test{mapped}"
        for name in ("Location", "Content-Location"):
            assert reply.values(name) == [mapped.replace("{port}", str(upstream.port))]


@pytest.mark.case("Location")
@pytest.mark.parametrize("status", ["201 C", "301 M", "302 F", "303 S", "307 T", "308 P", "202 A"])
def test_a_location_is_mapped_with_every_status(
    host: Server, service: ServiceFactory, status: str
) -> None:
    upstream = service(with_fields("Location: /y", status=status))
    reply = get(host, path_form, upstream, "/x")
    assert reply.status == int(status[:3])
    assert reply.values("Location") == [path_form(upstream.port, "/y")]


@both_forms
def test_a_location_that_is_mapped_already_stays(
    mounted: Server, service: ServiceFactory, form: Form
) -> None:
    """Services that honour X-Forwarded-Prefix map by themselves."""
    location = "/apps" + form(0, "/y?a=1").replace("0", "{port}")
    upstream = service(with_fields(f"Location: {location}"))
    reply = get(mounted, form, upstream, "/x", "/apps")
    assert reply.values("Location") == ["/apps" + form(upstream.port, "/y?a=1")]


@both_forms
def test_refresh_and_link_are_mapped(host: Server, service: ServiceFactory, form: Form) -> None:
    upstream = service(
        with_fields(
            "Refresh: 5; url=/y",
            'Link: </a.css>; rel=preload; title="</b>", <http://cdn.example/c>; rel=x',
            "Link: <http://localhost:{port}/d>; rel=next",
        )
    )
    reply = get(host, form, upstream, "/x")
    assert reply.values("Refresh") == [f"5; url={form(upstream.port, '/y')}"]
    links = ", ".join(reply.values("Link"))
    assert f"<{form(upstream.port, '/a.css')}>" in links
    assert f"<http://app.test{form(upstream.port, '/d')}>" in links
    assert "<http://cdn.example/c>; rel=x" in links


def test_bodies_are_never_touched(host: Server, service: ServiceFactory) -> None:
    body = b'<a href="/y">http://localhost:1/</a>'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body)
    upstream = service(answers(head + body))
    assert ask(host.port, "GET", path_form(upstream.port, "/x")).body == body


# (what the service sets, what the visitor gets, with `{}` for the prefix)
COOKIES = [
    ("a=1;path=/sub/;HttpOnly", "a=1;path={}/sub/;HttpOnly"),
    ("a=1; Path={}/sub", "a=1; Path={}/sub"),
    ("a=1; DOMAIN=.example.com", "a=1"),
    (
        "a=b==; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Path=/; SameSite=None; Partitioned",
        "a=b==; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Path={}/; SameSite=None; Partitioned",
    ),
    (
        'a="caf\xe9%20\xff, y=z"; Path=/; Odd-Attribute = x',
        'a="caf\xe9%20\xff, y=z"; Path={}/; Odd-Attribute = x',
    ),
]


@pytest.mark.case("Set-Cookie")
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
    expected: str,
) -> None:
    mount = "/proxy/{port}" if form is path_form else ""
    upstream = service(with_fields("Set-Cookie: " + line.replace("{}", above + MOUNT + mount)))
    prefix = above + MOUNT + mount.replace("{port}", str(upstream.port))
    reply = get(mounted if above else host, form, upstream, "/x", above)
    # In the query form the app's pages get it too, whose parser may stumble over what is odd.
    passes = form is path_form or expected.isascii()
    wanted = [expected.replace("{}", prefix)] if passes else []
    assert without_copies(reply.values("Set-Cookie")) == wanted


@pytest.mark.case("two Set-Cookie; odd reasons and statuses")
@both_forms
def test_cookies_keep_their_lines_and_order(
    host: Server, service: ServiceFactory, form: Form
) -> None:
    lines = [f"Set-Cookie: c{number}={number}; HttpOnly" for number in (3, 1, 2, 1)]
    reply = get(host, form, service(with_fields(*lines)), "/x")
    kept = without_copies(reply.values("Set-Cookie"))
    assert kept == [line.partition(": ")[2] for line in lines]
