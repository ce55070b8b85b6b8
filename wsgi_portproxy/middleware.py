"""`PortProxy`: the feature's five steps, in order. Start reading here.

1 locate the port in the request, 2 check that it is allowed, 3 authorize, 4 forward, 5 stream back.
Every branch ends in a WSGI application, the wrapped app and errors included, and one line calls it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from .astray import Astray
from .errors import AuthorizerFailed, AuthorizerMisused, NotFound, PortProxyError, SettingFailed
from .inflight import InFlight, InFlightRequests
from .locate.address import Address
from .locate.links import Links
from .locate.locator import Locator
from .locate.mount import Mount
from .locate.strays import Strays, as_question, at_location, keep_from_straying
from .locate.target import Target
from .locate.visit import Visit
from .metrics import OnRequest, loggable
from .names import log
from .policy.ask_app import AskApp
from .policy.authorize import Authorizer, authorize
from .policy.hosts import Hosts
from .policy.ports import DEFAULT_PORTS, AllowedPorts, PortPolicy
from .policy.same_origin import check_same_origin
from .respond.body import moved, respond
from .respond.documents import Pages, asking_for_plain_text
from .respond.error_page import error_response
from .rewrite.cookies import DEFAULT_WITHHELD, CookiePolicy
from .rewrite.header_tables import Headers
from .rewrite.pages import PageAdapter
from .rewrite.pages.adapters import DEFAULT_PAGE_ADAPTERS
from .rewrite.response_headers import ResponseFields
from .rewrite.urls import View
from .rewrite.via import check_no_loop
from .settings import Identity, PerPort, StripMount
from .stats import Stats, stats_of
from .subrequest import CapturedResponse
from .tunnel.websocket import Tunnels
from .upstream.client import Upstream
from .upstream.redirects import check_no_way_to_https, follow_redirects
from .upstream.request import RequestFields, UpstreamRequest
from .upstream.request_body import upload_of
from .upstream.response import UpstreamResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class PortProxy:
    """WSGI middleware: `app`, and beside it the services on this machine's ports.

    authorizer: who may use a port; required, see `Authorizer`. `AskApp()` asks the wrapped app;
        `wsgi_portproxy.contrib` has those that run with Django's or Flask's own request.
    mount: where the ports hang, such as `"/{username}/{project}"`; each `{name}` takes one path
        segment and reaches the authorizer in `target.params`. Empty: the whole app.
    ports: which may be opened, see `AllowedPorts`.
    proxy: the path segment of the path form, `{mount}/proxy/{port}/`.
    host: a host name for each port, such as `"{port}.ports.example.com"`, in which services have an
        origin of their own; it may also carry the mount's parameters. None: no such form.
    isolate: open services at their host names only: browsers that navigate to the other forms are
        sent there, everything else in them is refused.
    promote: whether a browser that navigates to `?port=` is sent to the path form.
    strays: whether root-absolute URLs of a service's pages (`/static/app.js`) find their way back
        to it, by the Referer, and WebSockets by a cookie that remembers the ports that were opened.
    strip_mount: False for services that were started with their full path (`/alice/vision/proxy/
        16006`) as the base path; also a callable that is given the `Target`, see `StripMount`.
    identity: what a service is told of its address: `"local"` (`Host: localhost:16006`) or
        `"external"` (what the visitor sees); also by port, see `Identity`.
    hosts: the host names that this site answers to, such as `["app.example.com"]`, or
        `".example.com"` for it and all below it; by any other, a request for a port is 421. None:
        any, but none is `"local"` that is no loopback name or address, nor allowed by the app's
        framework where `contrib`'s authorizers know that.
    page_adapters: what corrects the base URLs that services write into their pages; see
        `PageAdapter`. Empty: pages are never looked at.
    withhold_cookies: names of the app's own cookies, never sent to a service nor set by one. What
        the authorizer knows to be such (its attribute of the same name) is added.
    withhold_authorization: whether the Authorization field is the app's own too.
    withhold_headers: names of further fields that are never sent to a service, `X-Corp-User` or
        `X-Corp-*`: those by which your front-end says who the visitor is.
    drop_response_headers: likewise of a service's answers: orders to your front-end.
    early_hints: whether a service's 103 (RFC 8297) is passed on, where the server can. nginx before
        1.29 takes it for the answer, and its own rules for headers miss what follows.
    ipv6: whether a service that listens on [::1] only is reached there.
    connect_timeout: seconds for a service to accept a connection.
    head_timeout: seconds for the head of its answer to come, connecting and the redirects that are
        followed included; each part of an upload that the service takes begins it anew.
    stream_idle_timeout: seconds of silence of the service after which an answer that has begun is
        cut off; None: never.
    max_requests_per_port: requests for one port that may hold a thread of the server at a time, in
        each process; further ones wait for a moment and are refused (503). None: half of the
        server's threads, where their number is known, else any number.
    max_request_body: bytes that the body of a request may have; None: any number.
    on_request: called with what became of each request, for metrics; see `OnRequest`.
    max_tunnels: WebSockets, and streams that left their thread, open at a time in a process; None:
        half of its descriptors, less some.
    max_tunnels_per_port: of those, to one port; None: a quarter.
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
        host: str | None = None,
        isolate: bool = False,
        promote: bool = True,
        strays: bool = True,
        strip_mount: StripMount = True,
        identity: Identity = "local",
        hosts: Iterable[str] | None = None,
        page_adapters: Iterable[PageAdapter] = DEFAULT_PAGE_ADAPTERS,
        withhold_cookies: Iterable[str] = DEFAULT_WITHHELD,
        withhold_authorization: bool = False,
        withhold_headers: Iterable[str] = (),
        drop_response_headers: Iterable[str] = (),
        early_hints: bool = False,
        ipv6: bool = False,
        connect_timeout: float = 3.0,
        head_timeout: float = 60.0,
        stream_idle_timeout: float | None = None,
        max_requests_per_port: int | None = None,
        max_request_body: int | None = None,
        on_request: OnRequest | None = None,
        max_tunnels: int | None = None,
        max_tunnels_per_port: int | None = None,
        tunnel_idle_timeout: float = 3600.0,
        tunnels_require_origin: bool = False,
        handover_after: float | None = 1.0,
    ) -> None:
        if not callable(authorizer):
            raise TypeError("authorizer must be a callable: authorizer(request, target)")
        self._locator = Locator(Mount(mount), proxy=proxy, host=host)
        if isinstance(authorizer, AskApp):
            named = self._locator.host
            authorizer.bind(app, self._locator.mount.template, named.names if named else None)
        self.app = app
        self._authorizer = authorizer
        if isolate and self._locator.host is None:
            raise ValueError("isolate needs host, where the services are to be isolated")
        self._isolate = isolate
        self._links = Links(self._locator, promote=promote)
        self._ports = PortPolicy(ports)
        self._promote = promote
        # Where no page of a service is on the app's origin, none can stray there.
        self._strays = Strays(self._locator, promote=promote) if strays and not isolate else None
        self._astray = Astray(app, self._strays, self._serve) if self._strays else None
        self._strip_mount = PerPort("strip_mount", strip_mount, (True, False))
        self._identity = PerPort("identity", identity, ("local", "external"))
        self._hosts = Hosts(hosts, _names(getattr(authorizer, "hosts", ())))
        self._pages = Pages(page_adapters)
        self._cookies = CookiePolicy(withhold_cookies).adding(
            getattr(authorizer, "withhold_cookies", ())
        )
        self._request_fields = RequestFields(
            self._cookies,
            withhold_authorization=withhold_authorization,
            withhold_headers=withhold_headers,
        )
        self._response_fields = ResponseFields(
            self._cookies, drop_response_headers=drop_response_headers
        )
        self._early_hints = early_hints
        self._tunnels = Tunnels(
            max_tunnels=max_tunnels,
            max_tunnels_per_port=max_tunnels_per_port,
            idle_timeout=tunnel_idle_timeout,
            require_origin=tunnels_require_origin,
            handover_after=handover_after,
            stream_idle_timeout=stream_idle_timeout,
        )
        if max_request_body is not None and max_request_body < 0:
            raise ValueError("max_request_body must not be negative")
        self._max_request_body = max_request_body
        self._requests = InFlightRequests(
            max_requests_per_port=max_requests_per_port, on_request=on_request
        )
        self._upstream = Upstream(
            connect_timeout=connect_timeout,
            head_timeout=head_timeout,
            idle_timeout=stream_idle_timeout,
            ipv6=ipv6,
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        visit = Visit(self._links.added_to(environ))
        try:
            check_no_loop(visit.environ)
            target = self._locate(visit)  # 1
            if target is not None:
                answer = self._serve(visit, target)
            else:
                answer = self._astray.answer(visit) if self._astray else self.app
        except PortProxyError as error:
            _log(error)
            answer = error_response(error, visit.environ, error.port)
        return answer(visit.environ, start_response)

    def _locate(self, visit: Visit) -> Target | None:
        """The target that the URL names, unless a service's page asked for it, which knows no such
        URLs. Raises `PortProxyError`."""
        if self._locator.host is not None and (target := self._locator.by_host(visit)):
            return target
        if self._strays and "HTTP_REFERER" in visit.environ and self._strays.claims(visit):
            return None
        return self._locator.by_url(visit)

    def _serve(self, visit: Visit, target: Target) -> WSGIApplication:
        """The answer to a request for a port, whose end is told once. Raises `PortProxyError`, with
        that port in it."""
        with self._requests.begin(visit, target) as request:
            self._check(visit, target)  # 2
            refusal = self._authorize(visit, target)  # 3
            if refusal is not None:
                return request.refused(refusal.status, refusal)
            self._check_of_the_authorized(visit, target)
            elsewhere = self._elsewhere(request)
            hints = self._strays.remember(target, visit) if self._strays else []
            if elsewhere is not None:
                status, location = elsewhere
                return request.refused(status, moved(status, location, hints))
            request.hold_thread()
            response, view = self._forward(request, visit)  # 4
            return self._stream_back(request, response, view, hints)  # 5

    def _check(self, visit: Visit, target: Target) -> None:
        """Step 2: return if the request may go on to be judged. Raises `RequestError`."""
        if not target.form.has_own_origin:  # those names are the deployment's
            self._hosts.check(visit.environ)
        self._ports.check(target, visit.environ)
        check_same_origin(visit, target)
        if target.websocket:
            self._tunnels.check(visit)

    def _authorize(self, visit: Visit, target: Target) -> CapturedResponse | None:
        """Step 3: None if the visitor may use the port, else the answer to give. Raises
        `PortProxyError`."""
        environ = visit.environ
        location = self._locator.canonical_location(target, visit, promote=self._promote)
        if target.is_astray and location is not None:
            environ = at_location(location[1], visit)  # where a login is to lead back to
        refusal = authorize(self._authorizer, environ, target, self._cookies)
        return keep_from_straying(refusal) if refusal and self._strays else refusal

    def _check_of_the_authorized(self, visit: Visit, target: Target) -> None:
        """What is for those to know who may use the port. Raises `RequestError`."""
        self._ports.check_not_own(target, visit)
        if target.websocket:
            self._tunnels.check_room(target.port)

    def _elsewhere(self, request: InFlight) -> tuple[int, str] | None:
        """Status and Location, if the visitor's browser should ask at another URL. Raises
        `PortProxyError`."""
        visit, target = request.visit, request.target
        if self._isolate and not target.form.has_own_origin:
            return 307, self._links.at_host(target, visit)
        location = self._locator.canonical_location(target, visit, promote=self._promote)
        if location is not None and target.evidence == "hint":
            self._check_there(request)
        return location

    def _check_there(self, request: InFlight) -> None:
        """Return if the service has what nothing but a hint tells to be its own. Raises
        `PortProxyError`."""
        request.hold_thread()
        question = Visit(as_question(request.visit))
        response, _ = self._forward(request, question)
        response.close()
        if response.status == 404:
            raise NotFound("There is no such page.", detail="the service has none either")

    def _forward(self, request: InFlight, visit: Visit) -> tuple[UpstreamResponse, View]:
        """Step 4: send `visit` to the service; its answer, and the view in which its URLs are.
        Raises `PortProxyError`."""
        target = request.target
        view = self._view(visit, target)
        upload = request.upload = upload_of(visit.environ, self._max_request_body)
        headers = self._request_fields.of(visit.environ, view)
        adapts = self._pages.may_adapt(view, visit)
        if adapts:
            headers = asking_for_plain_text(headers)
        if upload is not None:
            headers.append(upload.header)
        early_hints = (
            self._response_fields.early_hints(visit.environ, view) if self._early_hints else None
        )
        sent = UpstreamRequest(
            target.port, visit.method, view.request_target, headers, target.websocket
        )
        deadline = self._upstream.head_deadline()
        send = partial(self._upstream.send, deadline=deadline, visitor=visit.socket)
        response = send(sent, upload, early_hints=early_hints)
        check_no_way_to_https(response, sent.method, view)
        if adapts:
            self._pages.adapt(response, view)
        if not target.form.has_port_in_query or target.websocket:
            return response, view
        return follow_redirects(response, sent, view, self._cookies, send)

    def _view(self, visit: Visit, target: Target) -> View:
        """How the URLs of this request look to the service. Raises `SettingFailed`."""
        external = self._identity.of(target) == "external"
        if not (external or target.form.has_own_origin or self._hosts.knows(visit.environ)):
            self._hosts.warn_of_unknown(visit.environ)
            external = True
        return View(
            target,
            told=visit.address if external else Address("http", "localhost", str(target.port)),
            visited=visit.address,
            base="" if self._strip_mount.of(target) else target.prefix,
            strays=self._strays is not None and not target.form.has_own_origin,
            root=visit.script,
            others=partial(self._other, visit, target),
        )

    def _other(self, visit: Visit, target: Target, port: int) -> str | None:
        """The visitor's absolute URL of another port's root, in the form of this target."""
        other = replace(target, port=port, path="/")
        return self._links.base(other, visit) if self._ports.allows(other) else None

    def _stream_back(
        self, request: InFlight, response: UpstreamResponse, view: View, hints: Headers
    ) -> WSGIApplication:
        """Step 5: the service's answer as an application, which ends the request. Raises
        `PortProxyError`."""
        if response.status == 101:
            return self._tunnels.carry(response, view, self._response_fields, request)
        if request.target.is_astray:  # a handshake: all else was sent elsewhere
            response.close()
            raise NotFound("There is no such page.", detail="not switched to a WebSocket")
        return respond(response, view, self._response_fields, self._tunnels, hints, request)

    def stats(self) -> Stats:
        """What this process holds now, see `Stats`. Cheap: to be asked every second, if need be."""
        return stats_of(self._requests.caps)

    def close(self) -> None:
        """Close the idle connections to services, at the end of tests for instance."""
        self._upstream.close()


def _names(given: object) -> list[str]:
    """What an authorizer says of itself, which may be any callable, if it is a collection of
    names."""
    if not isinstance(given, (set, frozenset, list, tuple)):
        return []
    return [one for one in given if isinstance(one, str)]


def _log(error: PortProxyError) -> None:
    cause = None
    level = logging.WARNING if error.status >= 500 else logging.INFO
    if isinstance(error, (AuthorizerFailed, AuthorizerMisused, SettingFailed)):
        level, cause = logging.ERROR, error.__cause__
    text = loggable(error.detail or error.message)
    fields = {"port": error.port, "status": error.status, **error.fields}
    log.log(level, "port %s: %d %s", error.port, error.status, text, exc_info=cause, extra=fields)
