"""The interface of a server adapter, and the defaults for a server without one.

PEP 3333 has no way to notice that a visitor left, and lets `wsgi.input.read(n)` wait for `n` bytes
even if fewer have come. If a server offers more, its adapter gives access to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: Bytes of a body.
Block = bytes | memoryview
Headers = list[tuple[str, str]]


class VisitorSocket(Protocol):
    """The part of a server's socket that we use; gevent's is no subclass of socket.socket."""

    def fileno(self) -> int: ...
    def getsockname(self) -> Any: ...


class BodyReader:
    """Reads `wsgi.input` as PEP 3333 allows: a read may wait until `limit` bytes have come.

    Prefers `read1`, which returns the available bytes; some servers' inputs inherit it from
    io.BufferedIOBase.
    """

    #: Becomes readable when `read` has new bytes; None if only a read can tell.
    socket: VisitorSocket | None = None
    #: Whether the rest of the body is what follows on the connection: the bytes that the server has
    #: read ahead (`Adapter.read_ahead`), then those of the socket.
    follows = False
    #: Whether the server has all of the body, so that a read never waits.
    is_stored = False
    #: Whether bytes that have come are not decoded yet.
    is_behind = False

    def __init__(self, environ: WSGIEnvironment) -> None:
        source = environ["wsgi.input"]
        self._read = getattr(source, "read1", source.read)

    def buffered(self) -> bool:
        """Whether a read returns without waiting for the socket; True if unknown."""
        return True

    def read(self, limit: int) -> Block:
        """At least one byte and at most `limit`; empty at the end of the body.

        The block is valid until the next call, which may reuse its memory.
        """
        data: bytes = self._read(limit)
        return data


class StoredReader(BodyReader):
    """Reads the body for servers that call the application once they have all of it."""

    is_stored = True


class RawBody(Protocol):
    """The connection while a chunked body comes, so that we can decode the chunks ourselves."""

    @property
    def socket(self) -> VisitorSocket: ...

    def buffered(self) -> bool:
        """Whether a read returns without waiting for the socket."""

    def read(self, limit: int) -> bytes:
        """At least one byte, as it came; empty if the visitor closed. `limit`: of the bytes that
        are not read ahead."""

    def give_back(self, data: bytes) -> None:
        """Give back bytes that came after the body."""

    def stand_in(self, read: Callable[[int], bytes]) -> None:
        """From now on the server too reads the body by `read`: after the response it drops what
        nobody has read, and must go on where we are."""


class Adapter(ABC):
    """What one server offers beyond PEP 3333, read from a request's environ.

    Adapters are also asked about requests through other servers, and return None then. They import
    no server and rely on no particular release: they also return None for anything that they cannot
    find, and the request is served by PEP 3333 alone.
    """

    name: str
    #: The module that makes start_response.
    module = ""
    #: The prefixes of the server's own environ keys. These keys concern the connection, so we
    #: remove them when we call the wrapped app with our own request.
    key_prefixes: tuple[str, ...] = ()

    @abstractmethod
    def socket(self, environ: WSGIEnvironment) -> Any:
        """The server's socket to the visitor."""

    @abstractmethod
    def read_ahead(self, environ: WSGIEnvironment) -> bytes:
        """Take the bytes that the server has read from `socket` beyond the request's head."""

    def hands_over(self, environ: WSGIEnvironment) -> bool:
        """Whether a connection may leave the server: it serves this request alone, and our threads
        run while the server waits for other visitors."""
        return True

    def owns(self, start_response: object) -> bool:
        """Whether a start_response is the server's own: a middleware that puts its own in front may
        change the response, and is taken as if it did."""
        return made_in(start_response) == self.module

    def takes_chunks(self, environ: WSGIEnvironment) -> bool:
        """Whether chunks may be written to a connection that has left the server: the other end
        speaks HTTP/1.1. Asked with what `locate.kept` keeps of the environ."""
        return True

    def body_reader(self, environ: WSGIEnvironment) -> BodyReader | None:
        """A better reader of the request's body than `BodyReader`."""
        return None

    def raw_body(self, environ: WSGIEnvironment) -> RawBody | None:
        """The connection under a chunked body that nobody has begun to read, if the server lets it
        be had."""
        return None

    def threads(self, environ: WSGIEnvironment) -> int | None:
        """How many threads the server has for requests in this process. May raise AttributeError,
        IndexError, KeyError, TypeError or ValueError, which count as None."""
        return None

    def bodiless_headers(self, environ: WSGIEnvironment, status: int, headers: Headers) -> Headers:
        """The headers of a 304, or of a response to HEAD, as this server can send them."""
        return headers


def is_tls(sock: object) -> bool:
    """Whether Python does the TLS of this socket, so that its descriptor alone is useless."""
    # The second is pyOpenSSL's.
    return hasattr(sock, "getpeercert") or hasattr(sock, "get_peer_certificate")


def made_in(start_response: object) -> str:
    """The module of a function, or of the class whose method it is."""
    owner = getattr(start_response, "__self__", None)
    if owner is not None and type(owner).__module__ != "builtins":
        return type(owner).__module__
    return str(getattr(start_response, "__module__", None) or "")
