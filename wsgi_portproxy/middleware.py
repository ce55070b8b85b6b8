"""`PortProxy`: the feature's five steps, in order. Start reading here.

1 locate the port in the request, 2 check that it is allowed, 3 authorize, 4 forward, 5 stream back.
Every branch ends in a WSGI application, the wrapped app and errors included, and one line calls it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .askapp import AskApp
from .authorize import Authorizer, authorize
from .cookies import DEFAULT_WITHHELD, CookiePolicy
from .error_page import error_response
from .errors import AuthorizerFailed, AuthorizerMisused, PortProxyError
from .exchange import UpstreamRequest, UpstreamResponse
from .headers import early_hint_headers, request_headers
from .locate import Locator, Target
from .mount import Mount
from .origin import check_same_origin, own_origin
from .ports import DEFAULT_PORTS, AllowedPorts, PortPolicy, via
from .redirects import follow_redirects
from .respond import moved, respond
from .rewrite import View
from .servers import client_socket
from .tunnel.handshake import UPGRADE_FIELDS
from .tunnel.tunnels import Tunnels
from .upload import upload_of
from .upstream import Upstream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("wsgi_portproxy")


class PortProxy:
    """WSGI middleware: `app`, and beside it the services on this machine's ports.

    authorizer: who may use a port; required, see `Authorizer`. `AskApp()` asks the wrapped app;
        `wsgi_portproxy.contrib` has those that run with Django's or Flask's own request.
    mount: where the ports hang, such as `"/{username}/{project}"`; each `{name}` takes one path
        segment and reaches the authorizer in `target.params`. Empty: the whole app.
    ports: which may be opened, see `AllowedPorts`.
    proxy: the path segment of the path form, `{mount}/proxy/{port}/`.
    promote: whether a browser that navigates to `?port=` is sent to the path form.
    withhold_cookies: names of the app's own cookies, never sent to a service nor set by one. What
        the authorizer knows to be such (its attribute of the same name) is added.
    withhold_authorization: whether the Authorization field is the app's own too.
    connect_timeout: seconds for a service to accept a connection.
    head_timeout: seconds for the head of its answer to come. Bodies have no limit.
    max_tunnels: WebSockets, and streams that left their thread, open at a time in a process; None:
        half of its descriptors, less some.
    tunnel_idle_timeout: seconds of silence after which a WebSocket is cut.
    handover_after: seconds after which a response that still streams leaves its thread (an event
        stream at its first block); None: never. Where the server allows it, else it stays.
    tunnels_require_origin: whether a WebSocket handshake must name its Origin, as all browsers do.

    Raises `TypeError` or `ValueError` for settings that could never work.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        authorizer: Authorizer,
        mount: str = "",
        ports: AllowedPorts = DEFAULT_PORTS,
        proxy: str = "proxy",
        promote: bool = True,
        withhold_cookies: Iterable[str] = DEFAULT_WITHHELD,
        withhold_authorization: bool = False,
        connect_timeout: float = 3.0,
        head_timeout: float = 60.0,
        max_tunnels: int | None = None,
        tunnel_idle_timeout: float = 3600.0,
        tunnels_require_origin: bool = False,
        handover_after: float | None = 1.0,
    ) -> None:
        if not callable(authorizer):
            raise TypeError("authorizer must be a callable: authorizer(request, target)")
        if isinstance(authorizer, AskApp):
            authorizer.bind(app, Mount(mount).template)
        self.app = app
        self._authorizer = authorizer
        self._locator = Locator(Mount(mount), proxy=proxy)
        self._ports = PortPolicy(ports)
        self._promote = promote
        self._cookies = CookiePolicy(withhold_cookies).adding(
            getattr(authorizer, "withhold_cookies", ())
        )
        self._withhold_authorization = withhold_authorization
        self._tunnels = Tunnels(
            max_tunnels=max_tunnels,
            idle_timeout=tunnel_idle_timeout,
            require_origin=tunnels_require_origin,
            handover_after=handover_after,
        )
        self._upstream = Upstream(connect_timeout=connect_timeout, head_timeout=head_timeout)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        target = None
        try:
            target = self._locator.locate(environ)  # 1
            answer = self.app if target is None else self._serve(target, environ)
        except PortProxyError as error:
            _log(error, target)
            answer = error_response(error, environ, target.port if target else None)
        return answer(environ, start_response)

    def _serve(self, target: Target, environ: WSGIEnvironment) -> WSGIApplication:
        """The answer to a request for a port. Raises `PortProxyError`."""
        self._ports.check(target, environ)  # 2
        check_same_origin(environ, target)
        self._tunnels.check(environ, target)
        refusal = authorize(self._authorizer, environ, target)  # 3
        if refusal is not None:
            return refusal
        location = self._locator.canonical_location(target, environ, promote=self._promote)
        if location is not None:
            return moved(*location)
        view = View(target, authority=f"localhost:{target.port}", origin=own_origin(environ))
        response, view = self._forward(view, environ)  # 4
        if response.status == 101:
            return self._tunnels.carry(response, view, self._cookies, environ)  # 5, for ever
        return respond(response, view, self._cookies, self._tunnels)  # 5

    def _forward(self, view: View, environ: WSGIEnvironment) -> tuple[UpstreamResponse, View]:
        """Send the request to the service; its answer, and the view in which its URLs are."""
        target = view.target
        upload = upload_of(environ)
        headers = request_headers(
            environ, view, self._cookies, withhold_authorization=self._withhold_authorization
        )
        headers.append(via(environ))
        if upload is not None:
            headers.append(upload.header)
        if target.websocket:
            headers += UPGRADE_FIELDS
        request = UpstreamRequest(
            target.port, environ["REQUEST_METHOD"], target.path, headers, target.websocket
        )
        visitor = client_socket(environ)
        hints = environ.get("wsgi.early_hints")

        def early_hints(fields: list[tuple[str, str]]) -> None:
            links = early_hint_headers(fields, view)
            if hints is not None and links:
                hints(links)

        response = self._upstream.send(request, upload, visitor=visitor, early_hints=early_hints)
        if target.form != "query" or target.websocket:
            return response, view

        def send(again: UpstreamRequest) -> UpstreamResponse:
            return self._upstream.send(again, visitor=visitor)

        return follow_redirects(response, request, view, self._cookies, send)

    def close(self) -> None:
        """Close the idle connections to services, at the end of tests for instance."""
        self._upstream.close()


def _log(error: PortProxyError, target: Target | None) -> None:
    port = target.port if target is not None else None
    if isinstance(error, (AuthorizerFailed, AuthorizerMisused)):
        log.error("port %s: %s", port, error.detail, exc_info=error.__cause__)
    elif error.status >= 500:
        log.warning("port %s: %d %s", port, error.status, error.detail or error.message)
    else:
        log.info("port %s: %d %s", port, error.status, error.detail or error.message)
