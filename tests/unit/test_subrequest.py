"""An application's answer, taken up to its head and given out once."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from wsgi_portproxy.subrequest import CapturedResponse, NotAnApplication

from .given import environ

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

FIELDS = [("Content-Type", "text/plain")]


class Body:
    """An iterable that tells how far it was read, and how often it was closed."""

    def __init__(self, *blocks: bytes | Exception) -> None:
        self._blocks = iter(blocks)
        self.read = self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block = next(self._blocks)
        self.read += 1
        if isinstance(block, Exception):
            raise block
        return block

    def close(self) -> None:
        self.closed += 1


def captured_from(body: Iterable[bytes]) -> CapturedResponse:
    def application(made: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        fields = [*FIELDS]
        start_response("404 Not Found", fields)
        fields.clear()  # its own; ours is a copy
        return body

    return CapturedResponse(application, environ())


def given_out(captured: CapturedResponse, method: str = "GET") -> tuple[list[Any], list[bytes]]:
    started: list[Any] = []

    def start_response(*args: Any) -> Any:
        started.append(args)

    blocks = list(captured(environ(method=method), start_response))
    captured.close()
    return started, blocks


def test_the_body_is_not_read_before_it_is_asked_for() -> None:
    body = Body(b"a", b"b")
    captured = captured_from(body)
    assert (captured.status, captured.status_line) == (404, "404 Not Found")
    assert captured.headers == FIELDS
    assert (body.read, body.closed) == (0, 0)
    captured.close()
    assert (body.read, body.closed) == (0, 1)


@pytest.mark.parametrize(("method", "read"), [("GET", 3), ("HEAD", 0)])
def test_it_is_given_out_as_it_came_but_to_head_without_its_body(method: str, read: int) -> None:
    body = Body(b"a", b"", b"b")
    started, blocks = given_out(captured_from(body), method)
    assert started == [("404 Not Found", FIELDS)]
    assert blocks == [b"a", b"", b"b"][:read]
    assert (body.read, body.closed) == (read, 1)


@pytest.mark.parametrize("first", [b"", b"a"], ids=["empty-first-block", "first-block"])
def test_a_generator_is_begun_to_know_its_status(first: bytes) -> None:
    closed = []

    def application(made: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        try:
            write = start_response("201 Created", [("X", "1")])
            write(b"written ")
            yield first
            write(b" late ")
            yield b"last"
            write(b", at the very end")
        finally:
            closed.append(True)

    captured = CapturedResponse(application, environ())
    assert (captured.status, closed) == (201, [])
    started, blocks = given_out(captured)
    assert started == [("201 Created", [("X", "1")])]
    assert b"".join(blocks) == b"written " + first + b" late last, at the very end"
    assert closed == [True]


def test_a_generator_that_ends_at_once() -> None:
    def application(made: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("204 No Content", [])
        yield from []

    captured = CapturedResponse(application, environ())
    assert not captured.begins()
    assert given_out(captured) == ([("204 No Content", [])], [])


def test_whether_it_has_a_body_is_known_before_it_is_given_out() -> None:
    assert not captured_from(Body(b"", b"")).begins()
    body = Body(b"", b"a", b"b")
    captured = captured_from(body)
    assert captured.begins()
    assert captured.begins()
    assert body.read == 2
    assert given_out(captured)[1] == [b"", b"a", b"b"]


def test_the_last_of_a_field_counts() -> None:
    captured = captured_from([])
    assert captured.header("x") is None
    captured.headers += [("X", "1"), ("x", "2"), ("Y", "3")]
    assert captured.header("x") == "2"


def test_the_last_start_response_counts() -> None:
    def application(made: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("X", "1")])
        try:
            raise LookupError
        except LookupError:
            start_response("500 Oops", [("X", "2")], sys.exc_info())
        return [b"oops"]

    captured = CapturedResponse(application, environ())
    assert (captured.status, captured.headers) == (500, [("X", "2")])
    assert given_out(captured)[1] == [b"oops"]


@pytest.mark.parametrize(
    ("block", "error"), [(b"a", NotAnApplication), (LookupError(), LookupError)]
)
def test_what_is_no_application_or_raises_is_closed(
    block: bytes | Exception, error: type[Exception]
) -> None:
    body = Body(block)
    with pytest.raises(error):
        CapturedResponse(lambda made, start_response: body, environ())
    assert body.closed == 1


def test_an_error_in_mid_body_reaches_the_server() -> None:
    """PEP 3333, "The start_response() Callable": with the headers sent, it has to raise."""

    def application(made: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        try:
            raise LookupError("in mid-body")
        except LookupError:
            start_response("500 Internal Server Error", [], sys.exc_info())
        yield b"the error's page"

    def server(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        if exc_info is not None:
            raise exc_info[1]

    blocks = iter(CapturedResponse(application, environ())(environ(), server))
    assert next(blocks) == b"a"
    with pytest.raises(LookupError):
        next(blocks)
