"""The middleware in this process, between an app and a service on a real loopback socket."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from webob import Request
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client, create_environ
from werkzeug.wrappers import Response

from tests.conftest import ServiceFactory
from tests.support import service as scripted
from tests.support.hostapp import MOUNT, app, may_view
from tests.support.ports import free_port
from tests.support.received import OK, Received, recording
from tests.support.service import answers
from tests.support.waiting import until
from wsgi_portproxy import (
    AskApp,
    Limits,
    Listen,
    Page,
    PageAdapter,
    PortProxy,
    RequestMetrics,
    Service,
    Target,
    Timeouts,
    UrlForms,
    Withhold,
)
from wsgi_portproxy.names import LINKS_KEY

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ALICE = {"Cookie": "user=alice"}
BROWSER = {**ALICE, "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}


@contextmanager
def opened(wrapped: Any = app, **settings: Any) -> Iterator[Client]:
    """A client of `wrapped` behind a PortProxy, whose idle connections are closed at the end."""
    proxy = PortProxy(wrapped, **{"authorizer": may_view, "mount": MOUNT, **settings})
    try:
        yield Client(proxy, use_cookies=False)
    finally:
        proxy.close()


@pytest.fixture
def echo(service: ServiceFactory) -> tuple[scripted.Service, list[Received]]:
    """A service that keeps its requests."""
    seen: list[Received] = []
    return service(recording(seen)), seen


# --- 1: is it for a port at all? -----------------------------------------------------------------


class Closing:
    """A response of the wrapped app that counts its closings."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield b"page"

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    "url", ["/", "/?port=16006", "/alice/vision/", "/alice/vision/?x=port", "/alice/?port=abc"]
)
def test_the_apps_own_requests_and_responses_are_not_touched(url: str) -> None:
    body = Closing()
    seen: list[tuple[WSGIEnvironment, StartResponse]] = []

    def wrapped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append((environ, start_response))
        start_response("200 OK", [("Connection", "close"), ("Set-Cookie", "sessionid=1; Path=/")])
        return body

    def never(request: Request, target: Target) -> bool:
        raise AssertionError("there is nothing to authorize")

    proxy = PortProxy(wrapped, authorizer=never, mount=MOUNT)
    environ = Request.blank(url).environ
    before = dict(environ)
    started: list[Any] = []

    def start_response(*args: Any) -> Any:
        started.append(args)

    assert proxy(environ, start_response) is body
    got, started_with = seen[0]
    assert started_with is start_response
    assert {key: value for key, value in got.items() if key != LINKS_KEY} == environ == before
    assert started == [("200 OK", [("Connection", "close"), ("Set-Cookie", "sessionid=1; Path=/")])]
    assert body.closed == 0


# --- 2 and 3: may it be used? --------------------------------------------------------------------


def test_the_authorizer_is_asked_before_any_connection(
    echo: tuple[scripted.Service, list[Received]],
) -> None:
    calls: list[int] = []

    def authorizer(request: Request, target: Target) -> bool:
        calls.append(echo[0].connections)
        return True

    with opened(authorizer=authorizer) as client:
        assert client.get(f"/alice/vision/x?port={echo[0].port}").status_code == 200
    assert (calls, echo[0].connections) == ([0], 1)


def test_a_mock_may_be_an_authorizer(echo: tuple[scripted.Service, list[Received]]) -> None:
    """It has every attribute that one asks for, those that say which cookies are the app's too."""
    authorizer = Mock(return_value=True)
    with opened(authorizer=authorizer) as client:
        assert client.get(f"/alice/vision/?port={echo[0].port}").status_code == 200
    [call] = authorizer.call_args_list
    assert call.args[1].params == {"username": "alice", "project": "vision"}


