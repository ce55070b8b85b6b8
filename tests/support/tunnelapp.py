"""The test app as the tests of tunnels need it: the settings of one, the faults of another."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from webob import Request

from wsgi_portproxy import PortProxy, Target

from .hostapp import MOUNT, app, may_view

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def _login(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("302 Found", [("Location", "/login"), ("Content-Type", "text/plain")])
    return [b"sign in\n"]


def _noted(request: Request, target: Target) -> bool | WSGIApplication:
    """By the cookie `user`: alice may, nobody is sent to the login page, for eve it fails, others
    may not. Each call is a line of the log."""
    user = request.cookies.get("user")
    print(f"authorizer asked: {target.path} websocket={target.websocket}", file=sys.stderr)
    if user is None:
        return _login
    if user == "eve":
        raise RuntimeError("a database is down")
    return bool(user == "alice")


def _forking(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The app with three pages more.

    /fork, /multiprocessing and /c-fork start a child that lives on, by os.fork alone, as that
    library does it, and as C code does it, which tells Python nothing. They answer its process id.
    /reap answers how many of those children still live.
    """
    if environ["PATH_INFO"] == "/fork":
        number = os.fork()
        if not number:
            try:
                _linger()
            finally:
                os._exit(0)
    elif environ["PATH_INFO"] == "/c-fork":
        libc = ctypes.PyDLL(None)  # it keeps the GIL: the child has no thread to give it back
        number = libc.fork()
        if not number:
            libc.pause()
    elif environ["PATH_INFO"] == "/multiprocessing":
        process = multiprocessing.get_context("fork").Process(target=_linger, daemon=True)
        process.start()
        number = process.pid or 0
    elif environ["PATH_INFO"] == "/reap":
        number = len(multiprocessing.active_children())
        with contextlib.suppress(ChildProcessError):  # there is none
            number += os.waitpid(-1, os.WNOHANG) == (0, 0)
    else:
        return app(environ, start_response)
    body = str(number).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def _linger() -> None:
    time.sleep(60)  # the test that started it ends it


noting = PortProxy(app, authorizer=_noted, mount=MOUNT, head_timeout=2.0)
with_origin = PortProxy(app, authorizer=may_view, mount=MOUNT, tunnels_require_origin=True)
two_tunnels = PortProxy(app, authorizer=may_view, mount=MOUNT, max_tunnels=2)
impatient = PortProxy(app, authorizer=may_view, mount=MOUNT, tunnel_idle_timeout=1.5)
brief = PortProxy(app, authorizer=may_view, mount=MOUNT, max_tunnels=2, tunnel_idle_timeout=1.5)
# A cap of its own, so that what fails when descriptors run out is the hand-over itself.
forking = PortProxy(_forking, authorizer=may_view, mount=MOUNT, max_tunnels=1000)
