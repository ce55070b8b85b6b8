"""Step 1: find the port in a request, and the service's part of its URL.

Defines the URL forms. The path and `port` are parsed once, in the very string that is forwarded,
byte for byte. Decides from the request alone and opens no connection. `policy` decides whether the
port may be used, and by whom; `rewrite.urls` maps URLs back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote

from ..errors import AuthorizerFailed, BadRequest, InvalidPort, NotFound
from .host_template import HostTemplate
from .location import Location
from .mount import Mount
from .opened import Opened
from .port_template import PortTemplate
from .request_target import RawTarget, escape_octets
from .target import Form, Target, cut_port, parse_port, with_port
from .visit import Visit

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: `mount_of(port)`: the parameters of the mount to which a port is reserved, all of them; None for
#: a port that is reserved to none.
MountOf: TypeAlias = Callable[[int], "Mapping[str, str] | None"]

# Characters to escape in a URL that goes into a header: `;` would end a cookie's Path, and
# browsers read `\` as `/`. All other visible characters stay as the visitor wrote them.
_UNSAFE_IN_PREFIX = re.compile(r"[^A-Za-z0-9\-._~!$&'()*+,=:@%/]")
_LONGEST_KEPT = 2048  # characters of a path that may be a cache key


class Locator:
    """Finds targets under one mount. Settings as in `UrlForms`.

    template: the form that gives each service its own root; None: there is none.
    opens: makes sure that somebody listens on a number of the port form, when a visitor is sent
        there; returns whether that is so. None: the server or its front end listens on all.
    """

    def __init__(
        self,
        mount: Mount,
        *,
        path_segment: str = "proxy",
        template: HostTemplate | PortTemplate | None = None,
        mount_of: MountOf | None = None,
        opens: Callable[[int, Visit], bool] | None = None,
        redirect_browsers: bool | str = True,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9\-._~]+", path_segment) or path_segment in (".", ".."):
            raise ValueError(f"path_segment takes one plain path segment, not {path_segment!r}")
        self.mount = mount
        self.path_segment = path_segment
        self.template = template
        self._mount_of = mount_of
        self._opens = opens
        self.opened = Opened(mount) if isinstance(template, PortTemplate) else None
        self.redirect_browsers = bool(redirect_browsers)
        self.prefers_root = redirect_browsers is True
        self.path_mark = f"/{path_segment}/"
        self._depth = 1 + mount.depth + 2  # segments up to the port, with the empty first one

    def by_host(self, visit: Visit) -> Target | None:
        """The target that the Host header gives, by its name or its port; None if the request has
        another form or is the wrapped app's own.

        Raises `Misdirected` for a port that is not the connection's, and else like `by_url`.
        """
        if self.template is None or (named := self.template.match(visit.environ)) is None:
            return None
        port, params = parse_port(named.port), named.params
        reserved = self._reserved(port)
        if reserved:
            if any(reserved[name].lower() != value for name, value in params.items()):
                raise NotFound("There is no such page.", detail="reserved to another mount")
            params = reserved
        elif self.opened is not None:
            params = self.opened.params(port, visit.environ) or params
        return _at_root(visit, port, params, self.template.form)

    def _reserved(self, port: int) -> Mapping[str, str] | None:
        """The parameters of the mount to which a port is reserved. Raises `AuthorizerFailed`."""
        if self._mount_of is None:
            return None
        try:
            params: object = self._mount_of(port)
        except Exception as error:
            raise AuthorizerFailed("the mount_of callable raised") from error
        if params is None:
            return None
        if not isinstance(params, Mapping) or params.keys() != self.mount.names:
            raise AuthorizerFailed("the mount_of callable did not return the mount's parameters")
        if not all(isinstance(value, str) for value in params.values()):
            raise AuthorizerFailed("the mount_of callable returned a parameter that is no text")
        return MappingProxyType(dict(params))

    @property
    def hosts(self) -> tuple[str, ...]:
        """The site's own name, if the template has it."""
        template = self.template
        return (template.name,) if isinstance(template, PortTemplate) and template.name else ()

    @property
    def carried(self) -> frozenset[str]:
        """The parameters of the mount that a target in the form with a root may have."""
        if self.template is None or self._mount_of is not None or self.opened is not None:
            return self.mount.names
        return self.template.names

    def root_authority(
        self, port: int, params: Mapping[str, str], environ: WSGIEnvironment
    ) -> str | None:
        """The authority under which a service has its own root; None if it has none.

        A port that is reserved has it for its own mount only. Raises `AuthorizerFailed`.
        """
        if self.template is None or self._reserved(port) not in (None, params):
            return None
        return self.template.authority(port, params, environ)

    def leads_to_root(self, port: int) -> bool:
        """Whether a link may lead to a service's own root, which is not so if a visitor has to be
        sent there: to be remembered, or because nobody listens before."""
        if self._opens is not None:
            return False
        return self.opened is None or not self.mount.names or self._reserved(port) is not None

    def keep_way_to_root(self, visit: Visit) -> None:
        """Establish what `root_url` needs of a connection that the request may take out of its
        server."""
        if self._opens is not None:
            _ = visit.reached

    def root_url(self, target: Target, visit: Visit) -> str | None:
        """The visitor's URL of a target in the form with a root, to send the visitor there; None if
        it has none."""
        authority = self.root_authority(target.port, target.params, visit.environ)
        if authority is None:
            return None
        if self._opens is not None and isinstance(self.template, PortTemplate):
            number = self.template.number_of(target.port)
            if number is None or not self._opens(number, visit):
                return None
        path = target.path_qs if target.path_qs.startswith("/") else f"/{target.path_qs}"
        return f"{visit.address.scheme}://{authority}{visit.script}{path}"

    def by_url(self, visit: Visit) -> Target | None:
        """The target that the path or the query gives; None if the request is the wrapped app's
        own.

        Raises `InvalidPort` for a port that is not exactly one plain number, `NotFound` for a path
        that another hop could resolve to a place outside the mount, and `BadRequest` for a request
        target that is not a path.
        """
        environ = visit.environ
        query = environ.get("QUERY_STRING", "")
        by_path = self.path_mark in environ.get("PATH_INFO", "")
        if not by_path and "port" not in (unquote(query) if "%" in query else query):
            return None  # nearly every request for the wrapped app ends here
        return self.within_mount(visit.raw, websocket=visit.is_websocket)

    def within_mount(self, raw: RawTarget, *, websocket: bool = False) -> Target | None:
        """The target of this site's URL in the path or query form. Raises like `by_url`."""
        target = self._by_path(raw, websocket)
        if target is None and raw.query:
            target = self._by_query(raw, websocket)
        if target is not None:
            _refuse_no_path(raw)
        return target

    def _by_path(self, raw: RawTarget, websocket: bool) -> Target | None:
        segments = raw.path.split("/", self._depth)
        path = f"/{segments.pop()}" if len(segments) > self._depth else ""
        if len(segments) < self._depth:
            return None
        place = _place_of(self.mount, self.path_segment, raw.script, tuple(segments))
        if place is None:
            return None
        port, prefix, params = place
        refuse_climbing(path)
        if raw.query is not None:
            path += "?" + raw.query
        if websocket and not path.startswith("/"):
            path = "/" + path  # no WebSocket client follows the redirect that adds the slash
        return Target(port, path, prefix, params, Form.PATH, websocket)

    def _by_query(self, raw: RawTarget, websocket: bool) -> Target | None:
        values, query = cut_port(raw.query or "", most=2)
        if not values:
            return None
        depth = self.mount.depth
        _, *segments = raw.path.split("/", depth + 1)
        decoded = [unquote(segment, "latin-1") for segment in segments[:depth]]
        params = self.mount.match(decoded + segments[depth:])
        if params is None:
            return None
        if len(values) > 1:
            raise InvalidPort(", ".join(values), "The parameter appears more than once.")
        port = parse_port(values[0])
        path = "".join(["/" + segment for segment in segments[depth:]]) or "/"
        refuse_climbing(path)
        if query:
            path += "?" + query
        prefix = "/".join([raw.script, *segments[:depth]])
        return Target(port, path, _header_safe(prefix), params, Form.QUERY, websocket)

    def path_prefix(self, mount_path: str, port: int) -> str:
        """The prefix of a port in the path form."""
        return f"{mount_path}{self.path_mark}{port}"

    def canonical_location(self, target: Target, visit: Visit) -> Location | None:
        """The redirect to the URL that the browser should use instead, or None.

        A navigation in the query form is redirected to the form that gives the service its own
        root, if there is one and nothing is posted: a POST would come from another origin. Else it
        is redirected to the path form, where relative URLs, reloads and bookmarks keep the port
        too. The status is 307, so that a form's POST stays a POST.
        `.../proxy/16006` is redirected to the URL with a final slash, without which relative URLs
        would lose the port. The status is 308, since that never changes.
        """
        if target.is_astray:
            return None if target.websocket else Location(307, self._at_home(target))
        if not target.path_qs.startswith("/"):
            return Location(308, f"{target.prefix}/{target.path_qs}")
        if self.redirect_browsers and not target.form.keeps_pages and visit.is_navigation:
            root = self.root_url(target, visit) if self.prefers_root and is_read(visit) else None
            here = self.path_prefix(target.prefix, target.port) + target.path_qs
            return Location(307, here if root is None else root)
        return None

    def _at_home(self, target: Target) -> str:
        """The URL that names the port, for a stray."""
        return (
            with_port(target) if target.form.has_port_in_query else target.prefix + target.path_qs
        )


