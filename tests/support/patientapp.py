"""The test app with much patience, so that a busy machine is not taken for a service that hangs;
and below `/alice/hurried` with little, for services that do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from wsgi_portproxy import Limits, PortProxy, Timeouts, Withhold

from .hostapp import HOSTS, MOUNT, NO_CAP, app, may_view

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HURRY = 0.5  # seconds


def _proxy(seconds: float) -> PortProxy:
    # Visitors who left are noticed within a second: meanwhile they may hold many of the threads.
    return PortProxy(
        app,
        authorizer=may_view,
        mount=MOUNT,
        hosts=HOSTS,
        withhold=Withhold(early_hints=False),
        timeouts=Timeouts(connect=seconds, head=seconds),
        limits=Limits(requests_per_port=NO_CAP),
    )


_patient, _hurried = _proxy(30.0), _proxy(HURRY)


def hurried(target: str) -> str:
    """The target of a request that is not waited for long."""
    return target.replace("/vision", "/hurried", 1)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    proxy = _hurried if "/hurried" in environ["PATH_INFO"] else _patient
    return proxy(environ, start_response)
