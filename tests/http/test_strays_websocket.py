"""WebSocket handshakes without their port: the app's, or offered to what was opened last."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, Reply, ask
from tests.support.ports import free_port
from tests.support.received import OK, pages_and_sockets, parse_request
from tests.support.servers import Server
from tests.support.service import Exchange, Script, Service, answers
from tests.support.urls import MOUNT, path_form
from tests.support.variants import Host, noted
from tests.support.waiting import PATIENCE, peer_left, until
from tests.support.websocket import Visitor, accepting, echo, echoing, handshake

T = 1764000000000  # milliseconds
NAVIGATES = [("Sec-Fetch-Mode", "navigate")]
PATH = "/api/ws%2F?token=%zz"
MISSING = "the app has no such page\n"


@pytest.fixture
def strays(variants: Mapping[str, Server]) -> Host:
    return noted(variants["plain"])


def remembering(*ports: int, user: str = "alice") -> str:
    """The Cookie of a browser that opened these ports, the last of them first."""
    hints = [f"portproxy.hint{n}={T - n}{path_form(port, '')}" for n, port in enumerate(ports)]
    return "; ".join([f"user={user}", *hints])


def is_opened(strays: Host, request: bytes) -> bytes:
    """The head with which a handshake is accepted; what the visitor says then is heard."""
    with Visitor(strays.port) as visitor:
        visitor.send(request)
        head = visitor.switched()
        visitor.says_and_hears()
    return head


def refused(strays: Host, request: bytes) -> Reply:
    with Client(strays.port) as client:
        client.send(request)
        return client.reply()


def asked(*upstreams: Service | int, path: str = PATH) -> list[str]:
    """What is noted when these are tried for a handshake that the app does not know."""
    resource = path.partition("?")[0].replace("%2F", "/")
    ports = [one if isinstance(one, int) else one.port for one in upstreams]
    return [f"app GET {resource}", *(f"authorizer stray {port} {path}" for port in ports)]


def test_a_handshake_goes_to_the_page_that_was_opened_last(
    strays: Host, service: ServiceFactory
) -> None:
    first, last = service(echoing), service(echoing)
    is_opened(strays, handshake(PATH, cookie=remembering(last.port, first.port)))
    assert strays.notes.new() == asked(last)
    assert first.connections == 0
    request = parse_request(last.heads[0])
    assert (request.target, request.values("Host")) == (PATH, [f"localhost:{last.port}"])
    assert request.values("X-Forwarded-Prefix") == [path_form(last.port, "")]
    assert request.values("Cookie") == ["user=alice"]


def test_a_login_of_the_service_reaches_its_handshake_at_the_root(
    strays: Host, service: ServiceFactory
) -> None:
    """As a browser would: of what the login sets, only what covers the root of the site goes along
    with a handshake there."""

    lines = b"\r\nSet-Cookie: session=mine; Path=/; HttpOnly\r\nSet-Cookie: b=2; Path=/lab"
    upstream = service(pages_and_sockets(OK.replace(b"\r\n", lines + b"\r\n", 1)))
    other = service(echoing)
    reply = ask(strays.port, "POST", path_form(upstream.port, "/login"), body=b"x")
    sent = {line.partition(";")[0] for line in reply.values("Set-Cookie") if "; Path=/;" in line}
    [copy] = sent
    assert re.fullmatch(rf"portproxy\.copy[0-5]={upstream.port}\.session%3Dmine", copy)
    for last, cookie in [(upstream, "user=alice; session=mine"), (other, "user=alice")]:
        remembered = f"{remembering(last.port)}; {'; '.join(sent)}"
        is_opened(strays, handshake("/ws", cookie=remembered))
        assert parse_request(last.heads[-1]).values("Cookie") == [cookie]


def test_opening_pages_is_what_it_remembers(strays: Host, service: ServiceFactory) -> None:
    """As a browser would: the cookies of two pages, then a handshake."""

    jar = {"user": "alice"}
    upstreams = [service(pages_and_sockets(OK)) for _ in range(2)]
    for upstream in [*upstreams, upstreams[0]]:
        cookie = "; ".join(f"{name}={value}" for name, value in jar.items())
        page = path_form(upstream.port, "/")
        reply = ask(strays.port, "GET", page, headers=NAVIGATES, cookie=cookie)
        [line] = reply.values("Set-Cookie")
        assert line.endswith("; Path=/; HttpOnly; SameSite=Lax")
        name, _, value = line.partition(";")[0].partition("=")
        jar[name] = value
    strays.notes.new()
    cookie = "; ".join(f"{name}={value}" for name, value in jar.items())
    is_opened(strays, handshake("/ws", cookie=cookie))
    assert strays.notes.new() == asked(upstreams[0], path="/ws")


def _refuses(status: str) -> Script:
    return answers(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno".encode())


REFUSING: dict[str, Script] = {
    "200": _refuses("200 OK"),
    "302": _refuses("302 Found\r\nLocation: /login"),
    "403": _refuses("403 Forbidden"),
    "closes": lambda exchange: None,
    "not-http": answers(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "wrong-accept": accepting(echo, [("Sec-WebSocket-Accept", "x")]),
}


@pytest.mark.parametrize("script", REFUSING.values(), ids=REFUSING)
def test_a_service_that_does_not_switch_is_passed_over(
    strays: Host, service: ServiceFactory, script: Script
) -> None:
    newest, next_one = service(script), service(echoing)
    is_opened(strays, handshake(PATH, cookie=remembering(newest.port, next_one.port)))
    assert strays.notes.new() == asked(newest, next_one)
    refusal = refused(strays, handshake(PATH, cookie=remembering(newest.port)))
    assert (refusal.status, refusal.text) == (404, MISSING)


def test_a_service_that_says_nothing_is_passed_over(
    variants: Mapping[str, Server], service: ServiceFactory
) -> None:
    strays = noted(variants["impatient"])

    def says_nothing(exchange: Exchange) -> None:
        until(lambda: peer_left(exchange.sock), "the proxy leaves", PATIENCE)

    newest, next_one = service(says_nothing), service(echoing)
    is_opened(strays, handshake(PATH, cookie=remembering(newest.port, next_one.port)))
    assert strays.notes.new() == asked(newest, next_one)


def test_what_is_down_not_open_or_another_users_is_passed_over(
    strays: Host, service: ServiceFactory
) -> None:
    bobs, upstream = service(echoing), service(echoing)
    down = free_port()
    hints = [(down, MOUNT), (5000, MOUNT), (bobs.port, "/bob/x"), (upstream.port, MOUNT)]
    cookies = [
        f"portproxy.hint{n}={T - n}{mount}/proxy/{port}" for n, (port, mount) in enumerate(hints)
    ]
    is_opened(strays, handshake(PATH, cookie="; ".join(["user=alice", *cookies])))
    assert strays.notes.new() == asked(down, bobs, upstream)  # 5000 is not open to anybody
    assert bobs.connections == 0


def test_no_more_than_six_are_tried(strays: Host, service: ServiceFactory) -> None:
    upstream = service(echoing)
    down = [free_port() for _ in range(6)]
    again = f"portproxy.hint0={T - 6}{path_form(upstream.port, '')}"  # a name may come twice
    for cookie in (remembering(*down, upstream.port), f"{remembering(*down)}; {again}"):
        reply = refused(strays, handshake(PATH, cookie=cookie))
        assert (reply.status, reply.text) == (404, MISSING)
        assert strays.notes.new() == asked(*down)
    assert upstream.connections == 0


@pytest.mark.parametrize("user", ["bob", "", "eve"])
def test_a_visitor_who_may_not_gets_the_apps_404(
    strays: Host, service: ServiceFactory, user: str
) -> None:
    upstream = service(echoing)
    cookie = remembering(upstream.port, user=user) if user else remembering(upstream.port)[12:]
    reply = refused(strays, handshake(PATH, cookie=cookie))
    assert (reply.status, reply.text) == (404, MISSING)
    assert strays.notes.new() == asked(upstream)
    assert upstream.connections == 0


@pytest.mark.parametrize("origin", ["http://evil.com", "null"])
def test_a_foreign_page_opens_nothing(strays: Host, service: ServiceFactory, origin: str) -> None:
    upstream = service(echoing)
    cookie = remembering(upstream.port)
    reply = refused(strays, handshake(PATH, [("Origin", origin)], cookie=cookie))
    assert (reply.status, upstream.connections) == (404, 0)
    is_opened(strays, handshake(PATH, [("Origin", "http://app.test")], cookie=cookie))


@pytest.mark.parametrize("status", [200, 302, 400, 403, 426, 500])
def test_a_handshake_that_the_app_knows_is_the_apps(
    strays: Host, service: ServiceFactory, status: int
) -> None:
    upstream = service(echoing)
    path = f"/status/{status}"
    reply = refused(strays, handshake(path, cookie=remembering(upstream.port)))
    assert (reply.status, reply.text) == (status, "the app's own page")
    strays.notes.wait_for(f"app GET {path}", f"app closed {path}")
    assert upstream.connections == 0


def test_at_the_root_the_page_that_every_app_has_answers_no_handshake(
    strays: Host, service: ServiceFactory
) -> None:
    """Vite's page opens its WebSocket there."""
    refusing, upstream = service(answers(OK)), service(echoing)
    cookie = remembering(refusing.port, upstream.port)
    is_opened(strays, handshake("/?token=x", cookie=cookie))
    assert strays.notes.new() == asked(refusing, upstream, path="/?token=x")
    for cookie in (remembering(refusing.port), "user=alice"):
        reply = refused(strays, handshake("/", cookie=cookie))
        assert (reply.status, reply.text) == (200, "the app: /?\n")


