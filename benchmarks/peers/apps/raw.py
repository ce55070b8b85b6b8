"""The limit: one write to a socket that is kept, and its answer read. No proxy can do less.

It parses nothing but the length of the answer and passes nothing on of the request.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from benchmarks.peers.apps import FILES_PORT
from benchmarks.peers.heads import SMALL_PATH
from benchmarks.peers.rawsocket import RawSocket

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_own = threading.local()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if not hasattr(_own, "raw"):
        _own.raw = RawSocket(FILES_PORT, SMALL_PATH)
    body = _own.raw.get()
    headers = [("Content-Type", "application/javascript"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
