"""PEP 3333 on both sides: what surrounds the middleware, and what it surrounds."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.lint import LintMiddleware
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk
from tests.support.ports import free_port
from tests.support.received import OK, Received, read_request, recording
from tests.support.service import Exchange, answers
from tests.support.waiting import PATIENCE, peer_left, until
from wsgi_portproxy import AskApp, PortProxy, Withhold

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    text = f"app {environ.get('SCRIPT_NAME')}|{environ.get('PATH_INFO')}".encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text]


@pytest.fixture
def proxied() -> Iterator[Callable[..., PortProxy]]:
    """Make a PortProxy that lets everybody through; its connections are closed with the test."""
    made: list[PortProxy] = []

    def make(
        app: WSGIApplication = hello, mount: str = "/{user}", authorizer: Any = None
    ) -> PortProxy:
        authorizer = authorizer or (lambda request, target: True)
        made.append(
            PortProxy(app, authorizer=authorizer, mount=mount, withhold=Withhold(early_hints=False))
        )
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


def test_the_body_is_read_by_the_words_of_the_pep(
    proxied: Callable[..., PortProxy], service: ServiceFactory
) -> None:
    """An input that has nothing but what PEP 3333 demands, and never gives what was not asked."""

    class Input:
        def __init__(self, data: bytes) -> None:
            self._data = io.BytesIO(data)
            self.asked: list[int] = []

        def read(self, size: int) -> bytes:
            self.asked.append(size)
            return self._data.read(size)

    seen: list[Received] = []
    upstream = service(recording(seen))
    source = Input(b"x" * 100_000 + b"next request")
    environ = EnvironBuilder(f"/alice/x?port={upstream.port}", method="POST").get_environ()
    environ["CONTENT_LENGTH"] = "100000"
    environ["wsgi.input"] = source
    _, status, _ = run_wsgi_app(proxied(), environ, buffered=True)
    assert status == "200 OK"
    assert (seen[0].body, seen[0].complete) == (b"x" * 100_000, True)
    assert sum(source.asked) == 100_000


@pytest.mark.parametrize(
    ("terminated", "expected"), [(True, "200 OK"), (False, "411 Length Required")]
)
def test_a_chunked_body_needs_a_server_that_ends_it(
    proxied: Callable[..., PortProxy], service: ServiceFactory, terminated: bool, expected: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    environ = EnvironBuilder(f"/alice/x?port={upstream.port}", method="POST").get_environ()
    environ.pop("CONTENT_LENGTH", None)
    environ.update(
        {
            "HTTP_TRANSFER_ENCODING": "chunked",
            "wsgi.input": io.BytesIO(b"body"),
            "wsgi.input_terminated": terminated,
        }
    )
    _, status, _ = run_wsgi_app(proxied(), environ, buffered=True)
    assert status == expected
    assert [request.body for request in seen] == ([b"body"] if terminated else [])


@pytest.mark.promise("One request in, one request out")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("HTTP_X_ODD", "a\r\nX-Injected: 1"),
        ("HTTP_X_ODD", "a\nX-Injected: 1"),
        ("HTTP_X_ODD", "a\rb"),
        ("HTTP_X_ODD", "a\0b"),
        ("HTTP_X\r\nINJECTED", "1"),
        ("HTTP_COOKIE", "a=1\r\nX-Injected: 1"),
        ("HTTP_REFERER", "http://x/\r\nX-Injected: 1"),
        ("CONTENT_TYPE", "a/b\r\nX-Injected: 1"),
        ("REMOTE_ADDR", "1.2.3.4\r\nX-Injected: 1"),
        ("REQUEST_METHOD", "GET / HTTP/1.1\r\nX-Injected: 1\r\n\r\nGET"),
        ("PATH_INFO", "/alice/x HTTP/1.1\r\nX-Injected: 1\r\n\r\n"),
        ("SCRIPT_NAME", "/a\r\nX-Injected: 1"),
        ("RAW_URI", "/alice/x HTTP/1.1\r\nX-Injected: 1"),
    ],
)
def test_nothing_in_the_environ_can_become_another_line(
    proxied: Callable[..., PortProxy], service: ServiceFactory, key: str, value: str
) -> None:
    """Servers differ in what they let through."""
    seen: list[Received] = []
    upstream = service(recording(seen))
    environ = EnvironBuilder(f"/alice/x?port={upstream.port}").get_environ()
    environ[key] = value
    _, status, _ = run_wsgi_app(proxied(), environ, buffered=True)
    assert status[:3] in ("200", "400")
    assert all("x-injected" not in request.names for request in seen)
    assert len(seen) <= 1


# --- The wrapped app's own answers ---------------------------------------------------------------


class Generated:
    """An app whose answers are generators, and that counts how often they were closed."""

    def __init__(self) -> None:
        self.closed = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            write = start_response("200 OK", [("Content-Type", "text/plain"), ("X-Odd", "1")])
            write(b"written ")
            yield b"yielded "
            yield environ["PATH_INFO"].encode()
        finally:
            self.closed += 1


@pytest.mark.case("mounts, dispatchers, generators: the app's own answers are untouched")
@pytest.mark.parametrize("path", ["/", "/alice/?ports=1", "/alice/proxy/"])
def test_the_apps_own_answers_pass_untouched(proxied: Callable[..., PortProxy], path: str) -> None:
    app = Generated()
    response = Client(proxied(app)).get(path)
    assert response.status == "200 OK"
    assert response.headers["X-Odd"] == "1"
    assert response.data == f"written yielded {path.partition('?')[0]}".encode()
    assert app.closed == 1


def test_an_exception_of_the_app_is_its_own(proxied: Callable[..., PortProxy]) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise LookupError("the app's own")

    with pytest.raises(LookupError, match="the app's own"):
        Client(proxied(app)).get("/")


@pytest.mark.case("mounts, dispatchers, generators: the app's own answers are untouched")
def test_the_callers_environ_is_not_changed(
    proxied: Callable[..., PortProxy], service: ServiceFactory
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    headers = [("Cookie", "a=1; sessionid=S"), ("Connection", "X-A"), ("X-A", "1")]
    for path in ("/page", f"/alice/x?port={upstream.port}", f"/alice/proxy/{upstream.port}/x"):
        environ = EnvironBuilder(path, headers=headers).get_environ()
        before = dict(environ)
        run_wsgi_app(proxied(), environ, buffered=True)
        assert environ == before
        assert all(environ[key] is before[key] for key in before)


def test_what_start_response_was_given_is_not_changed_later(
    proxied: Callable[..., PortProxy], service: ServiceFactory
) -> None:
    given: list[list[tuple[str, str]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        given.append(headers)
        headers.append(("X-Ours", "1"))  # a server's right: it is its list from now on
        return lambda data: None

    upstream = service(answers(OK))
    proxy = proxied()
    for _ in range(2):
        environ = EnvironBuilder(f"/alice/x?port={upstream.port}").get_environ()
        body = proxy(environ, start_response)
        assert b"".join(body) == b"hi"
        body.close()  # type: ignore[attr-defined]
    assert len(given) == 2
    assert given[0] == given[1]
    assert all(type(headers) is list for headers in given)


# --- The iterable --------------------------------------------------------------------------------


def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
    return lambda data: None


def test_the_iterable_is_plain(proxied: Callable[..., PortProxy], service: ServiceFactory) -> None:
    """Servers compute a Content-Length from what has a len()."""
    upstream = service(answers(OK))
    body: Any = proxied()(EnvironBuilder(f"/alice/x?port={upstream.port}").get_environ(), start)
    assert not hasattr(body, "__len__")
    assert iter(body) is body
    assert list(body) == [b"hi"]
    assert list(body) == []
    body.close()
    body.close()


@pytest.mark.case("a visitor leaves, also a silent stream")
@pytest.mark.parametrize("read", [0, 1], ids=["unread", "half-read"])
def test_close_lets_go_of_the_service(
    proxied: Callable[..., PortProxy], service: ServiceFactory, read: int
) -> None:
    left = []

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"first"))
        left.append(until(lambda: peer_left(exchange.sock), "the proxy leaves"))

    upstream = service(script)
    body: Any = proxied()(EnvironBuilder(f"/alice/x?port={upstream.port}").get_environ(), start)
    for _ in range(read):
        assert next(body) == b"first"
    assert not left
    body.close()
    until(lambda: left, "the service saw it", PATIENCE)


def test_a_start_response_that_raises_lets_go_of_the_service(
    proxied: Callable[..., PortProxy], service: ServiceFactory
) -> None:
    left = []

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\nfirst")
        left.append(until(lambda: peer_left(exchange.sock), "the proxy leaves"))

    def refuse(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
        raise ZeroDivisionError

    upstream = service(script)
    with pytest.raises(ZeroDivisionError):
        proxied()(EnvironBuilder(f"/alice/x?port={upstream.port}").get_environ(), refuse)
    until(lambda: left, "the service saw it", PATIENCE)


def test_a_broken_body_raises_so_that_the_server_cuts_the_connection(
    proxied: Callable[..., PortProxy], service: ServiceFactory
) -> None:
    upstream = service(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", keep_open=False))
    body: Any = proxied()(EnvironBuilder(f"/alice/x?port={upstream.port}").get_environ(), start)
    assert next(body) == b"hi"
    with pytest.raises(ConnectionResetError):
        next(body)
    body.close()


@pytest.mark.parametrize("reused", [False, True])
def test_a_visitor_that_left_before_the_early_hints_is_no_fault_of_the_service(
    proxied: Callable[..., PortProxy], service: ServiceFactory, reused: bool
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK))
    proxy = proxied()
    url = f"/alice/x?port={upstream.port}"
    if reused:
        assert Client(proxy).get(url).data == b"hi"

    def early_hints(headers: list[tuple[str, str]]) -> None:
        raise BrokenPipeError

    environ = EnvironBuilder(url).get_environ()
    environ["wsgi.early_hints"] = early_hints
    _, status, _ = run_wsgi_app(proxy, environ, buffered=True)
    assert status == "400 Bad Request"
    assert len(seen) == 1 + reused  # and it was not asked again


def test_a_server_without_early_hints_is_sent_none(
    proxied: Callable[..., PortProxy], service: ServiceFactory
) -> None:
    upstream = service(answers(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK))
    for given in ({}, {"wsgi.early_hints": None}):
        environ = {**EnvironBuilder(f"/alice/x?port={upstream.port}").get_environ(), **given}
        body, status, _ = run_wsgi_app(proxied(), environ, buffered=True)
        assert (status, b"".join(body)) == ("200 OK", b"hi")


# --- The validators of the standard library and of werkzeug, around us and inside -----------------

TEXT = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
RESPONSES = {
    "/length": OK,
    "/chunked": TEXT + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "/close-delimited": b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhi",
    "/empty": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/unchanged": b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n',
    "/no-reason": OK.replace(b"200 OK", b"404 "),
    "/a-status-field": TEXT + b"Status: 418\r\nContent-Length: 2\r\n\r\nhi",
    "/hop-by-hop": TEXT + b"Connection: x\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi",
}
validators = pytest.mark.parametrize(
    "wrap", [validator, LintMiddleware], ids=["wsgiref", "werkzeug"]
)


def behaving(exchange: Exchange) -> None:
    while (request := read_request(exchange)) is not None:
        response = RESPONSES[request.target]
        head = response.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        exchange.send(head if request.method == "HEAD" else response)
        if response.startswith(b"HTTP/1.0"):
            return


def statuses(app: WSGIApplication, urls: Iterable[str], **kwargs: Any) -> list[int]:
    environs = [EnvironBuilder(url, **kwargs).get_environ() for url in urls]
    return [int(run_wsgi_app(app, environ, buffered=True)[1][:3]) for environ in environs]


@pytest.mark.case("wsgiref.validate and werkzeug's lint")
@validators
@pytest.mark.parametrize("authorizer", [None, AskApp], ids=["function", "askapp"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
def test_validators_find_nothing_around_or_inside(
    proxied: Callable[..., PortProxy],
    service: ServiceFactory,
    method: str,
    authorizer: Any,
    wrap: Any,
) -> None:
    """Their findings are AssertionErrors and warnings, and warnings are errors here.

    werkzeug's lint errs in two points: it wants a Content-Length of 0 with a 204, which RFC 9110
    section 8.6 forbids, and the bytes of a Content-Length after HEAD, which section 9.3.2 forbids.
    """
    if wrap is LintMiddleware:
        warnings.filterwarnings("ignore", "204 responses must have an empty content length")
        if method == "HEAD":
            warnings.filterwarnings("ignore", "Content-Length and the number of bytes sent")
    port = service(behaving).port
    inner = wrap(hello)
    app = wrap(proxied(inner, authorizer=authorizer and authorizer(inner, "/{user}")))
    body = {"data": b"x" * 100_000, "content_type": "a/b"} if method in ("POST", "PUT") else {}
    for form in (f"/alice{{}}?port={port}", f"/alice/proxy/{port}{{}}"):
        got = statuses(app, map(form.format, RESPONSES), method=method, **body)
        assert got == [200, 200, 200, 204, 304, 404, 200, 200]


@validators
@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
def test_validators_find_nothing_in_what_we_say_ourselves(
    proxied: Callable[..., PortProxy], wrap: Any, accept: str
) -> None:
    app = wrap(proxied(wrap(hello)))
    ports = (free_port(), 5000, "abc")
    urls = ["/page", *(f"/alice/x?port={port}" for port in ports), "/alice/../x?port=16006"]
    assert statuses(app, urls, headers={"Accept": accept}) == [200, 502, 403, 400, 404]
    assert statuses(app, ["/alice/x?port=16006"], method="TRACE") == [405]
    # werkzeug's lint still asks for absolute URLs, as RFC 2616 did; RFC 9110 does not.
    warnings.filterwarnings("ignore", "Absolute URLs required for location header")
    urls = ["/alice/?port=16006", "/alice/proxy/16006"]
    assert statuses(app, urls, headers={"Sec-Fetch-Mode": "navigate"}) == [307, 308]


# --- Several of them -----------------------------------------------------------------------------


@pytest.mark.case("mounts, dispatchers, generators: the app's own answers are untouched")
def test_two_mounts_one_inside_the_other(
    proxied: Callable[..., PortProxy], service: ServiceFactory
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    client = Client(proxied(proxied(mount="/lab/{bench}"), mount="/users/{user}"))
    assert client.get(f"/lab/1/x?port={upstream.port}").data == b"hi"
    assert client.get(f"/users/alice/y?port={upstream.port}").data == b"hi"
    assert client.get(f"/other/z?port={upstream.port}").data == b"app |/other/z"
    assert [request.target for request in seen] == ["/x", "/y"]
    assert [request.values("X-Forwarded-Prefix") for request in seen] == [
        ["/lab/1"],
        ["/users/alice"],
    ]


def test_mounts_of_a_dispatcher(proxied: Callable[..., PortProxy], service: ServiceFactory) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    mounts: dict[str, WSGIApplication] = {"/one": proxied(), "/two": proxied(mount="")}
    client = Client(DispatcherMiddleware(proxied(), mounts))
    for url in ("/one/alice/x?port={}", "/two/x?port={}", "/alice/x?port={}", "/two/proxy/{}/x"):
        assert client.get(url.format(upstream.port)).data == b"hi"
    assert [request.target for request in seen] == ["/x"] * 4
    assert [request.values("X-Forwarded-Prefix") for request in seen] == [
        ["/one/alice"],
        ["/two"],
        ["/alice"],
        [f"/two/proxy/{upstream.port}"],
    ]
    assert client.get("/one/page").data == b"app /one|/page"


def test_a_proxy_in_front_of_a_dispatcher(
    proxied: Callable[..., PortProxy], service: ServiceFactory
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    inner: WSGIApplication = DispatcherMiddleware(hello, {"/one": hello})
    client = Client(proxied(inner, mount="/one/{user}"))
    assert client.get(f"/one/alice/x?port={upstream.port}").data == b"hi"
    assert client.get("/one/alice/x").data == b"app /one|/alice/x"
    assert seen[0].values("X-Forwarded-Prefix") == ["/one/alice"]
