"""The bookkeeping of a request: what a tunnel, which may last for days, keeps of it."""

from __future__ import annotations

import weakref

from tests.support.waiting import until
from wsgi_portproxy.inflight import InFlightRequests
from wsgi_portproxy.lasting import LastingRequests
from wsgi_portproxy.locate.visit import Visit
from wsgi_portproxy.metrics import RequestMetrics

from .given import a_target, environ


class Input:
    """The server's object for the visitor's body, by which its parser and socket are kept."""


def test_a_detached_request_keeps_nothing_of_the_server() -> None:
    told: list[RequestMetrics] = []
    body = Input()
    is_kept = weakref.ref(body)
    visit = Visit({**environ("/x"), "wsgi.input": body})
    lasting = LastingRequests(lambda request: True, None)
    requests = InFlightRequests(None, told.append, lasting)
    request = requests.begin(visit, a_target(websocket=True))
    request.hold_thread()
    request.detach()
    on_end = request.ending(101)
    del body, visit, request
    assert is_kept() is None
    on_end(True, 3, 4)
    [metrics] = told
    assert (metrics.method, metrics.bytes_received, metrics.bytes_sent) == ("GET", 3, 4)


def test_a_request_that_ended_before_it_was_said_to_last_is_not_watched() -> None:
    """The relay may be quicker than the thread that gave it the request."""
    lasting = LastingRequests(lambda request: True, 0.01)
    requests = InFlightRequests(None, None, lasting)
    request = requests.begin(Visit(environ("/x")), a_target())
    request.end(200, "complete")
    request.last(lambda request, error: None)
    assert [len(kept) for kept in (lasting._all, lasting._stops, lasting._due)] == [0, 0, 0]
    is_kept = weakref.ref(request)
    del request
    until(lambda: is_kept() is None, "the thread that asks lets go of it")
