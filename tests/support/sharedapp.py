"""The test app with what visitors share made smaller, by the environment, so that it is soon
reached; it says at `/stats` what it holds.

`OLDEST`: seconds for which an idle connection is kept. `DESCRIPTORS`: how many the worker may have.
From `/starve` to `/feed` it can open no more than it has; those that it closes it can open again.
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from wsgi_portproxy import Limits, PortProxy
from wsgi_portproxy.upstream import pool as idle

from .hostapp import HOSTS, MOUNT, NO_CAP, app, may_view

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_, _HARD = resource.getrlimit(resource.RLIMIT_NOFILE)
DESCRIPTORS = int(os.environ.get("DESCRIPTORS", "1024"))


def _limit(descriptors: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, _HARD))


_fillers: list[int] = []


def _starve() -> None:
    """Fill what is free between those that are open, so that each that is closed is of use."""
    highest = max(map(int, os.listdir("/proc/self/fd")))
    while (lowest_free := os.dup(0)) < highest:
        _fillers.append(lowest_free)
    os.close(lowest_free)
    _limit(lowest_free)


def _feed() -> None:
    _limit(DESCRIPTORS)
    while _fillers:
        os.close(_fillers.pop())


def _pages(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/starve":
        _starve()
    if path == "/feed":
        _feed()
    if path not in ("/stats", "/starve", "/feed"):
        return app(environ, start_response)
    body = json.dumps(asdict(application.stats())).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


def _proxy(limit: int) -> PortProxy:
    return PortProxy(
        _pages,
        authorizer=may_view,
        mount=MOUNT,
        hosts=HOSTS,
        limits=Limits(requests_per_port=limit),
    )


idle.OLDEST = float(os.environ.get("OLDEST", idle.OLDEST))
_limit(DESCRIPTORS)
application = _proxy(int(os.environ.get("PER_PORT", NO_CAP)))
