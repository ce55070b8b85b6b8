"""The bookkeeping of a request: what a tunnel, which may last for days, keeps of it."""

from __future__ import annotations

import weakref

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
