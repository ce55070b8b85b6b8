"""Step 5: passes the service's response on to the visitor, as a WSGI application.

Makes the final checks before the response reaches the WSGI server (no body where none is allowed,
one start_response, after everything is decided), and passes each block on as it arrives. A broken
body must look broken: if a short body ended quietly, several servers would keep the visitor's
connection open, and the next response would be read as the rest of this one.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from urllib3.exceptions import ProtocolError

from ..errors import PortProxyError
from ..inflight import InFlight
from ..metrics import Ending, loggable
from ..names import log
from ..rewrite.header_tables import Headers
from ..rewrite.response_headers import ResponseHeaders
from ..rewrite.urls import UrlMapper
from ..servers import bodiless_headers
from ..upstream.request_body import read_out
from ..upstream.response import UpstreamResponse
from ..upstream.steps import in_thread

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Bytes of the first block, and the size to which blocks grow while the service fills them. Small
# blocks reach the visitor early, large ones cost less per byte.
_FIRST_BLOCK, _LAST_BLOCK = 65536, 1 << 20
_FILLED = 7 / 8  # a block this full counts as filled: the rest may be chunk sizes


def respond(
    response: UpstreamResponse,
    urls: UrlMapper,
    headers_of: ResponseHeaders,
    extra: Headers,
    request: InFlight,
) -> WSGIApplication:
    """The service's response as a WSGI application, to be called once. It closes `response` and
    ends `request`.

    extra: our headers to add.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        kind = WholeBody if response.is_whole else StreamedBody
        body: ServiceBody = kind(response, request)
        try:
            headers = visitors_headers(response, urls, headers_of, request.visit.environ) + extra
            write = start_response(f"{response.status} {response.reason or ''}", headers)
            body.begin(write)
        except BaseException:
            request.end(response.status, "cut")
            body.close()
            raise
        return body

    return application


def moved(status: int, location: str, extra: Headers) -> WSGIApplication:
    """A redirect to another URL of the same service, for the visitor's browser to follow.

    extra: our headers to add.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        read_out(environ)  # after a 307 or 308 the browser sends the body again
        headers = [
            ("Location", location),
            ("Content-Length", "0"),
            ("Content-Type", "text/plain"),  # wsgiref.validate requires one
            ("Cache-Control", "no-store"),
            *extra,
        ]
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [b""]

    return application


def visitors_headers(
    response: UpstreamResponse,
    urls: UrlMapper,
    headers_of: ResponseHeaders,
    environ: WSGIEnvironment,
) -> Headers:
    headers = headers_of.of(response.header_list, urls, environ)
    if response.status == 204:  # RFC 9110 section 8.6: never with a Content-Length
        headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
    if response.status == 304 or environ["REQUEST_METHOD"] == "HEAD":
        headers = bodiless_headers(environ, response.status, headers)
    return headers


class ServiceBody(ABC):
    """The body of a service's response, as the server gets it. Has no `__len__`, because servers
    would use it.

    The request ends when the body is closed, and only then.
    """

    def __init__(self, response: UpstreamResponse, request: InFlight) -> None:
        self._response = response
        self._request = request
        self._passed = 0  # bytes given out so far
        self._is_closed = False

    def begin(self, write: Callable[[bytes], object]) -> None:  # noqa: B027 - not of a whole body
        """The server has the head. `write`: as in PEP 3333."""

    def __iter__(self) -> Iterator[bytes]:
        return self

    @abstractmethod
    def __next__(self) -> bytes: ...

    @property
    @abstractmethod
    def _is_complete(self) -> bool:
        """Whether the whole body was given out."""

    def close(self) -> None:
        """Called by the server, and by the body itself at its end: not every middleware passes the
        call on. Further calls do nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        ended: Ending = "complete" if self._is_complete else "cut"
        self._request.end(self._response.status, ended, sent=self._passed)
        self._response.close()


class WholeBody(ServiceBody):
    """A body that came together with its head, as most do, given out as one block."""

    def __init__(self, response: UpstreamResponse, request: InFlight) -> None:
        super().__init__(response, request)
        self._block = response.take()

    def __next__(self) -> bytes:
        block, self._block = self._block, b""
        if not block:
            self.close()
            raise StopIteration
        self._passed = len(block)
        return block

    @property
    def _is_complete(self) -> bool:
        return not self._block


class StreamedBody(ServiceBody):
    """A body that is passed on block by block as it arrives.

    Raises ConnectionResetError if the service or the visitor
    broke off, so that the server cuts the connection and the visitor notices.
    """

    def __init__(self, response: UpstreamResponse, request: InFlight) -> None:
        super().__init__(response, request)
        self._write: Callable[[bytes], object] = bytes
        self._began = False
        self._size = _FIRST_BLOCK

    def begin(self, write: Callable[[bytes], object]) -> None:
        self._request.last(self._response.interrupt)
        self._write = write
        if self._response.body_is_due():
            self._send_head()  # now: an event stream may stay silent for long

    def _send_head(self) -> None:
        """Make the server send the head now: by default it waits for the first byte of the body."""
        self._began = True
        self._write(b"")

    def __next__(self) -> bytes:
        try:
            block = in_thread(self._response.read1(self._size))
        except ProtocolError as error:
            text = loggable(str(error.args[0]))
            log.warning("port %d: the response broke off: %s", self._request.port, text)
            self.close()
            if not self._began:
                self._send_head()  # else the server would send its own 500, or nothing
            raise ConnectionResetError(errno.ECONNRESET, "the service broke off") from error
        except PortProxyError as error:  # on the visitor's side; too late for an error page
            text = loggable(error.detail or error.message)
            log.debug("port %d: the visitor left: %s", self._request.port, text)
            self.close()
            raise ConnectionResetError(errno.ECONNRESET, "the visitor left") from error
        if not block and self._request.revoked is not None:
            self.close()
            raise ConnectionResetError(errno.ECONNRESET, "the visitor may not have the rest")
        if not block:
            self.close()
            raise StopIteration
        self._began = True
        self._passed += len(block)
        if self._size < _LAST_BLOCK and len(block) >= self._size * _FILLED:
            self._size *= 2
        return block

    @property
    def _is_complete(self) -> bool:
        return self._response.is_read
