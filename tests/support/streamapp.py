"""The test app as the tests of streams need it: an early hand-over, and what must prevent one.

What the middleware logs is part of what these tests look at, so it is printed.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import make_server

from werkzeug.serving import run_simple

from wsgi_portproxy import Limits, PortProxy
from wsgi_portproxy.tunnel import relay as relay_module
from wsgi_portproxy.tunnel.shared import relay

from .chosen import choosing
from .hostapp import HOSTS, MOUNT, app, may_view
from .notes import note
from .run_server import uwsgi

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MODULE = "tests.support.streamapp:application"
AFTER = 0.05  # seconds: `detach_after` of the apps below

# Seconds: a test that wants others for the relay of its host sets them in the environment.
for _name in ("LINGER", "DRAIN", "DRAIN_WAITING", "_SWEEP"):
    setattr(relay_module, _name, float(os.environ.get(_name, getattr(relay_module, _name))))

_handler = logging.StreamHandler(sys.stderr)
_handler.setFormatter(logging.Formatter("portproxy %(levelname)s %(message)s"))
logging.getLogger("wsgi_portproxy").addHandler(_handler)
logging.getLogger("wsgi_portproxy").setLevel(logging.INFO)


def _pages(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The app with two pages more: /state, what this process holds; /slow, a response that streams
    for longer than `AFTER`."""
    if environ["PATH_INFO"] == "/slow":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return _drip()
    if environ["PATH_INFO"] != "/state":
        return app(environ, start_response)
    state = {"streams": relay().places.taken, "threads": threading.active_count()}
    body = json.dumps(state).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


def _drip() -> Iterator[bytes]:
    for number in range(8):
        yield b"data: %d\n\n" % number
        time.sleep(AFTER / 4)


def _proxy(**settings: Any) -> PortProxy:
    settings = {"detach_after": AFTER, **settings}
    return PortProxy(_pages, authorizer=may_view, mount=MOUNT, hosts=HOSTS, **settings)


quick = _proxy()
_patient = _proxy(detach_after=3600.0)
_never = _proxy(detach_after=None)


def _rewriting(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """An outer middleware that adds a header, as most do: by a start_response of its own."""

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        return start_response(status, [*headers, ("X-Outer", "was here")], exc_info)

    return quick(environ, start)


def _collecting(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """An outer middleware that gives out the body only when it has all of it, and nothing else."""
    body = quick(environ, start_response)
    try:
        return [b"".join(body)]
    finally:
        _close(body)


def _late(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """An outer middleware that holds back one block, to see which is the last."""
    body = quick(environ, start_response)
    try:
        held = b""
        for block in body:
            yield held
            held = block
        yield held
    finally:
        _close(body)


def _measuring(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """An outer middleware that notes how large the largest block of a body was, in bytes."""
    body = _never(environ, start_response)
    largest = 0
    try:
        for block in body:
            largest = max(largest, len(block))
            yield block
    finally:
        _close(body)
        note(environ, f"largest block: {largest}")


def _close(body: Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()


def _like_http2(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A request as gunicorn's HTTP/2 hands it over: its socket is shared with other requests."""
    return quick({**environ, "SERVER_PROTOCOL": "HTTP/2"}, start_response)


application = choosing(
    {
        "quick": quick,
        "patient": _patient,
        "never": _never,
        "two": _proxy(limits=Limits(tunnels=2, tunnels_per_port=2)),
        "rewriting": _rewriting,
        "collecting": _collecting,
        "late": _late,
        "measuring": _measuring,
        "like-http2": _like_http2,
    }
)


def of_server(name: str, port: int, application: WSGIApplication = quick) -> None:
    """Serve on 127.0.0.1 with one of the servers that start from Python, until the process ends."""
    if name == "werkzeug":
        run_simple("127.0.0.1", port, application, threaded=True)
    elif name == "wsgiref":
        make_server("127.0.0.1", port, application).serve_forever()
    elif name.startswith("waitress"):
        lookahead = {"channel_request_lookahead": 5} if name == "waitress-lookahead" else {}
        serve = import_module("waitress").serve
        serve(application, host="127.0.0.1", port=port, threads=4, **lookahead)
    elif name == "cheroot":
        server = import_module("cheroot.wsgi").Server
        server(("127.0.0.1", port), application, numthreads=4).start()
    elif name == "gevent":
        server = import_module("gevent.pywsgi").WSGIServer
        server(("127.0.0.1", port), application).serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "uwsgi":
        uwsgi(int(sys.argv[2]), "--enable-threads", "--http-socket", module=MODULE)
    else:
        of_server(sys.argv[1], int(sys.argv[2]))
