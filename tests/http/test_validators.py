"""The validators of the standard library and of werkzeug, around the middleware and inside it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest
from werkzeug.middleware.lint import LintMiddleware
from werkzeug.test import EnvironBuilder, run_wsgi_app

from tests.conftest import ServiceFactory
from tests.support.ports import free_port
from tests.support.received import OK, read_request
from tests.support.service import Exchange
from wsgi_portproxy import PortProxy

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    text = f"app {environ.get('SCRIPT_NAME')}|{environ.get('PATH_INFO')}".encode()
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))]
    start_response("200 OK", headers)
    return [text]


@pytest.fixture
def proxied() -> Iterator[Callable[..., PortProxy]]:
    """Make a PortProxy that lets everybody through; its connections are closed with the test."""
    made: list[PortProxy] = []

    def make(app: WSGIApplication = hello, mount: str = "/{user}") -> PortProxy:
        made.append(PortProxy(app, authorizer=lambda request, target: True, mount=mount))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("the-app", "/page", {}),
    ("get", "/alice/x?port={port}", {}),
    ("get-path-form", "/alice/proxy/{port}/x?a=1", {}),
    ("head", "/alice/x?port={port}", {"method": "HEAD"}),
    ("post", "/alice/x?port={port}", {"method": "POST", "data": b"body", "content_type": "a/b"}),
    ("put-large", "/alice/x?port={port}", {"method": "PUT", "data": b"x" * 100_000}),
    ("delete", "/alice/x?port={port}", {"method": "DELETE"}),
    ("out-of-range", "/alice/x?port=80", {}),
    ("no-port", "/alice/x?port=abc", {}),
    ("refused", "/alice/x?port={nobody}", {}),
    ("refused-as-json", "/alice/x?port={nobody}", {"headers": {"Accept": "application/json"}}),
    ("refused-as-page", "/alice/x?port={nobody}", {"headers": {"Accept": "text/html"}}),
    ("connect", "/alice/x?port={port}", {"method": "TRACE"}),
]
RESPONSES = [
    pytest.param(OK, id="length"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nhi\r\n0\r\n\r\n",
        id="chunked",
    ),
    pytest.param(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhi", id="close-delimited"),
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="204"),
    pytest.param(b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n', id="304"),
    pytest.param(OK.replace(b"200 OK", b"404 "), id="404-without-reason"),
    pytest.param(OK.replace(b"\r\n", b"\r\nStatus: 418\r\n", 1), id="a-status-field"),
    pytest.param(OK.replace(b"\r\n", b"\r\nConnection: x\r\nUpgrade: h2c\r\n", 1), id="hop-by-hop"),
]
Wrap = Callable[["WSGIApplication"], "WSGIApplication"]
WRAPPERS: list[tuple[str, Wrap]] = [("validator", validator), ("lint", LintMiddleware)]


@pytest.mark.parametrize("wrap", [wrap for _, wrap in WRAPPERS], ids=[name for name, _ in WRAPPERS])
@pytest.mark.parametrize("response", RESPONSES)
@pytest.mark.parametrize(
    ("path", "kwargs"), [row[1:] for row in REQUESTS], ids=[row[0] for row in REQUESTS]
)
def test_validators_find_nothing_around_or_inside(
    proxied: Callable[..., PortProxy],
    service: ServiceFactory,
    path: str,
    kwargs: dict[str, Any],
    response: bytes,
    wrap: Wrap,
) -> None:
    """Their findings are AssertionErrors and warnings, and warnings are errors here.

    werkzeug's lint errs in two points: it wants a Content-Length of 0 with a 204, which RFC 9110
    section 8.6 forbids, and the bytes of a Content-Length after HEAD, which section 9.3.2 forbids.
    """
    if wrap is LintMiddleware:
        warnings.filterwarnings("ignore", "204 responses must have an empty content length")
        if kwargs.get("method") == "HEAD":
            warnings.filterwarnings("ignore", "Content-Length and the number of bytes sent")

    def script(exchange: Exchange) -> None:
        while (request := read_request(exchange)) is not None:
            head = response.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            exchange.send(head if request.method == "HEAD" else response)
            if response.startswith(b"HTTP/1.0"):
                return

    upstream = service(script)
    app = wrap(proxied(wrap(hello)))
    builder = EnvironBuilder(path.format(port=upstream.port, nobody=free_port()), **kwargs)
    _, status, _ = run_wsgi_app(app, builder.get_environ(), buffered=True)
    assert status[:1] in "245" or status.startswith("304")


@pytest.mark.parametrize("wrap", [wrap for _, wrap in WRAPPERS], ids=[name for name, _ in WRAPPERS])
def test_validators_find_nothing_in_a_promotion(
    proxied: Callable[..., PortProxy], wrap: Wrap
) -> None:
    builder = EnvironBuilder("/alice/?port=16006", headers=[("Sec-Fetch-Mode", "navigate")])
    with warnings.catch_warnings():
        # werkzeug's lint still asks for absolute URLs, as RFC 2616 did; RFC 9110 does not.
        warnings.filterwarnings("ignore", "Absolute URLs required for location header")
        app = wrap(proxied(wrap(hello)))
        _, status, headers = run_wsgi_app(app, builder.get_environ(), buffered=True)
    assert (status, headers["Location"]) == ("307 Temporary Redirect", "/alice/proxy/16006/")
