"""Hosts for these tests: each authorizer call is noted in the log, and verdicts are ordered.

Only a test can order a verdict, by the cookie `verdict`; without it the visitor `user` is judged.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock, Mock

from webob import Request, Response

from tests.support import patientapp
from tests.support.hostapp import HOSTS, MOUNT, app, may_view
from tests.support.marks import mark_of
from tests.support.notes import note
from wsgi_portproxy import AskApp, Limits, PortProxy, Target
from wsgi_portproxy.policy import concurrency as caps

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


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
    note(request.environ, f"{request.method} {target.port} {'/'.join(target.params.values())}")
    verdict = request.cookies.get("verdict")
    return VERDICTS[verdict]() if verdict else may_view(request, target)


def _noted_app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The test app, which also notes when it is asked for a project's page."""
    marked = {"HTTP_KEEP_ALIVE": environ["tests.mark"]}
    note(marked, f"app {environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
    return app(environ, start_response)


noted = PortProxy(app, authorizer=noting, mount=MOUNT, hosts=HOSTS)
_asking = PortProxy(
    _noted_app,
    authorizer=AskApp(_noted_app, "/{username}/{project}/", seconds=0),
    mount=MOUNT,
    hosts=HOSTS,
)


def asking(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The field with the mark is no part of the question to the app: here it gets it too."""
    return _asking({**environ, "tests.mark": mark_of(environ)}, start_response)


def strained(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """From `/starve` to `/feed` this process can open no descriptor; those that it has stay."""
    limits = {"/starve": 3, "/feed": 1024}
    if environ["PATH_INFO"] in limits:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[environ["PATH_INFO"]], hard))
    return patientapp.application(environ, start_response)


# Who waits for a turn waits it out here, which is no matter to the others: they have turns enough.
caps.PATIENCE = 0.1
one_each = PortProxy(
    app,
    authorizer=may_view,
    mount=MOUNT,
    hosts=HOSTS,
    limits=Limits(requests_per_port=1, request_body=1000),
)
