"""`PortProxy`: the feature's five steps, in order. Start reading here.

1 locate the port in the request, 2 check that it is allowed, 3 authorize, 4 forward, 5 stream back.
Every branch, for the wrapped app and errors too, ends in a WSGI application; one line calls it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from .app_or_service import AppOrService
from .errors import PortProxyError
from .forward import Forwarder
from .inflight import InFlight, InFlightRequests
from .lasting import LastingRequests
from .locate.links import Links
from .locate.location import Location
from .locate.mount import Mount
from .locate.strays import Strays, at_location, keep_from_straying
from .locate.target import Target
from .locate.visit import Visit
from .metrics import OnFinished
from .policy.authorize import Authorizer, Verdict, authorize, facts_of
from .policy.hosts import Hosts
from .policy.ports import DEFAULT_PORTS, AllowedPorts, PortPolicy
from .policy.same_origin import check_same_origin
from .respond.body import moved
from .respond.error_page import error_response, log_error
from .rewrite.cookies import CookiePolicy
from .rewrite.response_headers import ResponseHeaders
from .rewrite.via import check_no_loop
from .settings import Limits, Services, Timeouts, UrlForms, Withhold, check_callable
from .stats import Stats, stats_of
from .stream_back import StreamBack
from .tunnel.detach import Detaching, detached
from .tunnel.hijack import Hijacker
from .tunnel.listeners import Listeners
from .tunnel.websocket import WebSockets

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class PortProxy:
    """WSGI middleware that serves `app`, and beside it the services on this machine's ports.

    authorizer: decides who may use a port; required, see `Authorizer`. `AskApp` asks the wrapped
        app; authorizers in `wsgi_portproxy.contrib` run with Django's or Flask's own request.
    mount: the path that ports hang under, such as `"/{username}/{project}"`; each `{name}` takes
        one path segment and reaches the authorizer in `target.params`. Empty: the whole app.
    ports: the ports that may be opened, see `AllowedPorts`.
    hosts: the host names of this site, such as `["app.example.com"]`, or `".example.com"` for that
        name and all below it; a request for a port under any other name gets 421. None: any name,
        but a service is told that it is `localhost` only for loopback names, IP addresses, and the
        names that the app's framework allows (if an authorizer of `contrib` knows them).
    services: the settings that may differ from port to port: one `Service` for all ports, a mapping
        by port, or a callable that is given the `Target`.
    urls: how URLs name a port, see `UrlForms`.
    timeouts, limits: see `Timeouts` and `Limits`.
    withhold: cookies, headers and 103 responses that are not passed on, see `Withhold`.
    detach_after: seconds that a request may take before it leaves its thread, which then serves
        others; see docs/support-matrix.md for the servers where it can. None: never.
    recheck_after: seconds after which the authorizer is asked again about a WebSocket, a stream or
        a request that still waits, which ends if the visitor no longer has access. None: never.
    require_origin: whether a WebSocket handshake must name its Origin, as all browsers do.
    on_finished: called when a request for a port has ended, for metrics; see `OnFinished`.

    Raises `TypeError` or `ValueError` for invalid settings.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        authorizer: Authorizer,
        mount: str = "",
        ports: AllowedPorts = DEFAULT_PORTS,
        hosts: Iterable[str] | None = None,
        services: Services | None = None,
        urls: UrlForms = UrlForms(),  # noqa: B008 - a frozen value
        timeouts: Timeouts = Timeouts(),  # noqa: B008
        limits: Limits = Limits(),  # noqa: B008
        withhold: Withhold = Withhold(),  # noqa: B008
        detach_after: float | None = 0.03,
        recheck_after: float | None = 60.0,
        require_origin: bool = False,
        on_finished: OnFinished | None = None,
    ) -> None:
        check_callable("authorizer", authorizer, "authorizer(request, target)", 2)
        self.app = app
        self._urls = urls
        self._ports = PortPolicy(ports)
        self._listeners = Listeners(urls.listen)
        self._locator = urls.locator(Mount(mount), ports, self._listeners)
        known = facts_of(authorizer)
        known.check_parameters(self._locator)
        self._authorizer = authorizer
        self._links = Links(self._locator)
        # If no page of a service is on the app's origin, no request can stray there.
        finds = urls.find_strays and not urls.isolate
        self._strays = Strays(self._locator) if finds else None
        strays, head = self._strays, timeouts.head
        self._app_or_service = AppOrService(app, strays, self._serve, head) if strays else None
        self._hosts = Hosts(hosts, known.hosts, self._locator.hosts)
        self._cookies = CookiePolicy([*withhold.cookies, *known.withhold_cookies])
        headers_of = ResponseHeaders(self._cookies, withhold.response_headers)
        self._forwarder = Forwarder(
            services,
            timeouts,
            limits,
            withhold,
            cookies=self._cookies,
            hosts=self._hosts,
            ports=self._ports,
            locator=self._locator,
            links=self._links,
            finds_strays=finds,
            response_headers_of=headers_of,
        )
        self._hijacker = Hijacker(limits)
        self._websockets = WebSockets(self._hijacker, timeouts, require_origin=require_origin)
        self._stream_back = StreamBack(self._websockets, headers_of)
        self._detaching = Detaching(self._hijacker, timeouts, after=detach_after)
        lasting = LastingRequests(self._may_go_on, recheck_after)
        self._requests = InFlightRequests(limits.requests_per_port, on_finished, lasting)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        visit = Visit(self._links.added_to(environ), start_response)
        try:
            check_no_loop(visit.environ)
            target = self._locate(visit)  # 1
            if target is not None:
                application = self._serve(visit, target)
            elif self._app_or_service is not None:
                application = self._app_or_service.choose(visit)
            else:
                application = self.app
        except PortProxyError as error:
            log_error(error)
            application = error_response(error, visit.environ, error.port)
        return application(visit.environ, start_response)

    def _locate(self, visit: Visit) -> Target | None:
        """Step 1: the target that the URL names. None if it names none, or if the request is a
        stray, in which a port is the service's own. Raises `PortProxyError`."""
        target = self._locator.by_host(visit)
        if target is not None:
            return target
        if self._strays and "HTTP_REFERER" in visit.environ and self._strays.claims(visit):
            return None
        return self._locator.by_url(visit)

    def _serve(self, visit: Visit, target: Target) -> WSGIApplication:
        """Serve a request for a port. Its end is reported exactly once. Raises `PortProxyError`."""
        with self._requests.begin(visit, target) as request:
            self._check(visit, target)  # 2
            refusal, request.visitor = self._authorize(visit, target)  # 3
            if refusal is not None:
                return request.end_with(refusal, refusal.status, "refused")
            self._check_authorized(visit, target)
            redirect = self._redirect(request)
            cookies = self._strays.remember(target, visit) if self._strays else []
            if self._locator.opened is not None:
                cookies += self._locator.opened.remember(target, visit, redirect)
            if redirect is not None:
                return request.end_with(moved(*redirect, cookies), redirect.status, "redirected")
            steps = self._forwarder.forward(request, visit)  # 4
            reply = partial(self._stream_back.reply, request, cookies)  # 5, in the relay
            result = self._detaching.drive(steps, request, reply)
            if result is None:
                return detached
            return self._stream_back.application(request, *result, cookies)  # 5

    def _check(self, visit: Visit, target: Target) -> None:
        """Step 2: raise `RequestError` unless the authorizer may be asked."""
        if not target.form.has_own_host:  # host_template defines those names
            self._hosts.check(visit.environ)
        self._ports.check(target, visit.environ)
        check_same_origin(visit, target)
        if target.websocket:
            self._websockets.check(visit)

    def _authorize(self, visit: Visit, target: Target) -> Verdict:
        """Step 3: the authorizer's verdict. Raises `PortProxyError`."""
        environ = visit.environ
        if target.is_astray and (home := self._locator.canonical_location(target, visit)):
            environ = at_location(home.url, visit)  # the URL to which a login returns
        verdict = authorize(self._authorizer, environ, target, self._cookies)
        if verdict.refusal is None or self._strays is None:
            return verdict
        return Verdict(keep_from_straying(verdict.refusal))

    def _may_go_on(self, request: InFlight) -> bool:
        """Step 3 once more, for a request that lasts. Raises `PortProxyError`."""
        verdict = self._authorize(request.visit, request.target)
        if verdict.refusal is not None:
            verdict.refusal.close()
        return verdict.refusal is None

    def _check_authorized(self, visit: Visit, target: Target) -> None:
        """Raise `RequestError` unless the request may be forwarded. Only visitors who may use the
        port should learn why not."""
        self._ports.check_not_own(target, visit)
        if target.websocket:
            self._hijacker.check_room(target.port)

    def _redirect(self, request: InFlight) -> Location | None:
        """The redirect to send to the visitor's browser, if any. Raises `PortProxyError`."""
        visit, target = request.visit, request.target
        if self._urls.isolate and not target.form.has_own_origin:
            return self._links.at_root(target, visit)
        location = self._locator.canonical_location(target, visit)
        if location is not None and target.is_guess:
            self._forwarder.check_exists(request)
        return location

    def revoke(self, *, port: int | None = None, visitor: str | None = None, **params: str) -> int:
        """End requests of visitors who lose their access, in this process; return how many.

        port: those for this port. visitor: those that the authorizer let through with this name,
        see `Allowed`. params: those with these parameters of the mount. Together they narrow the
        choice; at least one must be given. A WebSocket is closed with status 1008, a response that
        streams is cut, and a visitor who still waits for a response gets a 403. Whether later
        requests are let through is the authorizer's decision alone.

        Raises `TypeError` without any of them, and `ValueError` for a parameter that `mount` lacks.
        """
        if unknown := sorted(params.keys() - self._locator.mount.names):
            raise ValueError(f"revoke takes parameters of the mount, which does not have {unknown}")
        return self._requests.lasting.revoke(port, visitor, params)

    def stats(self) -> Stats:
        """The numbers of this process, see `Stats`. Cheap enough to be called every second."""
        return stats_of(self._requests.limits)

    def close(self) -> None:
        """Close the idle connections to services and the listeners of the port form, for instance
        at the end of tests."""
        self._forwarder.close()
        self._listeners.close()
