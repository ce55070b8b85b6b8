"""Step 4, the request to a service: which headers it has, and its head as bytes.

`rewrite.request_headers` selects and maps the visitor's headers. Nothing of a request is kept for
the next one, which may be another visitor's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..errors import BadRequest
from ..rewrite.cookies import CookiePolicy
from ..rewrite.header_tables import HeaderNames, Headers
from ..rewrite.request_headers import request_headers
from ..rewrite.urls import UrlMapper
from ..rewrite.via import via
from ..settings import Withhold

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: The hop-by-hop headers of a WebSocket handshake. Both sides' own are dropped, like all hop-by-hop
#: headers; the request to the service and the response to the visitor have these instead.
UPGRADE_HEADERS = [("Connection", "Upgrade"), ("Upgrade", "websocket")]


class UpstreamRequest(NamedTuple):
    """A request as it is sent.

    request_target: in origin-form (RFC 9112 section 3.2).
    headers: with Host.
    websocket: whether it asks for an upgrade, so that a 101 is a valid response.
    """

    port: int
    method: str
    request_target: str
    headers: Headers
    websocket: bool = False

    def without_headers(self) -> UpstreamRequest:
        """The same, once it was sent: thousands may wait for their response."""
        return self._replace(headers=[])

    def head(self) -> bytes:
        """The bytes up to and including the empty line. Raises `BadRequest` if a value has a line
        break, which could split one header, or one request, into two."""
        line = f"{self.method} {self.request_target} HTTP/1.1"
        text = "\r\n".join([line, *map(": ".join, self.headers)])
        breaks = len(self.headers)
        if text.count("\r") != breaks or text.count("\n") != breaks or "\0" in text:
            raise BadRequest("The request contains a character that is not allowed in headers.")
        return f"{text}\r\n\r\n".encode("latin-1")


class RequestHeaders:
    """Makes the headers of the requests that one `PortProxy` sends to services."""

    def __init__(self, cookies: CookiePolicy, withhold: Withhold) -> None:
        self._cookies = cookies
        names = [*withhold.headers, *(["Authorization"] if withhold.authorization else [])]
        self._withheld = (HeaderNames("headers", names),) if names else ()

    def of(
        self, environ: WSGIEnvironment, urls: UrlMapper, ours: HeaderNames | None = None
    ) -> Headers:
        """The headers of a request, except the one that announces its body."""
        withheld = self._withheld if ours is None else (*self._withheld, ours)
        headers = request_headers(environ, urls, self._cookies, withheld)
        headers.append(via(environ))
        if urls.target.websocket:
            headers += UPGRADE_HEADERS
        return headers
