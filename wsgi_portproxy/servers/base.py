"""The interface of a server adapter, and what holds for a server that has none.

PEP 3333 has no way to notice that a visitor left, and lets `wsgi.input.read(n)` wait for `n` bytes
though fewer have come. Where a server offers more, its adapter says how to get at it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: Bytes of a body.
Block = bytes | memoryview
Headers = list[tuple[str, str]]


class VisitorSocket(Protocol):
    """What we use of a server's socket; gevent's is no subclass of the standard one."""

    def fileno(self) -> int: ...
    def getsockname(self) -> Any: ...


class BodyReader:
    """Reads `wsgi.input` as PEP 3333 allows: a read may wait until `limit` bytes have come.

    `read1`, which io.BufferedIOBase has and some servers' inputs inherit, returns what is there.
    """

    #: Becomes readable when `read` has something new; None where only a read can tell.
    socket: VisitorSocket | None = None

    def __init__(self, environ: WSGIEnvironment) -> None:
        source = environ["wsgi.input"]
        self._read = getattr(source, "read1", source.read)

    def buffered(self) -> bool:
        """Whether a read returns without waiting for the socket; True where that is unknown."""
        return True

    def read(self, limit: int) -> Block:
        """At least one byte and at most `limit`; empty at the end of the body.

        It is the caller's until the next call, which may use the same memory again.
        """
        data: bytes = self._read(limit)
        return data


class ServerResponse(Protocol):
    """A server's own record of a response that it sends for us, whose rest somebody else may send.

    sent: bytes of the body that the server was given. is_chunked: whether it frames them as chunks.
    has_length: whether its head has a Content-Length.
    """

    @property
    def sent(self) -> int: ...
    @property
    def is_chunked(self) -> bool: ...
    @property
    def has_length(self) -> bool: ...

    def close_connection(self) -> None:
        """Have the head, which is still to come, say that the connection ends with the body."""

    def send_head(self) -> None:
        """Send the head, unless it was sent."""


class Adapter:
    """What one server offers beyond PEP 3333, read from a request's environ.

    An adapter is asked about requests that came through other servers too, and answers None then.
    It imports no server and expects none to be as it was in the last release: whatever it cannot
    find is None as well, and the request is served by PEP 3333 alone.
    """

    name: str
    #: What the server's own keys of an environ begin with. They concern the connection, and are
    #: kept from the wrapped app where we call it with a request of our own.
    key_prefixes: tuple[str, ...] = ()

    def socket(self, environ: WSGIEnvironment) -> Any:
        """The server's socket of the visitor's connection. Required."""
        raise NotImplementedError

    def read_ahead(self, environ: WSGIEnvironment) -> bytes:
        """Take the bytes that the server has read from `socket` past the request's head."""
        raise NotImplementedError

    def hands_over(self, environ: WSGIEnvironment) -> bool:
        """Whether the connection serves this request alone, and our threads run while the server
        waits for other visitors: then a WebSocket may leave the server."""
        return True

    def response(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> ServerResponse | None:
        """The record of this request's response, if it may leave the server in mid-body: the
        framing that the server begins is then known for sure, and the socket is a plain one."""
        return None

    def body_reader(self, environ: WSGIEnvironment) -> BodyReader | None:
        """A better way to read the request's body than `BodyReader`."""
        return None

    def threads(self, environ: WSGIEnvironment) -> int | None:
        """How many threads the server has for requests in this process. May raise AttributeError,
        IndexError, KeyError, TypeError or ValueError, which count as None."""
        return None

    def bodiless_headers(self, environ: WSGIEnvironment, status: int, headers: Headers) -> Headers:
        """The headers of a 304, or of a response to HEAD, as this server can send them."""
        return headers


def is_tls(sock: object) -> bool:
    """Whether Python itself encrypts on this socket, so that its descriptor is of no use alone."""
    return hasattr(sock, "getpeercert")
