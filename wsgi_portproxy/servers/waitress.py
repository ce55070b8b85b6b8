"""waitress: a callback in the environ leads to the channel, with its socket and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import Adapter, BodyReader, StoredReader

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Waitress(Adapter):
    name = "waitress"
    module = "waitress.task"
    key_prefixes = ("waitress.",)

    def socket(self, environ: WSGIEnvironment) -> Any:
        return getattr(_channel(environ), "socket", None)

    def read_ahead(self, environ: WSGIEnvironment) -> bytes:
        # waitress takes bytes after the request for the start of the next one.
        request = getattr(_channel(environ), "request", None)
        return bytes(getattr(request, "header_plus", b""))

    def body_reader(self, environ: WSGIEnvironment) -> BodyReader | None:
        return StoredReader(environ) if _channel(environ) is not None else None

    def hands_over(self, environ: WSGIEnvironment) -> bool:
        # With lookahead, waitress's main thread reads from a connection even during its request.
        return not getattr(_channel(environ).adj, "channel_request_lookahead", 0)

    def threads(self, environ: WSGIEnvironment) -> int | None:
        channel = _channel(environ)
        return None if channel is None else int(channel.adj.threads)


def _channel(environ: WSGIEnvironment) -> Any:
    return getattr(environ.get("waitress.client_disconnected"), "__self__", None)