def test_the_apps_404_is_closed_once_whoever_takes_the_handshake(
    strays: Host, service: ServiceFactory
) -> None:
    upstream = service(echoing)
    path = "/status/404"
    head = is_opened(strays, handshake(path, cookie=remembering(upstream.port)))
    assert b"sessionid" not in head
    strays.notes.wait_for(
        f"app GET {path}", f"authorizer stray {upstream.port} {path}", f"app closed {path}"
    )
    down = free_port()
    reply = refused(strays, handshake(path, cookie=remembering(down)))
    assert (reply.status, reply.text) == (404, "the app's own page")
    strays.notes.wait_for(*asked(down, path=path), f"app closed {path}")


@pytest.mark.parametrize(
    "cookie",
    [
        "user=alice",
        "user=alice; portproxy.hint0=x",
        f"user=alice; portproxy.16006={T}{path_form(16006, '')}",
        f"user=alice; xportproxy.hint1={T}{path_form(16006, '')}",
        f"user=alice; portproxy.hint7={T}{path_form(16006, '')}",
    ],
)
def test_without_a_hint_it_is_the_apps_alone(strays: Host, cookie: str) -> None:
    reply = refused(strays, handshake("/ws", cookie=cookie))
    assert (reply.status, reply.text) == (404, MISSING)
    assert strays.notes.new() == ["app GET /ws"]


def test_a_client_that_tells_its_page_is_led_there_first(
    strays: Host, service: ServiceFactory
) -> None:
    """Browsers do not. None of both follows a redirect."""
    page, newest = service(echoing), service(echoing)
    fields = [("Referer", f"http://app.test{path_form(page.port, '/lab')}")]
    for cookie in ("user=alice", remembering(newest.port)):
        is_opened(strays, handshake(PATH, fields, cookie=cookie))
        assert strays.notes.new() == asked(page)
    assert newest.connections == 0


@pytest.mark.parametrize(
    "replaced",
    [{"upgrade": "h2c"}, {"sec_websocket_version": "12"}, {"sec_websocket_key": "short"}],
    ids=["h2c", "version", "key"],
)
def test_what_is_no_good_handshake_is_the_apps(
    strays: Host, service: ServiceFactory, replaced: dict[str, str]
) -> None:
    upstream = service(echoing)
    cookie = remembering(upstream.port)
    reply = refused(strays, handshake("/ws", cookie=cookie, **replaced))  # type: ignore[arg-type]
    assert (reply.status, reply.text, upstream.connections) == (404, MISSING, 0)
