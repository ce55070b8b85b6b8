"""The test app as the tests of tunnels need it: with several settings on one server."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from webob import Request

from wsgi_portproxy import Limits, PortProxy, Target, Timeouts

from .chosen import choosing
from .hostapp import HOSTS, MOUNT, app, may_view
from .notes import note

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

IDLE = 1.5  # seconds of silence after which the proxy "idle" cuts a tunnel


def _login(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("302 Found", [("Location", "/login"), ("Content-Type", "text/plain")])
    return [b"sign in\n"]


def _noted(request: Request, target: Target) -> bool | WSGIApplication:
    """By the cookie `user`: alice may, nobody is sent to the login page, for eve it fails, others
    may not. Each call is noted."""
    user = request.cookies.get("user")
    note(request.environ, f"asked about {target.path_qs} websocket={target.websocket}")
    if user is None:
        return _login
    if user == "eve":
        raise RuntimeError("a database is down")
    return bool(user == "alice")


def _forking(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The app with four pages more.

    /stats tells the numbers of this process. /fork and /c-fork start a child that lives on, as
    Python does it, and as C code does it, which tells Python nothing. They answer its process id.
    /reap answers how many children still live.
    """
    if environ["PATH_INFO"] == "/fork":
        number = os.fork()
        if not number:
            time.sleep(60)  # the test that started it ends it
            os._exit(0)
    elif environ["PATH_INFO"] == "/c-fork":
        libc = ctypes.PyDLL(None)  # it keeps the GIL: the child has no thread to give it back
        number = libc.fork()
        if not number:
            libc.pause()
    elif environ["PATH_INFO"] == "/reap":
        number = 0
        with contextlib.suppress(ChildProcessError):  # there is none
            number = int(os.waitpid(-1, os.WNOHANG) == (0, 0))
    elif environ["PATH_INFO"] == "/stats":
        body = json.dumps(asdict(_plain.stats())).encode()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [body]
    else:
        return app(environ, start_response)
    body = str(number).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def _proxy(application: WSGIApplication = app, **settings: Any) -> PortProxy:
    return PortProxy(
        application, **{"authorizer": may_view, "mount": MOUNT, "hosts": HOSTS, **settings}
    )


# A cap of its own, so that what fails when descriptors run out is the hand-over itself.
_MANY = Limits(tunnels=1000, tunnels_per_port=1000)
_plain = _proxy(_forking, limits=_MANY)
application = choosing(
    {
        "plain": _plain,
        "at-the-101": _proxy(limits=_MANY, detach_after=None),
        "hurried": _proxy(timeouts=Timeouts(head=0.5)),
        "noting": _proxy(authorizer=_noted),
        "with-origin": _proxy(require_origin=True),
        "two": _proxy(limits=Limits(tunnels=2, tunnels_per_port=2)),
        "eight": _proxy(limits=Limits(tunnels=8)),
        "one-each": _proxy(limits=Limits(tunnels=8, tunnels_per_port=1)),
        "idle": _proxy(timeouts=Timeouts(tunnel_idle=IDLE)),
    }
)
