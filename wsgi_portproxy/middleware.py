"""`PortProxy`: the feature's five steps, in order. Start reading here.

1 locate the port in the request, 2 check that it is allowed, 3 authorize, 4 forward, 5 stream back.
Every branch, for the wrapped app and errors too, ends in a WSGI application; one line calls it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from .app_or_service import AppOrService
from .errors import NotFound, PortProxyError
from .forward import Forwarder
from .inflight import InFlight, InFlightRequests
from .locate.links import Links
from .locate.locator import Location, Locator
from .locate.mount import Mount
from .locate.strays import Strays, as_question, at_location, keep_from_straying
from .locate.target import Target
from .locate.visit import Visit
from .metrics import OnFinished
from .policy.authorize import Authorizer, authorize, facts_of
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
from .subrequest import CapturedResponse
from .tunnel.detach import Detaching, detached
from .tunnel.hijack import Hijacker
from .tunnel.websocket import WebSockets
from .upstream.steps import in_thread

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
    detach_after: seconds after which a response that still streams leaves its thread (an event
        stream after its first block), if the server allows it. None: never.
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
        require_origin: bool = False,
        on_finished: OnFinished | None = None,
    ) -> None:
        check_callable("authorizer", authorizer, "authorizer(request, target)", 2)
        if on_finished is not None:
            check_callable("on_finished", on_finished, "on_finished(metrics)", 1)
        self.app = app
        self._urls = urls
        self._locator = Locator(
            Mount(mount),
            path_segment=urls.path_segment,
            host_template=urls.host_template,
            redirect_browsers=urls.redirect_browsers,
        )
        known = facts_of(authorizer)
        known.check_parameters(self._locator)
        self._authorizer = authorizer
        self._links = Links(self._locator)
        self._ports = PortPolicy(ports)
        # If no page of a service is on the app's origin, no request can stray there.
        finds = urls.find_strays and not urls.isolate
        self._strays = Strays(self._locator) if finds else None
        self._app_or_service = (
            AppOrService(app, self._strays, self._serve, patience=timeouts.head)
            if self._strays
            else None
        )
        self._hosts = Hosts(hosts, known.hosts)
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
            links=self._links,
            finds_strays=finds,
            response_headers_of=headers_of,
        )
        self._hijacker = Hijacker(limits)
        self._websockets = WebSockets(self._hijacker, timeouts, require_origin=require_origin)
        self._stream_back = StreamBack(self._websockets, headers_of)
        self._detaching = Detaching(self._hijacker, timeouts, after=detach_after)
        self._requests = InFlightRequests(limits.requests_per_port, on_finished)

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
            refusal = self._authorize(visit, target)  # 3
            if refusal is not None:
                return request.end_with(refusal, refusal.status, "refused")
            self._check_authorized(visit, target)
            redirect = self._redirect(request)
            cookies = self._strays.remember(target, visit) if self._strays else []
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
        if not target.form.has_own_origin:  # host_template defines those names
            self._hosts.check(visit.environ)
        self._ports.check(target, visit.environ)
        check_same_origin(visit, target)
        if target.websocket:
            self._websockets.check(visit)

    def _authorize(self, visit: Visit, target: Target) -> CapturedResponse | None:
        """Step 3: None if the visitor may use the port, else the response that refuses it. Raises
        `PortProxyError`."""
        environ = visit.environ
        if target.is_astray and (home := self._locator.canonical_location(target, visit)):
            environ = at_location(home.url, visit)  # the URL to which a login returns
        refusal = authorize(self._authorizer, environ, target, self._cookies)
        return keep_from_straying(refusal) if refusal and self._strays else refusal

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
            return self._links.at_host(target, visit)
        location = self._locator.canonical_location(target, visit)
        if location is not None and target.is_guess:
            self._check_exists(request)
        return location

    def _check_exists(self, request: InFlight) -> None:
        """Check that the service, which only a hint names, has the page. Raises
        `PortProxyError`."""
        question = Visit(as_question(request.visit))
        request.hold_thread()
        response, _ = in_thread(self._forwarder.forward(request, question))
        response.close()
        if response.status == 404:
            raise NotFound("There is no such page.", detail="the service responded with 404 too")

    def stats(self) -> Stats:
        """The numbers of this process, see `Stats`. Cheap enough to be called every second."""
        return stats_of(self._requests.limits)

    def close(self) -> None:
        """Close the idle connections to services, for instance at the end of tests."""
        self._forwarder.close()
