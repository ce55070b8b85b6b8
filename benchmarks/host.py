"""The app that the measurements wrap: plain WSGI, so that nothing is measured but the proxy.

`/state` tells what the worker process holds, so that a leak shows from outside; `/package` which
package is measured.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from webob import Request

import wsgi_portproxy
from wsgi_portproxy import Limits, PortProxy, Target
from wsgi_portproxy.locate.locator import _place
from wsgi_portproxy.policy.hosts import LOOPBACK
from wsgi_portproxy.tunnel.shared import relay

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MOUNT = "/alice/vision"  # what `application`'s mount matches
STAYING = "/alice/staying"  # likewise; where `either` is `staying`
PAGE = b"a page of the app\n"


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/state":
        return _json(start_response, _state())
    if environ["PATH_INFO"] == "/stats":
        return _json(start_response, asdict(application.stats()))
    page = wsgi_portproxy.__file__.encode() if environ["PATH_INFO"] == "/package" else PAGE
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(page)))]
    start_response("200 OK", headers)
    return [page]


def may_view(request: Request, target: Target) -> bool:
    return target.params["username"] == "alice"


# The tests' clients ask by the first.
HOSTS = ["app.test", *LOOPBACK]
MANY = 1 << 20  # no cap: measured is what many to one port cost


def _proxy(detach_after: float | None) -> PortProxy:
    return PortProxy(
        app,
        authorizer=may_view,
        mount="/{username}/{project}",
        hosts=HOSTS,
        limits=Limits(tunnels_per_port=MANY),
        detach_after=detach_after,
    )


CAP = os.environ.get("REQUESTS_PER_PORT")
application = PortProxy(
    app,
    authorizer=may_view,
    mount="/{username}/{project}",
    hosts=HOSTS,
    limits=Limits(tunnels_per_port=MANY, requests_per_port=int(CAP) if CAP else None),
)
# For measurements of streams: none leaves its thread, all leave at once, and soon: so that hundreds
# can be opened through a few threads in a short time.
staying = _proxy(None)
leaving = _proxy(0.0)
hurried = _proxy(0.1)


def either(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """`staying` below `STAYING`, else `application`: in one process, so that how its threads fall
    onto cores hits both."""
    is_staying = environ["PATH_INFO"].startswith(STAYING)
    return (staying if is_staying else application)(environ, start_response)


def _forget_what_is_kept() -> None:
    """What is kept of ports and of paths, each up to a bound, is no leak; a soak has other ports
    each minute, and would need many of them to reach the bounds. A port in use stays."""
    ports = application._requests.limits._ports
    for number in [number for number, port in ports.items() if not port.held]:
        del ports[number]
    _place.cache_clear()


def _state() -> dict[str, int]:
    application.close()  # idle connections, as many as were in use at a time, are no leak
    _forget_what_is_kept()
    gc.collect()  # nor is what only waits to be collected
    return {"tunnels": relay().places.taken, "objects": len(gc.get_objects())}


def _json(start_response: StartResponse, value: dict[str, Any]) -> Iterable[bytes]:
    body = json.dumps(value).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
