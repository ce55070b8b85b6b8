"""The host form end to end: services at names of their own, and never the app in their place."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, Reply, ask
from tests.support.ports import free_port
from tests.support.received import OK, Received, by_target, recording, with_fields
from tests.support.servers import Server
from tests.support.service import Service, answers
from tests.support.urls import MOUNT
from tests.support.variants import Host, noted
from tests.support.websocket import Visitor, echoing, handshake

NO_SESSION = "You are not signed in on this host name."
NAVIGATES = [("Sec-Fetch-Mode", "navigate")]


@pytest.fixture
def hosted(variants: Mapping[str, Server]) -> Host:
    return noted(variants["hosted"])


@pytest.fixture
def isolated(variants: Mapping[str, Server]) -> Host:
    return noted(variants["isolated"])


def name_of(upstream: Service | int) -> str:
    return f"{upstream if isinstance(upstream, int) else upstream.port}.ports.test"


# --- What reaches the service --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("POST", "/api/runs?x=1&port=15000"),
        ("GET", "/x?"),
        ("DELETE", "/a%2Fb%20%zz"),
        ("GET", "//a//b"),
        ("GET", f"{MOUNT}/proxy/15000/x"),
    ],
)
def test_all_of_the_url_is_the_services(
    hosted: Host, service: ServiceFactory, method: str, target: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    own = f"http://{name_of(upstream)}:8000"
    fields = [("Origin", own), ("Referer", f"{own}/lab?x")]
    body = b"x" * 1000 if method == "POST" else b""
    for host in (name_of(upstream), name_of(upstream).upper(), f"{name_of(upstream)}."):
        headers = [] if host.endswith(".") else fields  # the dot makes another origin to a browser
        reply = ask(hosted.port, method, target, headers=headers, host=f"{host}:8000", body=body)
        assert reply.body == b"hi", host
        assert (seen[-1].method, seen[-1].target, seen[-1].body) == (method, target, body)
        assert seen[-1].values("Host") == [f"localhost:{upstream.port}"]
        assert seen[-1].values("X-Forwarded-Prefix") == []
        assert seen[-1].values("Cookie") == []  # the app's are withheld
    assert seen[0].values("Origin") == [f"http://localhost:{upstream.port}"]
    assert seen[0].values("Referer") == [f"http://localhost:{upstream.port}/lab?x"]
    assert hosted.notes.new() == [f"authorizer host {upstream.port} {target}"] * 3


def test_a_websocket(hosted: Host, service: ServiceFactory) -> None:
    upstream = service(echoing)
    origin = [("Origin", f"http://{name_of(upstream)}")]
    with Visitor(hosted.port) as visitor:
        visitor.send(handshake("/ws?x", origin, host=name_of(upstream)))
        visitor.switched()
        visitor.says_and_hears()
    assert hosted.notes.new() == [f"authorizer host {upstream.port} /ws?x"]


@pytest.mark.parametrize("origin", ["http://app.test", "http://15000.ports.test", "null"])
def test_another_port_and_the_app_are_foreign_there(
    hosted: Host, service: ServiceFactory, origin: str
) -> None:
    upstream = service(echoing)
    fields = [("Origin", origin)]
    reply = ask(hosted.port, "POST", "/x", headers=fields, host=name_of(upstream), body=b"x")
    assert reply.status == 403
    with Client(hosted.port) as client:
        client.send(handshake("/ws", fields, host=name_of(upstream)))
        assert client.reply().status == 403
    assert (upstream.connections, hosted.notes.new()) == (0, [])


def test_a_service_worker_may_have_the_whole_name(hosted: Host, service: ServiceFactory) -> None:
    fields = [("Service-Worker", "script")]
    upstream = service(with_fields("Service-Worker-Allowed: /"))
    reply = ask(hosted.port, "GET", "/sw.js", headers=fields, host=name_of(upstream))
    assert (reply.status, reply.values("Service-Worker-Allowed")) == (201, ["/"])


# --- What reaches the visitor --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "mapped"),
    [
        ("Location: /y?a=1#f", "/y?a=1#f"),
        ("Location: http://localhost:{port}//evil.test/", "http://{port}.ports.test//evil.test/"),
        ("Content-Location: http://localhost:{port}/y", "http://{port}.ports.test/y"),
        ("Refresh: 5; url=http://localhost:{port}/y", "5; url=http://{port}.ports.test/y"),
        ("Link: <http://localhost:{port}/y>; rel=next", "<http://{port}.ports.test/y>; rel=next"),
        ("Set-Cookie: a=1; Path=/sub; Domain=localhost", "a=1; Path=/sub"),
        ("Set-Cookie: a=1; Domain=ports.test", "a=1"),
        ("Set-Cookie: sessionid=1; Path=/", "portproxy.{port}.sessionid=1; Path=/"),
        ("Referrer-Policy: no-referrer", "same-origin"),
        ("Content-Security-Policy: upgrade-insecure-requests;img-src *", "img-src *"),
    ],
)
def test_urls_and_cookies_are_those_of_the_name(
    hosted: Host, service: ServiceFactory, line: str, mapped: str
) -> None:
    upstream = service(with_fields(line, status="302 Found"))
    reply = ask(hosted.port, "GET", "/d/x", host=name_of(upstream))
    assert reply.status == 302  # not followed here
    assert reply.values(line.partition(":")[0]) == [mapped.replace("{port}", str(upstream.port))]


@pytest.mark.parametrize(
    ("line", "mapped"),
    [
        ("Location: /y", "/apps/y"),
        ("Location: /apps/y", "/apps/y"),
        (
            "Location: http://localhost:{port}//evil.test/",
            "http://{port}.ports.test/apps//evil.test/",
        ),
        ("Set-Cookie: a=1; Path=/", "a=1; Path=/apps/"),
        ("Set-Cookie: a=1; Path=/apps/x", "a=1; Path=/apps/x"),
        ("Link: </y>; rel=next", "</apps/y>; rel=next"),
    ],
)
def test_below_a_script_name(
    variants: Mapping[str, Server], service: ServiceFactory, line: str, mapped: str
) -> None:
    upstream = service(with_fields(line))
    below = variants["hosted_below"]
    reply = ask(below.port, "GET", "/apps/d/x?y", host=name_of(upstream))
    assert reply.values(line.partition(":")[0]) == [mapped.replace("{port}", str(upstream.port))]
    assert upstream.heads[0].startswith(b"GET /d/x?y HTTP/1.1\r\n")
    assert b"\r\nX-Forwarded-Prefix: /apps\r\n" in upstream.heads[0]


def test_a_services_cookie_of_the_apps_name_comes_back_to_it(
    hosted: Host, service: ServiceFactory
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    cookie = f"user=alice; portproxy.{upstream.port}.sessionid=own; sessionid=apps; b=2"
    ask(hosted.port, "GET", "/", host=name_of(upstream), cookie=cookie)
    assert seen[0].values("Cookie") == ["sessionid=own; b=2"]


def test_pages_that_are_opened_there_leave_no_hint(hosted: Host, service: ServiceFactory) -> None:
    upstream = service(answers(OK))
    reply = ask(hosted.port, "GET", "/", headers=NAVIGATES, host=name_of(upstream))
    assert (reply.status, reply.values("Set-Cookie")) == (200, [])


# --- Never the app -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("www", 400, "Invalid port parameter: www"),
        ("016006", 400, "Invalid port parameter: 016006"),
        ("", 400, "Invalid port parameter:"),
        ("5000", 403, "Port 5000 is outside allowed range (10000-20000)"),
    ],
)
def test_a_name_without_a_port_is_an_error(hosted: Host, name: str, status: int, text: str) -> None:
    pages = [("GET", "/login"), ("POST", "/status/200"), ("GET", "/alice/vision/?port=16006")]
    for method, path in pages:
        reply = ask(hosted.port, method, path, host=f"{name}.ports.test:8000")
        assert (reply.status, reply.text.splitlines()[0].strip()) == (status, text)
    assert hosted.notes.new() == []


def test_a_service_that_is_down_is_an_error(hosted: Host) -> None:
    port = free_port()
    for path in ("/login", "/status/200"):
        reply = ask(hosted.port, "GET", path, host=name_of(port))
        assert (reply.status, reply.value("X-Portproxy-Error")) == (502, "unreachable")
        assert reply.text.startswith(f"Failed to connect to service on port {port}.\n")
    asked = [f"authorizer host {port} /login", f"authorizer host {port} /status/200"]
    assert hosted.notes.new() == asked


def test_a_404_of_the_service_stays_its_own(hosted: Host, service: ServiceFactory) -> None:
    upstream = service(by_target({}))
    for fields in ([], NAVIGATES, [("Referer", f"http://app.test{MOUNT}/proxy/15000/")]):
        reply = ask(hosted.port, "GET", "/status/200", headers=fields, host=name_of(upstream))
        assert (reply.status, reply.body) == (404, b"missing")
    assert hosted.notes.new() == [f"authorizer host {upstream.port} /status/200"] * 3


@pytest.mark.parametrize("name", ["ports.test", "xports.test", "16006.ports.test.evil"])
def test_all_other_names_are_the_apps(hosted: Host, name: str) -> None:
    reply = ask(hosted.port, "GET", "/login", host=name)
    assert (reply.status, reply.text) == (200, "the app: /login?\n")
    assert hosted.notes.new() == ["app GET /login"]


def refusal(hosted: Host, upstream: Service, cookie: str, **kwargs: object) -> Reply:
    reply = ask(hosted.port, "GET", "/x", host=name_of(upstream), cookie=cookie, **kwargs)
    assert hosted.notes.new() == [f"authorizer host {upstream.port} /x"]
    assert upstream.connections == 0
    return reply


def test_a_visitor_whose_session_does_not_reach_the_name_is_told_so(
    hosted: Host, service: ServiceFactory
) -> None:
    """The app's login page, sent in its place, would be the service's."""
    upstream = service(answers(OK))
    for cookie in ("", "other=1"):
        reply = refusal(hosted, upstream, cookie)
        assert (reply.status, reply.value("Location")) == (403, None)
        assert NO_SESSION in reply.text
    page = refusal(hosted, upstream, "", headers=[("Accept", "text/html"), *NAVIGATES])
    assert (page.status, NO_SESSION in page.text) == (403, True)


def test_a_visitor_whom_the_app_does_not_let_in_is_refused(
    hosted: Host, service: ServiceFactory
) -> None:
    upstream = service(answers(OK))
    assert refusal(hosted, upstream, "user=bob").text == (
        f"You do not have access to port {upstream.port} here.\n"
    )
    assert refusal(hosted, upstream, "user=eve").status == 503
    again = refusal(hosted, upstream, "sessionid=old")
    assert (again.status, "Sign in to the application" in again.text) == (403, True)


# --- A name that carries the mount's parameters --------------------------------------------------


def test_the_names_parameters_are_judged(
    variants: Mapping[str, Server], service: ServiceFactory
) -> None:
    carrying, upstream = noted(variants["carrying"]), service(answers(OK))
    for host, cookie, status in [
        ("{}--vision--alice", "user=alice", 200),
        ("{}--VISION--Alice", "user=alice", 200),
        ("{}--vision--bob", "user=alice", 403),
        ("{}--vision--alice", "user=bob", 403),
        ("{}--vision--alice", "", 403),
        ("{}", "user=alice", 404),
        ("{}--a--b--c", "user=alice", 404),
    ]:
        name = f"{host.format(upstream.port)}.ports.test"
        reply = ask(carrying.port, "GET", "/bob/x?port=1", host=name, cookie=cookie)
        assert reply.status == status, (host, cookie)
    assert upstream.heads == [upstream.heads[0]] * 2
    assert carrying.notes.new() == [
        f"app GET {page}"
        for page in ["/alice/vision/"] * 2 + ["/bob/vision/"] + ["/alice/vision/"] * 2
    ]


# --- Only there ----------------------------------------------------------------------------------


@pytest.mark.promise("With isolate=True no page of a service is on your app's origin")
@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/alice/vision/?port={}&x=1", "/?x=1"),
        ("/alice/vision/proxy/{}/lab?x", "/lab?x"),
        ("/alice/vision/proxy/{}", "/"),
        ("/alice/vision/proxy/{}?x", "/?x"),
        ("/alice/vision/proxy/{}//evil.test/", "//evil.test/"),
    ],
)
def test_isolated_services_are_opened_at_their_names_only(
    isolated: Host, service: ServiceFactory, url: str, path: str
) -> None:
    upstream = service(answers(OK))
    target = url.format(upstream.port)
    for method in ("GET", "HEAD"):
        reply = ask(isolated.port, method, target, headers=NAVIGATES, host="app.test:8000")
        assert reply.status == 307
        assert reply.value("Location") == f"http://{name_of(upstream)}:8000{path}"
    for method, fields in [("GET", []), ("POST", NAVIGATES), ("GET", [("Sec-Fetch-Mode", "cors")])]:
        reply = ask(isolated.port, method, target, headers=fields)
        assert (reply.status, reply.text.splitlines()[0]) == (
            403,
            "On this site each service has its own address.",
        )
    with Client(isolated.port) as client:
        client.send(handshake(target))
        assert client.reply().status == 403
    assert len(isolated.notes.new()) == 6  # nobody learns what is open to others
    assert ask(isolated.port, "GET", target, headers=NAVIGATES, cookie="").status == 302
    assert upstream.connections == 0
    assert ask(isolated.port, "GET", "/x", host=name_of(upstream)).status == 200


@pytest.mark.promise("With isolate=True no page of a service is on your app's origin")
def test_where_services_are_isolated_nothing_strays(
    isolated: Host, service: ServiceFactory
) -> None:
    upstream = service(answers(OK))
    fields = [("Referer", f"http://app.test{MOUNT}/proxy/{upstream.port}/")]
    assert ask(isolated.port, "GET", "/x.js", headers=fields).status == 404
    assert isolated.notes.new() == ["app GET /x.js"]
