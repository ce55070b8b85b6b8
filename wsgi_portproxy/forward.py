"""Step 4: sends a request to its service, and returns the response with its URL mapper.

Combines the told address (`rewrite.urls`), the headers (`upstream.request`), the exchange
(`upstream.client`) and the corrections to pages (`respond.documents`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from .errors import NeedsOwnRoot, NotFound, PortProxyError, ServiceUnreachable
from .inflight import InFlight
from .locate.address import address
from .locate.links import Links
from .locate.location import Location
from .locate.locator import Locator, is_read
from .locate.strays import as_question
from .locate.target import Target
from .locate.visit import Visit
from .names import log
from .policy.hosts import Hosts
from .policy.ports import PortPolicy
from .respond.documents import adapt, headers_of_adapters, may_adapt, without_compression
from .rewrite.cookies import CookiePolicy
from .rewrite.pages.kinds import Kind
from .rewrite.response_headers import ResponseHeaders
from .rewrite.urls import UrlMapper
from .settings import Limits, Service, ServiceOf, Services, Timeouts, Withhold
from .upstream.client import Upstream
from .upstream.redirects import check_no_way_to_https, follow_redirects
from .upstream.request import RequestHeaders, UpstreamRequest
from .upstream.request_body import Upload, upload_of
from .upstream.response import UpstreamResponse
from .upstream.steps import Steps, Work, in_thread

_KINDS = 256  # ports that are known to need a root of their own


class Forwarder:
    """Forwards the requests of one `PortProxy`, with its settings.

    finds_strays: whether root-absolute URLs of a page are routed back to its service.
    response_headers_of: maps the headers of responses; used here for early hints.
    """

    def __init__(
        self,
        services: Services | None,
        timeouts: Timeouts,
        limits: Limits,
        withhold: Withhold,
        *,
        cookies: CookiePolicy,
        hosts: Hosts,
        ports: PortPolicy,
        locator: Locator,
        links: Links,
        finds_strays: bool,
        response_headers_of: ResponseHeaders,
    ) -> None:
        self._service_of = ServiceOf(services)
        self._upstream = Upstream(timeouts)
        self._max_body = limits.request_body
        self._early_hints = None if withhold.early_hints else response_headers_of.early_hints
        self._headers = RequestHeaders(cookies, withhold)
        self._cookies = cookies
        self._hosts = hosts
        self._ports = ports
        self._links = links
        self._finds_strays = finds_strays
        self._locator = locator
        self._kinds: dict[int, Kind] = {}  # of ports whose page cannot work under a path

    def forward(self, request: InFlight, visit: Visit) -> Steps[tuple[UpstreamResponse, UrlMapper]]:
        """Send `visit` to the service of `request`; return the response and its URL mapper.

        Raises `PortProxyError`.
        """
        target = request.target
        service = self._service_of(target)
        request.service = service.name
        urls = self._urls(visit, target, service)
        upload = request.upload = upload_of(visit.environ, self._max_body)
        adapts = may_adapt(service.page_adapters, urls, visit)
        sent = self._request(visit, urls, service, upload, adapts=adapts)
        hints = self._early_hints(visit, urls) if self._early_hints else None
        route = self._upstream.route(visit.socket, ipv6=service.ipv6)
        if adapts and target.form.has_own_path:
            self._locator.keep_way_to_root(visit)
        follows = target.form.has_port_in_query and not target.websocket
        sending = self._upstream.send(sent, route, upload, early_hints=hints)
        if not follows:
            sent = sent.without_headers()
        try:
            response = yield from sending
        except ServiceUnreachable as error:
            known = self._kinds.get(target.port) if target.form.has_own_path else None
            if known is not None and type(error) is ServiceUnreachable:
                error.hint = known.advice(target.prefix, target.port)
            raise
        check_no_way_to_https(response, sent.method, urls)
        if adapts and (kind := (yield from adapt(service.page_adapters, response, urls))):
            yield from self._check_root(kind, response, target, visit)
        if not follows:
            return response, urls
        send = partial(self._upstream.send, route=route)
        return (yield from follow_redirects(response, sent, urls, self._cookies, send))

    def _check_root(
        self, kind: Kind, response: UpstreamResponse, target: Target, visit: Visit
    ) -> Steps[None]:
        """Send the visitor to the service's own root, because its page cannot work under a path.

        Raises `NeedsOwnRoot`, with `response` closed, and like `Locator.root_url`. Without such a
        root the page opens, and the log says once what helps.
        """
        root: str | None = None
        failed: PortProxyError | None = None

        def find() -> None:
            nonlocal root, failed
            try:
                root = self._locator.root_url(target, visit)
            except PortProxyError as error:
                failed = error

        if is_read(visit):
            yield Work(find)  # the deployment's `mount_of` may take long
        if failed is not None:
            response.close()
            raise failed
        if root is not None:
            response.close()
            location = Location(307, root)
            headers = [("Location", root)]
            if self._locator.opened is not None:
                headers += self._locator.opened.remember(target, visit, location)
            raise NeedsOwnRoot(headers, detail=f"a page of {kind.name} needs a root of its own")
        if self._kinds.get(target.port) is not kind and len(self._kinds) < _KINDS:
            self._kinds[target.port] = kind
            log.warning("port %d: %s", target.port, kind.advice(target.prefix, target.port))

    def _request(
        self,
        visit: Visit,
        urls: UrlMapper,
        service: Service,
        upload: Upload | None,
        *,
        adapts: bool,
    ) -> UpstreamRequest:
        headers = self._headers.of(visit.environ, urls, service.adapters_headers)
        headers += headers_of_adapters(service.header_adapters, urls, visit)
        if adapts:
            headers = without_compression(headers)
        if upload is not None:
            headers.append(upload.header)
        target = urls.target
        return UpstreamRequest(
            target.port, visit.method, urls.request_target, headers, target.websocket
        )

    def check_exists(self, request: InFlight) -> None:
        """Check that the service, which only a hint names, has the page. Raises
        `PortProxyError`."""
        request.hold_thread()
        response, _ = in_thread(self.forward(request, Visit(as_question(request.visit))))
        response.close()
        if response.status == 404:
            raise NotFound("There is no such page.", detail="the service responded with 404 too")

    def _urls(self, visit: Visit, target: Target, service: Service) -> UrlMapper:
        preserves_host = service.preserve_host
        if not (preserves_host or target.form.has_own_host or self._hosts.knows(visit.environ)):
            self._hosts.warn_of_unknown(visit.environ)
            preserves_host = True
        return UrlMapper(
            target,
            told=visit.address if preserves_host else address("http", f"localhost:{target.port}"),
            visited=visit.address,
            base="" if service.strip_prefix else target.prefix,
            strays=self._finds_strays and not target.form.has_own_origin,
            root=visit.script,
            others=partial(self._other, visit, target),
        )

    def _other(self, visit: Visit, target: Target, port: int) -> str | None:
        """The visitor's absolute URL of another port's root, in the form of `target`; None if
        that port is not allowed."""
        other = replace(target, port=port, path_qs="/")
        return self._links.base(other, visit) if self._ports.allows(other) else None

    def close(self) -> None:
        """Close the idle connections to services."""
        self._upstream.close()