def _place_of(
    mount: Mount, proxy: str, script: str, segments: tuple[str, ...]
) -> tuple[int, str, Mapping[str, str]] | None:
    is_long = sum(map(len, segments)) > _LONGEST_KEPT
    place = _place.__wrapped__ if is_long else _place
    return place(mount, proxy, script, segments)


@lru_cache(maxsize=128)
def _place(
    mount: Mount, proxy: str, script: str, segments: tuple[str, ...]
) -> tuple[int, str, Mapping[str, str]] | None:
    """Port, prefix and parameters of a URL in the path form, from its segments up to the port; None
    for another form. Cached, since all URLs that a page loads share them. Raises like
    `Locator.by_url`."""
    _, *decoded = [unquote(segment, "latin-1") for segment in segments]
    if decoded[-2] != proxy:
        return None
    # Digits only: the app may have its own pages there, such as /alice/vision/proxy/README.md
    if not (decoded[-1].isascii() and decoded[-1].isdigit()):
        return None
    params = mount.match(decoded)
    if params is None:
        return None
    port = parse_port(segments[-1])
    prefix = "/".join([script, *segments[1:-2], proxy, str(port)])
    return port, _header_safe(prefix), params


def is_read(visit: Visit) -> bool:
    """Whether a navigation may be redirected to another origin: nothing is posted."""
    return visit.method in ("GET", "HEAD")


