"""An account is closed once, whatever the server and the middleware around us do with an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.test import EnvironBuilder

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk
from tests.support.received import OK
from tests.support.service import Exchange, Script, answers
from tests.support.waiting import PATIENCE
from wsgi_portproxy import Limits, PortProxy, RequestMetrics, Withhold

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
    return lambda data: None


Told = list[RequestMetrics]


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def proxy(told: Told) -> Iterator[PortProxy]:
    """One request per port at a time: a place that is not given back is missed at once."""
    made = PortProxy(
        lambda environ, start_response: [],
        authorizer=lambda request, target: True,
        limits=Limits(requests_per_port=1),
        withhold=Withhold(early_hints=False),
        on_finished=told.append,
    )
    yield made
    made.close()


def closes(body: Any) -> None:
    body.close()


def reads(body: Any) -> None:
    list(body)


def reads_and_closes(body: Any) -> None:
    list(body)
    body.close()


def reads_one_and_closes_twice(body: Any) -> None:
    next(body)
    body.close()
    body.close()


def reads_past_the_end(body: Any) -> None:
    list(body)
    list(body)
    body.close()
    list(body)


@pytest.mark.parametrize(
    ("response", "method", "does", "ended", "sent"),
    [
        pytest.param(OK, "GET", reads_and_closes, "complete", 2, id="read"),
        pytest.param(OK, "GET", reads, "complete", 2, id="read-and-not-closed"),
        pytest.param(OK, "GET", reads_past_the_end, "complete", 2, id="read-again"),
        pytest.param(OK, "GET", closes, "cut", 0, id="never-iterated"),
        pytest.param(OK[:-2], "HEAD", closes, "complete", 0, id="head-never-iterated"),
        pytest.param(OK[:-2], "HEAD", reads_and_closes, "complete", 0, id="head"),
        pytest.param(
            CHUNKED + chunk(b"one"), "GET", reads_one_and_closes_twice, "cut", 3, id="half-read"
        ),
    ],
)
def test_the_iterable(
    proxy: PortProxy,
    told: Told,
    service: ServiceFactory,
    response: bytes,
    method: str,
    does: Callable[[Any], None],
    ended: str,
    sent: int,
) -> None:
    upstream = service(answers(response, OK, keep_open=False))
    for number in range(1, 4):
        does(proxy(environ(upstream.port, method), start))
        assert [(one.ended, one.bytes_sent) for one in told] == [(ended, sent)] * number


def raises(*args: object) -> Any:
    raise ZeroDivisionError


def start_to_raise(*args: object) -> Any:
    return raises


class BrokenInput:
    read = raises


def head_only(exchange: Exchange) -> None:
    exchange.read_head()
    exchange.send(CHUNKED)
    exchange.peer_closed(PATIENCE)


UPLOAD = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "5", "wsgi.input": BrokenInput()}
HINTED = answers(b"HTTP/1.1 103 x\r\nLink: </a>\r\n\r\n" + OK)


@pytest.mark.parametrize(
    ("script", "fields", "start_response"),
    [
        pytest.param(head_only, {}, raises, id="start_response"),
        pytest.param(head_only, {}, start_to_raise, id="write"),
        pytest.param(answers(OK), UPLOAD, start, id="input"),
        pytest.param(HINTED, {"wsgi.early_hints": raises}, start, id="early-hints"),
    ],
)
def test_a_server_that_raises(
    proxy: PortProxy,
    told: Told,
    service: ServiceFactory,
    script: Script,
    fields: dict[str, Any],
    start_response: Any,
) -> None:
    upstream = service(script)
    for number in range(1, 4):
        with pytest.raises(ZeroDivisionError):
            proxy({**environ(upstream.port), **fields}, start_response)
        assert [one.ended for one in told] == ["cut"] * number


def environ(port: int, method: str = "GET") -> WSGIEnvironment:
    made: WSGIEnvironment = EnvironBuilder(f"/x?port={port}", method=method).get_environ()
    return made
