"""Finds the WSGI server of a request, and what that server offers beyond PEP 3333.

The rest of the package calls the functions here and depends on no server. Nothing imports a server;
requests through an unknown server, or a release that changed, are served by PEP 3333 alone.

To add a server, write a module with its `Adapter` and add the adapter to `ADAPTERS`.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import TYPE_CHECKING, Any

from .base import Adapter, Block, BodyReader, Headers, RawBody, VisitorSocket, is_tls
from .file_object import FileObject, Werkzeug
from .gunicorn import Gunicorn
from .processes import server_processes
from .uwsgi import UWSGI
from .waitress import Waitress

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = [
    "ADAPTERS",
    "KEY_PREFIXES",
    "Adapter",
    "Block",
    "BodyReader",
    "RawBody",
    "VisitorSocket",
    "bodiless_headers",
    "body_reader",
    "connection_of",
    "is_tls",
    "raw_body",
    "server_processes",
    "server_threads",
    "takes_chunks",
]

#: Tried in this order: servers that put their socket in the environ come first.
ADAPTERS: tuple[Adapter, ...] = (Gunicorn(), Werkzeug(), Waitress(), FileObject(), UWSGI())

#: The prefixes of the servers' own environ keys.
KEY_PREFIXES = tuple(prefix for adapter in ADAPTERS for prefix in adapter.key_prefixes)


def connection_of(environ: WSGIEnvironment) -> tuple[Adapter, VisitorSocket] | None:
    """The adapter of this request's server, and the server's socket to the visitor; None if no
    adapter knows the server, or the connection is closed."""
    for adapter in ADAPTERS:
        sock: VisitorSocket | None = adapter.socket(environ)
        if sock is not None and _is_open(sock):
            return adapter, sock
    return None


def _is_open(sock: Any) -> bool:
    try:
        return bool(sock.fileno() >= 0)
    except (AttributeError, OSError, ValueError):
        return False


def body_reader(environ: WSGIEnvironment) -> BodyReader:
    """The best available reader of this request's body."""
    for adapter in ADAPTERS:
        reader = adapter.body_reader(environ)
        if reader is not None:
            return reader
    return BodyReader(environ)


def raw_body(environ: WSGIEnvironment) -> RawBody | None:
    """The connection under this request's chunked body, if its server lets it be had."""
    for adapter in ADAPTERS:
        raw = adapter.raw_body(environ)
        if raw is not None:
            return raw
    return None


def bodiless_headers(environ: WSGIEnvironment, status: int, headers: Headers) -> Headers:
    """The headers of a 304, or of a response to HEAD, as the server can send them."""
    for adapter in ADAPTERS:
        headers = adapter.bodiless_headers(environ, status, headers)
    return headers


def takes_chunks(environ: WSGIEnvironment) -> bool:
    """Whether a connection that has left its server may be sent chunks."""
    is_recent = environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
    return is_recent and all(adapter.takes_chunks(environ) for adapter in ADAPTERS)


def server_threads(environ: WSGIEnvironment) -> int | None:
    """How many threads this process of the server has for requests; None if unknown, or if the
    server makes one for each connection.

    No server reports this to an application. So this looks at the thread that runs this request,
    and then asks the adapters. Greenlets have no such number either.
    """
    for threads in (_pool_threads, *(adapter.threads for adapter in ADAPTERS)):
        with contextlib.suppress(AttributeError, IndexError, KeyError, TypeError, ValueError):
            count = threads(environ)
            if count is not None:
                return count
    return None


def _pool_threads(environ: WSGIEnvironment) -> int | None:
    """The size of the `concurrent.futures` pool (gunicorn's gthread, a2wsgi) that this thread
    belongs to: each of its threads holds a weak reference to it."""
    reference = next(iter(getattr(threading.current_thread(), "_args", ())), None)
    executor = reference() if isinstance(reference, weakref.ref) else None
    count = getattr(executor, "_max_workers", None)
    return count if isinstance(count, int) else None