def test_ports_per_project(echo: tuple[scripted.Service, list[Received]]) -> None:
    port = echo[0].port
    ports = {"vision": {port}, "other": {port + 1}}
    with opened(ports=lambda target: ports[target.params["project"]]) as client:
        assert client.get(f"/alice/vision/?port={port}", headers=ALICE).status_code == 200
        assert client.get(f"/alice/other/?port={port}", headers=ALICE).status_code == 403
        assert client.get(f"/alice/unknown/?port={port}", headers=ALICE).status_code == 503
    assert echo[0].connections == 1


def test_a_redirect_to_the_path_form_needs_permission_too(
    echo: tuple[scripted.Service, list[Received]],
) -> None:
    """Nobody learns by it what is open to others."""
    url = f"/alice/vision/?port={echo[0].port}"
    with opened() as client:
        moved = client.get(url, headers=BROWSER)
        assert (moved.status_code, moved.location) == (307, f"/alice/vision/proxy/{echo[0].port}/")
        assert moved.headers["Cache-Control"] == "no-store"
        foreign = client.get(url, headers={**BROWSER, "Cookie": "user=bob"})
        assert foreign.status_code == 403
    assert echo[0].connections == 0


# --- AskApp --------------------------------------------------------------------------------------


def test_below_a_script_name(echo: tuple[scripted.Service, list[Received]]) -> None:
    def wrapped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        found = environ["SCRIPT_NAME"] == "/apps" and environ["PATH_INFO"] == "/alice/vision/"
        start_response("200 OK" if found else "404 Not Found", [])
        return []

    proxy = PortProxy(wrapped, authorizer=AskApp(wrapped, f"{MOUNT}/"), mount=MOUNT)
    client = Client(DispatcherMiddleware(Response("none", 404), {"/apps": proxy}))
    url = f"/apps/alice/vision/a%2Fb?port={echo[0].port}"
    assert client.get(url).text == "hi"
    moved = client.get(url, headers={"Sec-Fetch-Mode": "navigate"})
    assert moved.location == f"/apps/alice/vision/proxy/{echo[0].port}/a%2Fb"
    proxy.close()
    assert echo[1][0].target == "/a%2Fb"
    assert echo[1][0].values("X-Forwarded-Prefix") == ["/apps/alice/vision"]


def test_services_that_are_offered_a_request_share_the_time_of_one(
    service: ServiceFactory,
) -> None:
    def hanging(exchange: Any) -> None:
        while exchange.read_head():
            pass

    def missing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"missing"]

    services = [service(hanging) for _ in range(3)]
    hints = [
        f"portproxy.hint{slot}={1_700_000_000_000 + slot}/alice/vision/proxy/{one.port}"
        for slot, one in enumerate(services)
    ]
    headers = {"Cookie": "; ".join(["user=alice", *hints]), "Sec-Fetch-Site": "same-origin"}
    with opened(missing, timeouts=Timeouts(head=0.2)) as client:
        assert client.get("/x.png", headers=headers).text == "missing"
    assert [one.connections for one in services] == [0, 0, 1]


# --- 4 and 5: there and back ---------------------------------------------------------------------


def test_what_the_authorizer_knows_to_be_the_apps_cookies_is_withheld(
    echo: tuple[scripted.Service, list[Received]],
) -> None:
    class Authorizer:
        withhold_cookies = frozenset({"mine"})

        def __call__(self, request: Request, target: Target) -> bool:
            return request.cookies.get("mine") == "S"

    with opened(authorizer=Authorizer()) as client:
        headers = {"Cookie": "a=1; mine=S; sessionid=S"}
        assert client.get(f"/alice/vision/?port={echo[0].port}", headers=headers).status_code == 200
    assert echo[1][0].values("Cookie") == ["a=1"]


def test_close_lets_go_of_idle_connections(service: ServiceFactory) -> None:
    gone: list[bool] = []

    def script(exchange: Any) -> None:
        while exchange.read_head():
            exchange.send(OK)
        gone.append(True)

    upstream = service(script)
    with opened() as client:
        for _ in range(3):
            assert client.get(f"/alice/vision/?port={upstream.port}", headers=ALICE).text == "hi"
        assert (upstream.connections, gone) == (1, [])
    assert until(lambda: gone, "the service saw its connection closed")


