"""wsgi_portproxy with everything switched on: authorizer, mount, hook, its log, all defaults."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from webob import Request

from wsgi_portproxy import PortProxy, RequestMetrics, Target

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PAGE = b"a page of the app\n"

logging.basicConfig(level=logging.INFO)
_totals: dict[tuple[str, int, str], int] = {}
_lock = threading.Lock()


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(PAGE)))]
    start_response("200 OK", headers)
    return [PAGE]


def may_view(request: Request, target: Target) -> bool:
    return target.params["username"] == "alice"


def count(metrics: RequestMetrics) -> None:
    key = (metrics.form, metrics.status, metrics.ended)
    with _lock:
        _totals[key] = _totals.get(key, 0) + 1


application = PortProxy(app, authorizer=may_view, mount="/{username}/{project}", on_finished=count)
