"""PEP 3333 as two validators read it, around us and inside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest
from werkzeug.middleware.lint import LintMiddleware
from werkzeug.test import Client

from tests.conftest import ServiceFactory
from tests.support.hostapp import MOUNT, may_view
from tests.support.ports import free_port
from tests.support.received import by_target
from wsgi_portproxy import AskApp, PortProxy

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ALICE = {"Cookie": "user=alice"}
BROWSER = {**ALICE, "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """An app that neither validator finds fault with."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"page"]


def well_behaved(method: str) -> dict[str, bytes]:
    """Answers of a service that has read the RFCs."""
    plain = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
    length, chunks = (b"", b"") if method == "HEAD" else (b"hi", b"2\r\nhi\r\n0\r\n\r\n")
    return {
        "/length": plain + b"Content-Length: 2\r\n\r\n" + length,
        "/chunked": plain + b"Transfer-Encoding: chunked\r\n\r\n" + chunks,
        "/status": plain + b"Status: 200\r\nContent-Length: 2\r\n\r\n" + length,
        "/hop": plain + b"Connection: keep-alive\r\nContent-Length: 2\r\n\r\n" + length,
        "/unchanged": b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n',
        "/empty": b"HTTP/1.1 204 No Content\r\n\r\n",
    }


# werkzeug's does not know that a HEAD has no body, and wants the Content-Length on a 204 that
# RFC 9110 section 8.6 forbids.
LINTERS: list[tuple[Any, str, str]] = [(validator, method, "") for method in METHODS]
LINTERS += [(LintMiddleware, method, "/empty") for method in METHODS if method != "HEAD"]


@pytest.mark.parametrize(
    ("linter", "method", "not_for"), LINTERS, ids=[f"{row[0].__name__}-{row[1]}" for row in LINTERS]
)
@pytest.mark.parametrize("authorizer", [lambda: may_view, AskApp], ids=["function", "askapp"])
def test_no_validator_finds_fault_around_us_and_inside(
    service: ServiceFactory, linter: Any, method: str, not_for: str, authorizer: Any
) -> None:
    responses = well_behaved(method)
    upstream = service(by_target(responses))
    wrapped: WSGIApplication = linter(page)
    proxy = PortProxy(wrapped, authorizer=authorizer(), mount=MOUNT)
    client = Client(linter(proxy), use_cookies=False)
    for path in responses.keys() - {not_for}:
        for url in (
            f"/alice/vision{path}?port={upstream.port}",
            f"/alice/vision/proxy/{upstream.port}{path}",
        ):
            answer = client.open(url, method=method, headers=ALICE)
            assert answer.status_code < 400
            answer.close()
    assert upstream.connections > 0
    proxy.close()


@pytest.mark.parametrize("linter", [validator, LintMiddleware], ids=["wsgiref", "werkzeug"])
@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
def test_no_validator_finds_fault_with_what_we_say_ourselves(linter: Any, accept: str) -> None:
    proxy = PortProxy(linter(page), authorizer=may_view, mount=MOUNT)
    client = Client(linter(proxy), use_cookies=False)
    for url, status in [
        ("/alice/vision/", 200),
        (f"/alice/vision/?port={free_port()}", 502),
        ("/alice/vision/?port=5000", 403),
        ("/alice/vision/?port=abc", 400),
        ("/alice/vision/..?port=16006", 404),
        ("/bob/x/?port=16006", 403),
    ]:
        answer = client.get(url, headers={**ALICE, "Accept": accept})
        assert answer.status_code == status
        answer.close()


def test_no_validator_finds_fault_with_our_redirects() -> None:
    """But werkzeug's, which wants an absolute URL, from before RFC 7231."""
    proxy = PortProxy(validator(page), authorizer=may_view, mount=MOUNT)
    client = Client(validator(proxy), use_cookies=False)
    for url, status in [("/alice/vision/?port=16006", 307), ("/alice/vision/proxy/16006", 308)]:
        answer = client.get(url, headers=BROWSER)
        assert answer.status_code == status
        answer.close()
