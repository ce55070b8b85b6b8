"""WSGIProxy2 with its default client, one proxy for each of the two services."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from wsgiproxy import HostProxy  # type: ignore[import-not-found]  # only in .venv-peers

from benchmarks.peers.apps import FILES, SINK

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_files = HostProxy(FILES)
_sink = HostProxy(SINK)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    proxy = _sink if environ["PATH_INFO"].startswith("/sink") else _files
    answer: Iterable[bytes] = proxy(environ, start_response)
    return answer
