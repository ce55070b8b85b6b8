"""Step 5: passes a service's response on, in its thread or after it has left it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .errors import NotFound, PortProxyError
from .inflight import InFlight
from .respond.body import respond
from .respond.error_page import log_error
from .respond.wire import reply_of, reply_to_error
from .rewrite.header_tables import Headers
from .rewrite.response_headers import ResponseHeaders
from .rewrite.urls import UrlMapper
from .tunnel.records import Reply
from .tunnel.websocket import WebSockets
from .upstream.response import UpstreamResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: What an exchange results in.
Result: TypeAlias = tuple[UpstreamResponse, UrlMapper]


class StreamBack:
    """Passes the responses of one `PortProxy` on."""

    def __init__(self, websockets: WebSockets, headers_of: ResponseHeaders) -> None:
        self._websockets = websockets
        self._headers_of = headers_of

    def application(
        self, request: InFlight, response: UpstreamResponse, urls: UrlMapper, cookies: Headers
    ) -> WSGIApplication:
        """The response as an application, which ends the request. Raises `PortProxyError`.

        cookies: ours, to add.
        """
        if response.status == 101:
            return self._websockets.carry(response, urls, self._headers_of, request)
        if request.target.is_astray:  # a handshake: all other requests were redirected
            response.close()
            raise NotFound(
                "There is no such page.", detail="the service did not switch to a WebSocket"
            )
        return respond(response, urls, self._headers_of, cookies, request)

    def reply(self, request: InFlight, cookies: Headers, result: Result | BaseException) -> Reply:
        """The response as bytes, for a request that was detached: of the result of its exchange or
        the exception that it raised. Raises any other exception."""
        environ = request.visit.environ
        try:
            if isinstance(result, BaseException):
                raise result
            response, urls = result
            if response.status == 101:
                return self._websockets.reply(response, urls, self._headers_of, environ)
            return reply_of(response, urls, self._headers_of, cookies, environ)
        except PortProxyError as error:
            request.refuse(error)
            log_error(error)
            return reply_to_error(error, environ)  # also if it left: it may only send no more
        except BaseException:
            request.end(500, "cut")
            raise
