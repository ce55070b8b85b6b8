"""Hosts for these tests: each authorizer call leaves a line in a file, and verdicts are ordered.

Only a test can order a verdict, by the cookie `verdict`; without it the visitor `user` is judged.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock, Mock

from webob import Request, Response

from tests.support.hostapp import MOUNT, app, may_view
from wsgi_portproxy import AskApp, PortProxy, Target

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: The environment variable that names the file.
CALLS = "PORTPROXY_TEST_CALLS"


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("/srv/secret.py")


def _raise(error: BaseException) -> Any:
    raise error


async def _coroutine() -> bool:
    return True


VERDICTS: dict[str, Callable[[], Any]] = {
    "true": lambda: True,
    "false": lambda: False,
    "raise": lambda: _raise(RuntimeError("/srv/secret.py")),
    "raise-unprintable": lambda: _raise(Unprintable()),
    "none": lambda: None,
    "one": lambda: 1,
    "zero": lambda: 0,
    "no": lambda: "no",
    "empty": lambda: "",
    "mock": Mock,
    "magic-mock": MagicMock,
    "class": lambda: Response,
    "coroutine": _coroutine,
    "tuple": lambda: ("secret", 403),
    "redirect": lambda: Response(status=302, headers={"Location": "/login"}),
    "response": lambda: Response(b"pay first", status=402, content_type="text/plain"),
}


def noting(request: Request, target: Target) -> Any:
    with open(os.environ[CALLS], "a", encoding="utf-8") as calls:
        calls.write(f"{request.method} {target.port} {'/'.join(target.params.values())}\n")
    verdict = request.cookies.get("verdict")
    return VERDICTS[verdict]() if verdict else may_view(request, target)


def noted_app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The test app, which also notes when it is asked for a project's page."""
    with open(os.environ[CALLS], "a", encoding="utf-8") as calls:
        calls.write(f"app {environ['REQUEST_METHOD']} {environ['PATH_INFO']}\n")
    return app(environ, start_response)


def starved_app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """From `/starve` to `/feed` this process can open no descriptor; those that it has stay."""
    limits = {"/starve": 3, "/feed": 1024}
    if environ["PATH_INFO"] in limits:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[environ["PATH_INFO"]], hard))
    return app(environ, start_response)


def _proxy(wrapped: WSGIApplication, authorizer: Any = noting, mount: str = MOUNT) -> PortProxy:
    return PortProxy(
        wrapped, authorizer=authorizer, mount=mount, connect_timeout=1.0, head_timeout=2.0
    )


noted = _proxy(app)
asking = _proxy(noted_app, AskApp(seconds=0))
whole = _proxy(app, mount="")
starved = _proxy(starved_app, may_view)