# --- The log -------------------------------------------------------------------------------------


def test_the_log_holds_no_secrets_and_no_line_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "wsgi_portproxy")
    headers = {"Cookie": "user=alice; sessionid=SECRET", "Authorization": "Bearer SECRET"}
    with opened() as client:
        for url in (
            f"/alice/vision/?port={free_port()}&token=SECRET",
            "/alice/vision/?port=5000&token=SECRET",
            "/alice/vision/?port=%0d%0aforged&token=SECRET",
            "/bob/x/?port=16006&token=SECRET",
            "/alice/vision/../x?port=16006&token=SECRET",
        ):
            assert client.get(url, headers=headers).status_code >= 400
        assert client.get("/alice/vision/?port=" + "9" * 10000).status_code == 400
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) >= 6
    assert "SECRET" not in caplog.text
    assert all(line.isprintable() and len(line) < 200 for line in lines)


def test_an_authorizer_that_raises_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def authorizer(request: Request, target: Target) -> bool:
        raise LookupError("the database is gone")

    with opened(authorizer=authorizer) as client:
        assert client.get("/alice/vision/?port=16006").status_code == 503
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "the database is gone" in caplog.text
    assert "Traceback" in caplog.text


def test_an_authorizer_that_is_misused_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with opened(authorizer=lambda request, target: "no") as client:
        assert client.get("/alice/vision/?port=16006").status_code == 500
    [record] = caplog.records
    assert record.levelno >= logging.WARNING
    assert "str" in record.getMessage()


def test_a_name_that_an_adapter_sends_is_not_the_visitors(
    echo: tuple[scripted.Service, list[Received]], caplog: pytest.LogCaptureFixture
) -> None:
    """However the visitor spells it, and where the adapter sends nothing. One that fails is
    logged, and its header left out."""

    def fail(page: Page) -> str:
        raise RuntimeError("the adapter's own")

    headers: Any = {"X-Root": lambda page: page.prefix, "X-Bad": fail, "X-Lines": lambda page: "\n"}
    adapter = PageAdapter("Wiki", b"data-root", lambda document, page: document, headers)
    service, seen = echo
    url = f"/alice/vision/proxy/{service.port}/"
    theirs = {**ALICE, "X-Root": "//evil.test", "X-Bad": "1", "User-Agent": "Mozilla/5.0"}
    with opened(services=Service(page_adapters=[adapter])) as client:
        for dest in ("document", "script"):
            assert client.get(url, headers={**theirs, "Sec-Fetch-Dest": dest}).status_code == 200
    page, script = seen
    assert page.values("x-root") == [url.rstrip("/")]
    assert [page.values("x-bad"), page.values("x-lines"), script.values("x-root")] == [[], [], []]
    failed = [record.getMessage() for record in caplog.records if record.exc_info]
    assert failed == [f"port {service.port}: the page adapter 'Wiki' failed"] * 2


def test_a_head_that_the_server_refuses_is_no_complete_response(service: ServiceFactory) -> None:
    """Also of a response without a body, all of which has come."""
    upstream = service(answers(b"HTTP/1.1 204 No Content\r\n\r\n"))
    told: list[RequestMetrics] = []
    proxy = PortProxy(app, authorizer=may_view, mount=MOUNT, on_finished=told.append)

    def start_response(*_: object) -> Any:
        raise ValueError("a header that the server refuses")

    environ = create_environ(f"/alice/vision/proxy/{upstream.port}/", headers=ALICE)
    with pytest.raises(ValueError, match="refuses"):
        list(proxy(environ, start_response))
    assert [(one.status, one.ended) for one in told] == [(204, "cut")]
    proxy.close()


# --- Settings ------------------------------------------------------------------------------------


def test_there_is_no_permissive_default() -> None:
    with pytest.raises(TypeError):
        PortProxy(app)  # type: ignore[call-arg]


