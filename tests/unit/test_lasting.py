"""What is kept of requests that last, and when their authorizer is asked again."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from wsgi_portproxy.lasting import LastingRequests

from ..support.waiting import until


class Request(SimpleNamespace):
    """A request that has not ended yet."""

    __hash__ = object.__hash__  # type: ignore[assignment]
    visitor = ""
    revoked: Any = None
    port = 10_000
    params: Mapping[str, str] = {}
    kind = "stream"
    has_ended = False


def stop(request: object, error: object) -> None: ...


def test_one_that_ends_while_it_is_asked_about_is_not_kept() -> None:
    asked: list[object] = []

    def may_go_on(request: object) -> bool:
        asked.append(request)
        return True

    lasting = LastingRequests(may_go_on, 0.02)
    request = Request()

    class Due(dict[Any, float]):
        def __contains__(self, one: object) -> bool:
            """The relay's thread ends the request right after this."""
            request.has_ended = True
            lasting.end(request)
            return True

    lasting._due = Due()
    lasting.begin(request)
    lasting.last(request, stop)
    until(lambda: bool(asked), "it is asked about")
    until(lambda: not lasting._has_thread, "nothing is left to ask about")
    assert not lasting._due


def test_an_authorizer_that_exits_is_asked_again() -> None:
    asked: list[object] = []

    def exits(request: object) -> bool:
        asked.append(request)
        raise SystemExit

    lasting = LastingRequests(exits, 0.02)
    request = Request()
    lasting.begin(request)
    lasting.last(request, stop)
    try:
        until(lambda: len(asked) > 1, "it is asked about again")
    finally:
        lasting.end(request)
