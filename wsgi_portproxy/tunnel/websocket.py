"""Step 5 for a WebSocket: turns a service's 101 into a tunnel.

Decides which handshakes may become tunnels on which servers, and what the visitor's 101 looks like
on the wire. `hijack` takes the connection out of its server, and `relay` carries the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import NotImplementedHere, Overloaded
from ..inflight import InFlight
from ..locate.visit import Visit
from ..rewrite.header_tables import Headers
from ..rewrite.response_headers import ResponseHeaders
from ..rewrite.urls import UrlMapper
from ..servers import Adapter, is_tls
from ..settings import Timeouts
from ..upstream.request import UPGRADE_HEADERS
from ..upstream.response import UpstreamResponse
from .blocking import Transferred, relay_in_thread
from .handshake import check_request, check_response
from .hijack import Hijacker
from .hub import call_in_hub
from .records import NewTunnel, Reply
from .shared import is_available, relay

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class WebSockets:
    """Handles the WebSockets of one `PortProxy`. Settings as in `PortProxy`."""

    def __init__(self, hijacker: Hijacker, timeouts: Timeouts, *, require_origin: bool) -> None:
        self._hijacker = hijacker
        self._idle_timeout = timeouts.tunnel_idle
        self._require_origin = require_origin

    def check(self, visit: Visit) -> None:
        """Raise unless a handshake may go on: `BadRequest`, `UpgradeRequired`, `ForeignOrigin`, or
        `NotImplementedHere` if this server cannot hand over the connection.
        """
        environ, adapter = visit.environ, visit.server
        check_request(environ, require_origin=self._require_origin)
        if environ.get("SERVER_PROTOCOL") != "HTTP/1.1":
            # Under HTTP/2 all of the visitor's requests share the socket.
            raise NotImplementedHere(
                "WebSockets require HTTP/1.1 here.",
                "Turn HTTP/2 off in the server, or for this path.",
            )
        if not is_available() or adapter is None or not adapter.hands_over(environ):
            raise NotImplementedHere(
                "WebSockets do not work on this server, because it cannot hand over connections.",
                "Run the application on gunicorn, waitress (without channel_request_lookahead), "
                "cheroot, gevent or uWSGI (with --enable-threads), on Linux.",
            )

    def carry(
        self,
        response: UpstreamResponse,
        urls: UrlMapper,
        headers_of: ResponseHeaders,
        request: InFlight,
    ) -> WSGIApplication:
        """Turn the service's 101 into a tunnel. The returned application ends the server's part;
        `request` ends with the tunnel.

        Raises `BadResponse` for a 101 that does not accept the handshake, and `TooManyTunnels` or
        `Overloaded` if there is no room after all. Closes `response` before raising.
        """
        port, environ, adapter = request.port, request.visit.environ, request.visit.server
        try:
            assert adapter is not None, "checked before the handshake went out"
            # Before the connection is taken: they may raise.
            headers = _accepted(response, urls, headers_of, environ)
            head = _head(headers)
            if is_tls(adapter.socket(environ)):
                self._hijacker.take_place(port)
                return self._in_this_thread(response, headers, adapter, request)
            hijacked = self._hijacker.hijack(request.visit, port)
        except OSError as error:
            response.close()
            # No traceback: resource exhaustion comes in bursts, and the stack adds nothing.
            raise Overloaded(port, detail=f"cannot hand over the connection: {error}") from None
        except BaseException:
            response.close()
            raise
        service, ready = response.detach()
        request.detach()
        on_end = request.ending(101)
        relay().add(
            NewTunnel(
                port=port,
                visitor=hijacked.sock,
                service=service,
                to_visitor=ready,
                to_service=hijacked.read_ahead,
                dummy=hijacked.dummy,
                idle_timeout=self._idle_timeout,
                head=head,
                key=request,
                on_end=call_in_hub(on_end),
            )
        )
        request.last(relay().stop)
        return _switched

    def reply(
        self,
        response: UpstreamResponse,
        urls: UrlMapper,
        headers_of: ResponseHeaders,
        environ: WSGIEnvironment,
    ) -> Reply:
        """The 101 for a visitor whose handshake was detached. Raises `BadResponse` for a 101 that
        does not accept it, with `response` closed."""
        try:
            head = _head(_accepted(response, urls, headers_of, environ))
        except BaseException:
            response.close()
            raise
        service, ready = response.detach()
        return Reply(101, head, ready, None, service)

    def _in_this_thread(
        self, response: UpstreamResponse, headers: Headers, adapter: Adapter, request: InFlight
    ) -> WSGIApplication:
        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            transferred = Transferred()
            on_end = request.ending(101)
            request.last(transferred.stop)
            try:
                write = start_response("101 Switching Protocols", headers)
                write(b"")  # the head, through the server's TLS
                read_ahead = adapter.read_ahead(environ)
                service, ready = response.detach()
                relay_in_thread(
                    adapter.socket(environ),
                    service,
                    to_visitor=ready,
                    to_service=read_ahead,
                    idle_timeout=self._idle_timeout,
                    transferred=transferred,
                )
            finally:
                response.close()
                relay().places.give_back(request.port)
                on_end(transferred.complete, transferred.to_service, transferred.to_visitor)
            return []

        return application


def _accepted(
    response: UpstreamResponse,
    urls: UrlMapper,
    headers_of: ResponseHeaders,
    environ: WSGIEnvironment,
) -> Headers:
    """The 101's headers for the visitor: filtered like any response's, plus the upgrade.

    Without Content-Length, which no 1xx may have (RFC 9110 section 8.6).
    """
    check_response(response.headers, environ, urls.target.port)
    headers = headers_of.of(response.header_list, urls, environ)
    kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
    return [*UPGRADE_HEADERS, *kept]


def _head(headers: Headers) -> bytes:
    lines = ["HTTP/1.1 101 Switching Protocols", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _switched(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The empty response that the server writes to the dummy and to its own log."""
    start_response("101 Switching Protocols", [])
    return []