@pytest.mark.parametrize("authorizer", [None, True, False, "yes", frozenset({"alice"})], ids=repr)
def test_an_authorizer_that_cannot_be_called_is_refused(authorizer: Any) -> None:
    with pytest.raises(TypeError, match="authorizer takes"):
        PortProxy(app, authorizer=authorizer)


ASKS_BY_NAME = AskApp(app, "/{a}/")


async def answered_later(request: object, target: object) -> bool:
    return True


@pytest.mark.parametrize(
    "settings",
    [
        {"mount": "alice"},
        {"mount": "/{a}/{a}"},
        {"urls": {"path_segment": "a/b"}},
        {"ports": "10000-20000"},
        {"ports": 16006},
        {"ports": ["16006"]},
        {"ports": lambda: range(10)},
        {"withhold": {"cookies": "sessionid"}},
        {"no_such_setting": 1},
        {"mount": "/{a}", "authorizer": AskApp(app, "/{b}")},
        {"urls": {"host_template": "ports.example.com"}},
        {"mount": "/{a}", "urls": {"host_template": "{port}--{b}.ports.example.com"}},
        {
            "mount": "/{a}",
            "urls": {"host_template": "{port}.p.test"},
            "authorizer": AskApp(app, "/{a}/"),
        },
        {"urls": {"isolate": True}},
        {"urls": {"host_template": ":{port+x}"}},
        {"urls": {"host_template": "{port}.p.test:{port}"}},
        {"urls": {"host_template": ":{port+65535}"}},
        {"urls": {"host_template": ":{port}"}, "ports": lambda target: range(10)},
        {"urls": {"host_template": ":{port}", "port_range": "10000-20000"}},
        {"urls": {"host_template": "{port}.p.test", "port_range": range(10)}},
        {"urls": {"host_template": "{port}.p.test", "listen": Listen()}},
        {"urls": {"host_template": ":{port}", "listen": True}},
        {"urls": {"host_template": ":{port}", "mount_of": lambda: None}},
        {"urls": {"mount_of": lambda port: None}},
        {"urls": {"port_range": range(10)}},
        {"urls": {"listen": Listen()}},
        {"urls": {"redirect_browsers": "host"}},
        {"urls": {"find_strays": "no"}},
        {"services": {"preserve_host": "visitor"}},
        {"services": {"strip_prefix": "no"}},
        {"services": {"page_adapters": ["jupyter"]}},
        {"services": lambda: None},
        {"timeouts": {"head": 0}},
        {"timeouts": {"connect": "3"}},
        {"limits": {"tunnels": -1}},
        {"limits": {"requests_per_port": 0}},
        {"limits": {"request_body": 1.5}},
        {"detach_after": -1.0},
        {"recheck_after": 0},
        {"recheck_after": "60"},
        {"on_finished": "print"},
        {"authorizer": lambda request: True},
        {"authorizer": answered_later},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_settings_that_could_never_work_are_refused(settings: dict[str, Any]) -> None:
    kinds = {
        "urls": UrlForms,
        "timeouts": Timeouts,
        "limits": Limits,
        "withhold": Withhold,
        "services": Service,
    }

    def make() -> PortProxy:
        given: dict[str, Any] = {"authorizer": may_view}
        for name, value in settings.items():
            given[name] = kinds[name](**value) if type(value) is dict else value
        return PortProxy(app, **given)

    with pytest.raises((TypeError, ValueError)):
        make()


@pytest.mark.parametrize(
    ("given", "error"), [({}, TypeError), ({"project": "x"}, ValueError)], ids=["none", "unknown"]
)
def test_revoke_wants_to_know_what_it_ends(given: dict[str, Any], error: type[Exception]) -> None:
    proxy = PortProxy(app, authorizer=may_view, mount="/{username}")
    assert proxy.revoke(username="alice") == 0
    with pytest.raises(error, match=r"^revoke takes "):
        proxy.revoke(**given)
