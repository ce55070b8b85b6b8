"""werkzeug's ProxyMiddleware, with the two services as targets."""

from __future__ import annotations

from werkzeug.exceptions import NotFound
from werkzeug.middleware.http_proxy import ProxyMiddleware

from benchmarks.peers.apps import FILES, SINK

application = ProxyMiddleware(
    NotFound(),
    {
        "/files/": {"target": FILES, "remove_prefix": True},
        "/sink/": {"target": SINK, "remove_prefix": True},
    },
)
