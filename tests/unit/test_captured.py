"""An application's answer, taken up to its head and given out once."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from wsgi_portproxy.captured import CapturedResponse, NotAnApplication

from .given import environ

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Body:
    """An iterable that tells how far it was read, and how often it was closed."""

    def __init__(self, *blocks: bytes) -> None:
        self._blocks = iter(blocks)
        self.read = 0
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block = next(self._blocks)
        self.read += 1
        return block

    def close(self) -> None:
        self.closed += 1


def answering(body: Iterable[bytes], status: str = "200 OK") -> Any:
    def application(made: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, [("Content-Type", "text/plain")])
        return body

    return application


def given_out(captured: CapturedResponse, method: str = "GET") -> tuple[list[Any], list[bytes]]:
    started: list[Any] = []

    def start_response(*args: Any) -> Any:
        started.append(args)

    blocks = list(captured(environ(method=method), start_response))
    captured.close()
    return started, blocks


def test_the_body_is_not_read_before_it_is_asked_for() -> None:
    body = Body(b"a", b"b")
    captured = CapturedResponse(answering(body, "404 Not Found"), environ())
    assert (captured.status, captured.status_line) == (404, "404 Not Found")
    assert captured.headers == [("Content-Type", "text/plain")]
    assert (body.read, body.closed) == (0, 0)
    captured.close()
    assert (body.read, body.closed) == (0, 1)


def test_it_is_given_out_as_it_came() -> None:
    body = Body(b"a", b"", b"b")
    captured = CapturedResponse(answering(body), environ())
    started, blocks = given_out(captured)
    assert started == [("200 OK", [("Content-Type", "text/plain")])]
    assert blocks == [b"a", b"", b"b"]
    assert body.closed == 1


def test_to_head_it_is_given_out_without_its_body() -> None:
    body = Body(b"a", b"b")
    captured = CapturedResponse(answering(body), environ())
    started, blocks = given_out(captured, "HEAD")
    assert started == [("200 OK", [("Content-Type", "text/plain")])]
    assert (blocks, body.read, body.closed) == ([], 0, 1)


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
        finally:
            closed.append(True)

    captured = CapturedResponse(application, environ())
    assert (captured.status, closed) == (201, [])
    started, blocks = given_out(captured)
    assert started == [("201 Created", [("X", "1")])]
    assert b"".join(blocks) == b"written " + first + b" late last"
    assert closed == [True]


def test_a_generator_that_ends_at_once() -> None:
    def application(made: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("204 No Content", [])
        yield from []

    captured = CapturedResponse(application, environ())
    assert given_out(captured) == ([("204 No Content", [])], [])


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


def test_the_list_of_fields_is_a_copy() -> None:
    fields = [("X", "1")]

    def application(made: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", fields)
        return []

    captured = CapturedResponse(application, environ())
    fields.clear()
    assert captured.headers == [("X", "1")]


def test_what_is_no_application_is_closed() -> None:
    body = Body(b"a")
    with pytest.raises(NotAnApplication):
        CapturedResponse(lambda made, start_response: body, environ())
    assert body.closed == 1


def test_a_generator_that_raises_is_closed() -> None:
    closed = []

    class Broken(Body):
        def __next__(self) -> bytes:
            raise LookupError

        def close(self) -> None:
            closed.append(True)

    with pytest.raises(LookupError):
        CapturedResponse(lambda made, start_response: Broken(), environ())
    assert closed == [True]


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

    captured = CapturedResponse(application, environ())
    blocks = iter(captured(environ(), server))
    assert next(blocks) == b"a"
    with pytest.raises(LookupError):
        next(blocks)


def test_what_is_written_at_the_very_end_is_given_out_too() -> None:
    def application(made: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        write = start_response("200 OK", [])
        yield b"a"
        write(b"b")
        yield b"c"
        write(b"d")

    assert b"".join(given_out(CapturedResponse(application, environ()))[1]) == b"abcd"
