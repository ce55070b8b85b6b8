"""`PortProxy`: the feature's five steps, in order. Start reading here.

1 locate the port in the request, 2 check that it is allowed, 3 authorize, 4 forward, 5 stream back.
Every branch ends in a WSGI application, the wrapped app and errors included, and one line calls it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from .account import Account, Accounts
from .adapters import DEFAULT_PAGE_ADAPTERS
from .address import Address, address_of
from .answer import UpstreamResponse
from .askapp import AskApp
from .authorize import Authorizer, authorize
from .captured import CapturedResponse, CountedInput
from .cookies import DEFAULT_WITHHELD, CookiePolicy
from .error_page import error_response
from .errors import AuthorizerFailed, AuthorizerMisused, NotFound, PortProxyError, SettingFailed
from .exchange import UpstreamRequest
from .fields import RequestFields, ResponseFields, fields_of
from .hosts import Hosts
from .links import Links
from .locate import Locator, Target, is_websocket
from .metrics import OnRequest, loggable
from .mount import Mount
from .origin import check_same_origin, own_origin
from .pages import PageAdapter, Pages, asking_for_plain_text
from .ports import DEFAULT_PORTS, AllowedPorts, PortPolicy, check_no_loop
from .rawtarget import quoted_script
from .redirects import check_no_way_to_https, follow_redirects
from .respond import moved, respond
from .rewrite import View
from .servers import VisitorSocket, client_socket
from .settings import Identity, PerPort, StripMount
from .stats import Stats, stats_of
from .strays import (
    Strays,
    as_question,
    asks_app_first,
    at_location,
    is_offered,
    is_start_page,
    keep_from_straying,
)
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
        self._accounts = Accounts(
            max_requests_per_port=max_requests_per_port, on_request=on_request
        )
        self._upstream = Upstream(
            connect_timeout=connect_timeout,
            head_timeout=head_timeout,
            idle_timeout=stream_idle_timeout,
            ipv6=ipv6,
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ = self._links.added_to(environ)
        try:
            check_no_loop(environ)
            target = self._locate(environ)  # 1
            answer = self._astray(environ) if target is None else self._serve(target, environ)
        except PortProxyError as error:
            _log(error)
            answer = error_response(error, environ, error.port)
        return answer(environ, start_response)

    def _locate(self, environ: WSGIEnvironment) -> Target | None:
        """The target that the URL names, unless a service's page asked for it, which knows no such
        URLs. Raises `PortProxyError`."""
        if self._locator.host is not None and (target := self._locator.by_host(environ)):
            return target
        if "HTTP_REFERER" in environ and self._strays and self._strays.claims(environ):
            return None
        return self._locator.by_url(environ)

    def _serve(
        self, target: Target, environ: WSGIEnvironment, *, only_if_there: bool = False
    ) -> WSGIApplication:
        """The answer to a request for a port, whose end is told once. `only_if_there`: the service
        is asked first whether it has the page. Raises `PortProxyError`, with that port in it."""
        visitor = client_socket(environ)
        with Account(self._accounts, target, environ) as account:
            if target.form != "host":  # whose names are the deployment's
                self._hosts.check(environ)  # 2
            self._ports.check(target, environ)
            check_same_origin(environ, target)
            if target.websocket:
                self._tunnels.check(environ, target)
            location = self._locator.canonical_location(target, environ, promote=self._promote)
            judged = environ
            if target.form == "stray" and location is not None:
                judged = at_location(location[1], environ)  # where a login is to lead back to
            refusal = authorize(self._authorizer, judged, target, self._cookies)  # 3
            if refusal is not None:
                account.end(refusal.status, "refused")
                if only_if_there:
                    _close(refusal)
                    raise NotFound("There is no such page.", detail="not offered to this visitor")
                return keep_from_straying(refusal) if self._strays else refusal
            self._ports.check_not_own(target, environ, visitor)
            if target.websocket:
                self._tunnels.check_room(target.port)
            if self._isolate and target.form != "host":
                return moved(307, self._links.at_host(target, environ), [], account)
            if only_if_there:
                self._check_there(target, environ, visitor, account)
            hints = self._strays.remember(target, environ) if self._strays else []
            if location is not None:
                return moved(*location, hints, account)
            account.hold_thread(environ)
            view = self._view(target, environ)
            response, view = self._forward(view, environ, visitor, account)  # 4
            if response.status == 101:
                return self._tunnels.carry(  # 5
                    response, view, self._response_fields, environ, account
                )
            if target.form == "stray":  # a handshake: all else was sent elsewhere
                response.close()
                raise NotFound("There is no such page.", detail="not switched to a WebSocket")
            return respond(  # 5
                response, view, self._response_fields, self._tunnels, hints, account
            )

    def _astray(self, environ: WSGIEnvironment) -> WSGIApplication:
        """The answer to a request that names no port: the wrapped app's, or that of the service
        whose page made it. Raises `PortProxyError`."""
        if self._strays is None:
            return self.app
        if "HTTP_UPGRADE" in environ and is_websocket(environ):
            return self._handshake_astray(environ)
        target = self._strays.by_referer(environ)
        if target is None:
            return self._offered(environ) if is_offered(environ) else self.app
        if asks_app_first(environ):
            own = CapturedResponse(self.app, dict(environ))  # apps keep notes in it
            if own.status != 404:
                return own
            own.close()
        return self._serve(target, environ)

    def _offered(self, environ: WSGIEnvironment) -> WSGIApplication:
        """The way to the newest service that has what the wrapped app has not, for a request that
        does not say where it comes from."""
        assert self._strays is not None, "else nothing is offered"
        candidates = self._strays.by_hint(environ, websocket=False)
        if not candidates:
            return self.app
        given = dict(environ)  # apps keep notes in it
        body = CountedInput.in_place(given)
        own = CapturedResponse(self.app, given)
        with ExitStack() as unless_given:
            unless_given.callback(_close, own)
            if own.status == 404:
                if body is not None:  # some servers' input goes on behind its end
                    environ["CONTENT_LENGTH"] = str(body.rest)
                answer = self._of_first(candidates, environ, only_if_there=True)
                if answer is not None:
                    return answer
            unless_given.pop_all()
        return own

    def _of_first(
        self, candidates: list[Target], environ: WSGIEnvironment, *, only_if_there: bool
    ) -> WSGIApplication | None:
        """The answer of the first of these services that has one; None if none has.

        Those that are asked whether they have a page get the time of one together: a visitor's 404
        does not wait for each service that hangs.
        """
        deadline = self._upstream.head_deadline()
        for target in candidates:
            if only_if_there and time.monotonic() > deadline:
                break
            try:
                return self._serve(target, environ, only_if_there=only_if_there)
            except PortProxyError as error:
                text = loggable(error.detail or error.message)
                log.debug("port %d: not its own: %s", target.port, text, extra=error.fields)
        return None

    def _check_there(
        self,
        target: Target,
        environ: WSGIEnvironment,
        visitor: VisitorSocket | None,
        account: Account,
    ) -> None:
        """Return if the service has the page. Raises `PortProxyError`."""
        account.hold_thread(environ)
        asked = as_question(environ)
        response, _ = self._forward(self._view(target, asked), asked, visitor, account)
        response.close()
        if response.status == 404:
            raise NotFound("There is no such page.", detail="the service has none either")

    def _handshake_astray(self, environ: WSGIEnvironment) -> WSGIApplication:
        """The tunnel to the first service that takes the handshake, unless it is the wrapped app's
        own."""
        assert self._strays is not None, "else nothing is offered"
        candidates = self._strays.by_hint(environ, websocket=True)
        if not candidates or "wsgi.websocket" in environ:  # gevent-websocket has accepted it
            return self.app
        own = CapturedResponse(self.app, dict(environ))  # apps keep notes in it
        with ExitStack() as unless_given:
            unless_given.callback(_close, own)
            if own.status == 404 or is_start_page(own, environ):
                answer = self._of_first(candidates, environ, only_if_there=False)
                if answer is not None:
                    return answer
            unless_given.pop_all()
        return own

    def _view(self, target: Target, environ: WSGIEnvironment) -> View:
        """How the URLs of this request look to the service. Raises `SettingFailed`."""
        external = self._identity.of(target) == "external"
        if not external and target.form != "host" and not self._hosts.knows(environ):
            self._hosts.warn_of_unknown(environ)
            external = True
        visited = address_of(own_origin(environ))
        return View(
            target,
            told=visited if external else Address("http", "localhost", str(target.port)),
            visited=visited,
            base="" if self._strip_mount.of(target) else target.prefix,
            strays=self._strays is not None and target.form != "host",
            root=quoted_script(environ),
            others=partial(self._other, target, environ),
        )

    def _other(self, target: Target, environ: WSGIEnvironment, port: int) -> str | None:
        """The visitor's absolute URL of another port's root, in the form of this target."""
        other = target._replace(port=port, path="/")
        return self._links.base(other, environ) if self._ports.allows(other) else None

    def _forward(
        self,
        view: View,
        environ: WSGIEnvironment,
        visitor: VisitorSocket | None,
        account: Account,
    ) -> tuple[UpstreamResponse, View]:
        """Send the request to the service; its answer, and the view in which its URLs are."""
        target = view.target
        upload = account.upload = upload_of(environ, self._max_request_body)
        fields = self._request_fields.of(environ, view)
        adapts = self._pages.may_adapt(view, environ)
        if adapts:
            fields = fields_of(asking_for_plain_text(fields.headers))
        if upload is not None:
            fields = fields.adding(upload.header)
        hints = self._response_fields.early_hints(environ, view) if self._early_hints else None
        request = UpstreamRequest(
            target.port, environ["REQUEST_METHOD"], view.request_target, fields, target.websocket
        )
        deadline = self._upstream.head_deadline()
        response = self._upstream.send(
            request,
            upload,
            deadline=deadline,
            visitor=visitor,
            early_hints=hints,
        )
        check_no_way_to_https(response, request.method, view)
        if adapts:
            self._pages.adapt(response, view)
        if target.form != "query" or target.websocket:
            return response, view

        def send(again: UpstreamRequest) -> UpstreamResponse:
            return self._upstream.send(again, deadline=deadline, visitor=visitor)

        return follow_redirects(response, request, view, self._cookies, send)

    def stats(self) -> Stats:
        """What this process holds now, see `Stats`. Cheap: to be asked every second, if need be."""
        return stats_of(self._accounts.caps)

    def close(self) -> None:
        """Close the idle connections to services, at the end of tests for instance."""
        self._upstream.close()


def _close(own: CapturedResponse) -> None:
    """Close an answer of the app's that is not given out; what it raises concerns nobody else."""
    try:
        own.close()
    except Exception:
        log.exception("closing the answer of the wrapped app failed")


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
