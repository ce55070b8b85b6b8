"""The limits of a deployment's tunnels, and the way from a service's 101 to a tunnel.

Owns the limits, and what the visitor's side of a 101 looks like on the wire. Taking the connection
out of its server is `hijack`'s, and carrying the bytes `relay`'s.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import NotImplementedHere, Overloaded, TooManyTunnels
from ..inflight import InFlight
from ..locate.visit import Visit
from ..rewrite.header_tables import Headers
from ..rewrite.response_headers import ResponseFields
from ..rewrite.urls import UrlMapper
from ..servers import Adapter, is_tls
from ..settings import Limits, Timeouts
from ..upstream import descriptors
from ..upstream.pool import idle
from ..upstream.request import UPGRADE_FIELDS
from ..upstream.response import UpstreamResponse
from .blocking import Pumped, pump
from .handshake import check_request, check_response
from .hijack import TakenOver, take_over
from .hub import telling
from .records import NewTunnel
from .shared import is_available, relay

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_DESCRIPTORS_PER_TUNNEL = 2  # the dummy's is closed at once
_PORTS = 4  # ports it takes to use up all places


class Tunnels:
    """The WebSockets and detached streams of one `PortProxy`. The settings are as there."""

    def __init__(
        self,
        limits: Limits,
        timeouts: Timeouts,
        *,
        detach_after: float | None,
        require_origin: bool,
    ) -> None:
        if detach_after is not None and not detach_after >= 0:
            raise ValueError(f"detach_after takes seconds from 0 on, or None, not {detach_after!r}")
        self.detach_after = detach_after
        self.stream_idle_timeout = timeouts.stream_idle
        self._max_tunnels = limits.tunnels
        self._max_tunnels_per_port = limits.tunnels_per_port
        self._idle_timeout = timeouts.tunnel_idle
        self._require_origin = require_origin

    def check(self, visit: Visit) -> None:
        """Raise unless a handshake may go on: `BadRequest`, `UpgradeRequired`, `ForeignOrigin`, or
        `NotImplementedHere` if this server cannot hand over its connections.
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

    def check_room(self, port: int) -> None:
        """Raise `TooManyTunnels` if there is no room for another tunnel to a port. Only visitors
        who may use the port should learn this."""
        places, (limit, limit_of_port) = relay().places, self._limits()
        if places.taken >= limit or places.taken_to(port) >= limit_of_port:
            raise self._too_many(port)

    def carry(
        self,
        response: UpstreamResponse,
        urls: UrlMapper,
        fields: ResponseFields,
        request: InFlight,
    ) -> WSGIApplication:
        """Turn the service's 101 into a tunnel. The returned application ends the server's part;
        `request` ends with the tunnel.

        Raises `BadResponse` for a 101 that does not accept the handshake, and `TooManyTunnels` or
        `Overloaded` if there is no room after all; closes `response` then.
        """
        port, environ, adapter = request.port, request.visit.environ, request.visit.server
        try:
            check_response(response.headers, environ, port)
            assert adapter is not None, "checked before the handshake went out"
            headers = _headers(response, urls, fields, environ)
            head = _head(headers)  # before anything is taken: it may raise
            if is_tls(adapter.socket(environ)):
                if not self._take_place(port):
                    raise self._too_many(port)
                return self._in_this_thread(response, headers, adapter, request)
            taken = self.take(request.visit, port)
            if taken is None:
                raise self._too_many(port)
        except OSError as error:
            response.close()
            # No traceback: resource exhaustion comes in bursts, and the stack adds nothing.
            raise Overloaded(port, detail=f"hand-over: {error}") from None
        except BaseException:
            response.close()
            raise
        service, ready = response.detach()
        on_end = request.detach(101)
        relay().add(
            NewTunnel(
                port=port,
                client=taken.sock,
                service=service,
                to_client=ready,
                to_service=taken.read_ahead,
                dummy=taken.dummy,
                idle_timeout=self._idle_timeout,
                head=head,
                on_end=telling(on_end),
            )
        )
        return _switched

    def _in_this_thread(
        self, response: UpstreamResponse, headers: Headers, adapter: Adapter, request: InFlight
    ) -> WSGIApplication:
        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            pumped = Pumped()
            on_end = request.ending(101)
            try:
                write = start_response("101 Switching Protocols", headers)
                write(b"")  # the head, through the server's TLS
                read_ahead = adapter.read_ahead(environ)
                service, ready = response.detach()
                pump(
                    adapter.socket(environ),
                    service,
                    to_client=ready,
                    to_service=read_ahead,
                    idle_timeout=self._idle_timeout,
                    pumped=pumped,
                )
            finally:
                response.close()
                relay().places.give_back(request.port)
                on_end(pumped.complete, pumped.to_service, pumped.to_client)
            return []

        return application

    def take(self, visit: Visit, port: int) -> TakenOver | None:
        """Take the visitor's connection out of its server, for the relay to carry.

        None if all places are taken. Raises OSError if the process has no descriptor to spare, or
        the visitor is gone. In all these cases the server keeps the connection.
        """
        if not self._take_place(port):
            return None
        try:
            try:
                return take_over(visit)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not idle.close_all():
                    raise
                return take_over(visit)
        except BaseException:
            relay().places.give_back(port)
            raise

    def _take_place(self, port: int) -> bool:
        """Take a place in the relay, if there is one, for a tunnel to use or to be given back."""
        relay().start()
        limit, limit_of_port = self._limits()
        return relay().places.take(port, limit=limit, limit_of_port=limit_of_port)

    def _limits(self) -> tuple[int, int]:
        """The limits for tunnels in the process, and for those to one port."""
        limit, of_port = self._max_tunnels, self._max_tunnels_per_port
        if limit is None:
            limit = descriptors.ours() // _DESCRIPTORS_PER_TUNNEL
        return limit, -(-limit // _PORTS) if of_port is None else of_port

    def _too_many(self, port: int) -> TooManyTunnels:
        places, (limit, limit_of_port) = relay().places, self._limits()
        return TooManyTunnels(
            f"Too many WebSockets are open to open another one to port {port}.",
            "Close some pages, or try again later.",
            detail=f"{places.taken} of {limit} tunnels are open, {places.taken_to(port)} of "
            f"{limit_of_port} to this port",
        )


def _headers(
    response: UpstreamResponse, urls: UrlMapper, fields: ResponseFields, environ: WSGIEnvironment
) -> Headers:
    """The 101's headers for the visitor: filtered like any response's, plus the upgrade.

    Without a Content-Length, which no 1xx may have (RFC 9110 section 8.6).
    """
    headers = fields.of(response.fields, urls, environ)
    kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
    return [*UPGRADE_FIELDS, *kept]


def _head(headers: Headers) -> bytes:
    lines = ["HTTP/1.1 101 Switching Protocols", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _switched(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """What the server is left with: an empty response, for the dummy and the server's log."""
    start_response("101 Switching Protocols", [])
    return []
