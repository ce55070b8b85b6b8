"""Requests that do not say where they come from, offered to the services opened last."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.received import OK, Received, read_request, recording
from tests.support.servers import Server
from tests.support.service import Exchange, Script, Service, answers
from tests.support.urls import MOUNT, path_form
from tests.support.variants import Host, noted

SAME_ORIGIN = ("Sec-Fetch-Site", "same-origin")
FETCHED = [SAME_ORIGIN, ("Sec-Fetch-Mode", "no-cors")]
FOLLOWED = [SAME_ORIGIN, ("Sec-Fetch-Mode", "navigate")]
MISSING = "the app has no such page\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def strays(variants: Mapping[str, Server]) -> Host:
    return noted(variants["plain"])


def opened(*services: Service | int, user: str = "alice") -> str:
    """The Cookie field of a browser that opened these services, the last one last."""
    ports = [one if isinstance(one, int) else one.port for one in services]
    hints = [
        f"portproxy.hint{slot}={1_700_000_000_000 + slot}{MOUNT}/proxy/{port}"
        for slot, port in enumerate(ports)
    ]
    return "; ".join([f"user={user}", *hints])


def astray(
    host: Host, cookie: str, path: str = "/x.png?y=%20", method: str = "GET", **more: str
) -> Reply:
    fields = [*FETCHED, *((name.replace("_", "-"), value) for name, value in more.items())]
    return ask(host.port, method, path, headers=fields, cookie=cookie)


@pytest.mark.case("requests that do not say where they come from")
@pytest.mark.parametrize("fields", [FETCHED, FOLLOWED], ids=["fetched", "followed"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_it_moves_to_the_service_that_has_it(
    strays: Host, service: ServiceFactory, method: str, fields: list[tuple[str, str]]
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    reply = ask(strays.port, method, "/x?y=%20", headers=fields, cookie=opened(upstream))
    assert (reply.status, reply.value("Location")) == (307, path_form(upstream.port, "/x?y=%20"))
    # Asked whether it has the page, of which nothing is read.
    assert [(one.method, one.target) for one in seen] == [("GET", "/x?y=%20")]
    strays.notes.wait_for(f"app {method} /x", f"authorizer stray {upstream.port} /x?y=%20")


def test_a_body_is_sent_to_no_service_before_it_is_known_whose_it_is(
    strays: Host, service: ServiceFactory
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    body = b"x" * 100_000
    fields = [*FETCHED, ("Content-Length", str(len(body))), ("Range", "bytes=5-")]
    head = request_bytes("POST", "/x", headers=fields, cookie=opened(upstream))
    with Client(strays.port) as client:  # one connection: what was not read would be a request
        client.send(head + body)
        moved = client.reply(method="POST")
        assert (moved.status, moved.value("Location")) == (307, path_form(upstream.port, "/x"))
        client.send(request_bytes("GET", "/status/200"))
        assert client.reply().status == 200
    [request] = seen
    assert (request.method, request.target, request.body) == ("GET", "/x", b"")
    assert request.names.isdisjoint({"content-length", "content-type", "range"})


@pytest.mark.case("requests that do not say where they come from")
def test_the_newest_that_has_it_gets_it(strays: Host, service: ServiceFactory) -> None:
    def having(path: bytes) -> Script:
        def script(exchange: Exchange) -> None:
            while request := read_request(exchange):
                exchange.send(OK if request.target.encode() == path else NOT_FOUND)

        return script

    oldest, older, newest = (service(having(path)) for path in (b"/a", b"/a", b"/b"))
    cookie = opened(oldest, older, newest)
    for path, expected in (("/a", older), ("/b", newest)):
        reply = astray(strays, cookie, path)
        assert (reply.status, reply.value("Location")) == (307, path_form(expected.port, path))
    assert (astray(strays, cookie, "/c").text, oldest.connections) == (MISSING, 1)


@pytest.mark.case("requests that do not say where they come from")
def test_what_the_app_has_is_the_apps(strays: Host, service: ServiceFactory) -> None:
    upstream = service(answers(OK))
    for status in (200, 302, 403, 500):
        assert astray(strays, opened(upstream), f"/status/{status}").status == status
    assert upstream.connections == 0


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("Sec-Fetch-Site", "none")],
        [("Sec-Fetch-Site", "same-site")],
        [("Sec-Fetch-Site", "cross-site")],
        [SAME_ORIGIN, ("Referer", "http://app.test/alice/vision/")],
        [SAME_ORIGIN, ("Referer", "")],
        [SAME_ORIGIN, ("Service-Worker", "script")],
    ],
)
def test_all_else_is_the_apps(
    strays: Host, service: ServiceFactory, fields: list[tuple[str, str]]
) -> None:
    upstream = service(answers(OK))
    reply = ask(strays.port, "GET", "/x", headers=fields, cookie=opened(upstream))
    assert (reply.status, reply.text, upstream.connections) == (404, MISSING, 0)


def test_of_a_browser_that_opened_nothing_too(strays: Host, service: ServiceFactory) -> None:
    upstream = service(answers(OK))
    assert astray(strays, "user=alice").text == MISSING
    assert upstream.connections == 0


@pytest.mark.promise("A stray is judged like any request")
@pytest.mark.parametrize("user", ["bob", "eve", ""])
def test_who_may_not_open_the_service_gets_the_apps_answer(
    strays: Host, service: ServiceFactory, user: str
) -> None:
    upstream = service(answers(OK))
    reply = astray(strays, opened(upstream, user=user))
    assert (reply.status, reply.text, upstream.connections) == (404, MISSING, 0)


def test_a_service_that_is_gone_or_broken_is_passed_over(
    strays: Host, service: ServiceFactory
) -> None:
    broken = service(answers(b"no HTTP\r\n\r\n", keep_open=False))
    upstream = service(answers(OK))
    reply = astray(strays, opened(upstream, broken, 9, 99999))
    assert (reply.status, reply.value("Location")) == (
        307,
        path_form(upstream.port, "/x.png?y=%20"),
    )


def test_a_foreign_origin_gets_the_apps_answer(strays: Host, service: ServiceFactory) -> None:
    upstream = service(answers(OK))
    reply = astray(strays, opened(upstream), method="POST", Origin="https://evil.test")
    assert (reply.status, upstream.connections) == (404, 0)