def _at_root(visit: Visit, port: int, params: Mapping[str, str], form: Form) -> Target:
    """The target of a request in the host or port form: the whole URL belongs to the service."""
    raw = visit.raw
    _refuse_no_path(raw)
    path = raw.path or "/"
    if raw.query is not None:
        path += "?" + raw.query
    return Target(port, path, _header_safe(raw.script), params, form, visit.is_websocket)


def _refuse_no_path(raw: RawTarget) -> None:
    """Refuse `OPTIONS *` and `GET x/alice/...`, which hops may resolve in different ways."""
    if raw.path[:1] not in ("", "/"):
        raise BadRequest("The request target is not a path.")


def refuse_climbing(path: str) -> None:
    """Refuse a path whose dot segments lead out of the service's part of the URL.

    A hop that resolves them (a browser, uWSGI, nginx) would see a different mount from the one that
    we authorize.
    """
    decoded = unquote(path, "latin-1") if "%" in path else path
    if ".." not in decoded:
        return
    depth = 0
    for segment in decoded.replace("\\", "/").split("/"):
        if segment not in ("", "."):  # empty ones do not count: many hops collapse `//` first
            depth += -1 if segment == ".." else 1
        if depth < 0:
            raise NotFound("There is no such page.", detail="dot segments leave the mount")


def _header_safe(prefix: str) -> str:
    return _UNSAFE_IN_PREFIX.sub(escape_octets, prefix)
