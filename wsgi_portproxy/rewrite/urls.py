"""Maps URLs between the service, whose URLs begin at its own root, and the visitor.

Decides what a URL means and how it is written on the other side. Mapping is idempotent: a URL that
already has the prefix (services that honour X-Forwarded-Prefix write such URLs) stays, and so do
relative and foreign URLs. An absolute URL stays absolute, since clients such as requests do not
resolve a Link. `url_headers` lists the headers that hold URLs, and `pages.attributes` the
attributes of pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import unquote

from ..errors import BadRequest, NotFound
from ..locate.address import Address, address, is_local
from ..locate.locator import refuse_climbing
from ..locate.request_target import visible
from ..locate.target import Target, cut_port, with_port

# Browsers read `\` as `/` in http URLs (WHATWG URL standard), so we must too.
_ABSOLUTE = re.compile(r"((?:(https?):)?[/\\]{2})([^/\\?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


class Place(NamedTuple):
    """What a service's URL means: a path, with query and fragment, at a port of this machine."""

    port: int
    path: str


def _none(port: int) -> str | None:
    return None


class UrlMapper(NamedTuple):
    """Maps the URLs of one request in both directions.

    target: where the request went.
    told: the address that the service is told is its own: `http://localhost:16006`, or the
        visitor's.
    visited: the address that the visitor uses: the wrapped app's, `https://app.example.com`, or in
        the host form the port's own.
    base: the path in front of every path in a request to the service, without a final slash: the
        target's prefix if the service is given its full path, else empty.
    strays: whether strays from this page are found by their Referer.
    root: SCRIPT_NAME as it appears in a URL; strays arrive below it.
    others: returns the visitor's absolute URL of another port's root, without a final slash; None
        for a port that is not allowed.
    """

    target: Target
    told: Address
    visited: Address
    base: str = ""
    strays: bool = False
    root: str = ""
    others: Callable[[int], str | None] = _none

    @property
    def origin(self) -> str:
        """The visitor's origin: `https://app.example.com`."""
        return self.visited.origin

    @property
    def preserves_host(self) -> bool:
        """Whether the service is told the visitor's address."""
        return self.told.origin == self.visited.origin

    @property
    def is_https(self) -> bool:
        """Whether the visitor uses https."""
        return self.visited.scheme == "https"

    @property
    def of_this_host(self) -> bool:
        """Whether a cookie's name can bind it to this port's host: see
        `CookiePolicy.for_visitor`."""
        return self.target.form.has_own_origin and self.is_https

    @property
    def request_target(self) -> str:
        """The request target for the service, in origin-form."""
        return self.base + self.target.path_qs

    def at(self, path: str) -> UrlMapper:
        """The mapper for another path of the same service."""
        return self._replace(target=replace(self.target, path_qs=path))

    # --- From the service to the visitor

    def to_visitor(self, url: str) -> str:
        """The visitor's URL for a URL of the service."""
        place = self._place(url)
        if place is None:
            return url
        absolute = _ABSOLUTE.fullmatch(url)
        if place.port != self.target.port:
            mapped = f"{self.others(place.port)}{place.path}"
            return mapped.partition(":")[2] if absolute and absolute[2] is None else mapped
        if absolute is not None:
            scheme = "" if absolute[2] is None else f"{self.visited.scheme}:"
            # In the host form the path stays: `//x` after an authority is a path.
            is_root = self.target.form.has_own_origin and not self.target.prefix
            path = place.path if is_root else self._visitors_path(place.path)
            return f"{scheme}//{self.visited.authority}{path}"
        if self.target.form.has_port_in_query:  # every URL needs the port, relative ones too
            return self._visitors_path(place.path)
        return url if _is_relative(url) else self._visitors_path(place.path)

    def _visitors_path(self, path: str) -> str:
        if self.target.form.has_port_in_query:
            return with_port(replace(self.target, path_qs=path))
        if not self.target.prefix and path[1:2] in ("/", "\\"):
            path = "/." + path  # a leading `//host` would be another site
        return self.target.prefix + path

    def redirect_path(self, location: str) -> str | None:
        """The `Target.path_qs` for a Location within this service; None if it leads elsewhere."""
        path = self.service_path(location)
        if path is None:
            return None
        path = visible(path.partition("#")[0])
        return path if path.startswith("/") else f"/{path}"

    def service_path(self, url: str) -> str | None:
        """The path (with query and fragment) of `url` at this service; None if it is foreign.

        A relative URL is resolved against the request's path.
        """
        place = self._place(url)
        return None if place is None or place.port != self.target.port else place.path

    def _place(self, url: str) -> Place | None:
        """The place that a service's URL means; None if it is foreign, or already the visitor's."""
        port, path = self.target.port, url
        absolute = _ABSOLUTE.fullmatch(url)
        if absolute is not None:
            _, scheme, authority, path = absolute.groups()
            there = self.port_at(address(scheme or self.told.scheme, authority))
            if there is None:
                return None
            port, path = there, path if path.startswith("/") else f"/{path}"
        elif _SCHEME.match(url):
            return None
        elif _is_relative(url):
            return Place(port, _resolved(self.target.path_qs, url))
        if port != self.target.port:
            return Place(port, path)
        own = self._without_prefix(path)
        return None if own is None else Place(port, own)

    def port_at(self, there: Address) -> int | None:
        """The port that an address from the service means; None if it is another site's.

        A local address never means the visitor's machine. It is another service's if its port is
        allowed, else this one's: behind `docker run -p` or `ssh -L` a service knows itself under
        another port, or under none.
        """
        own = self.target.port
        if there.authority == self.told.authority:
            return own
        if there.authority == self.visited.authority and there.port:
            return None  # the site itself has a local address
        if not is_local(there.host):
            return None
        port = int(there.port) if 0 < len(there.port) <= 5 else own
        return port if port == own or self.others(port) is not None else own

    def _without_prefix(self, path: str) -> str | None:
        """The path as the service sees it; None if it is the visitor's URL of another port.

        It may already be the visitor's: services that honour X-Forwarded-Prefix write such paths.
        """
        below = self._below_prefix(path)
        if below is None:
            return path
        if not self.target.form.has_port_in_query:
            return below
        resource, query, fragment = _split(below)
        ports, query = cut_port(query)
        if ports and ports != [str(self.target.port)]:
            return None
        return f"{resource}?{query}{fragment}" if query else resource + fragment

    def _below_prefix(self, path: str) -> str | None:
        """The rest of a path after the prefix; None if the path lacks it, or there is no prefix."""
        prefix = self.target.prefix
        rest = path[len(prefix) :]
        return rest if prefix and path.startswith(prefix) and rest[:1] in "/\\?#" else None

    # --- From the visitor to the service

    def origin_to_service(self, origin: str) -> str:
        """The Origin for the service: the site's own becomes the service's, any other stays."""
        scheme, mark, authority = origin.partition("://")
        own = mark and address(scheme, authority) == self.visited
        return self.told.origin if own else origin

    def to_service(self, url: str) -> str:
        """The service's URL for a visitor's, such as a WebDAV Destination; any other URL stays.

        Raises `BadRequest` for a URL that climbs out of the service.
        """
        here = self._own_path(url)
        below = None if here is None else self._path_of_visitor(here)
        if below is None:
            return url
        path = below if below.startswith("/") else f"/{below}"
        try:
            refuse_climbing(re.split(r"[?#]", path, maxsplit=1)[0])
        except NotFound as error:
            raise BadRequest("A URL in a request header points outside the service.") from error
        is_absolute = _ABSOLUTE.fullmatch(url) is not None
        return f"{self.told.origin if is_absolute else ''}{self.base}{path}"

    def page_to_service(self, url: str) -> str:
        """The URL of the requesting page, such as the Referer, as the service gets it.

        For pages of the app, the service gets only the origin, since paths and queries are the
        app's. Foreign URLs stay.
        """
        root = self.visited.origin + self.target.prefix
        if url.startswith(f"{root}/") and not self.target.form.has_port_in_query:
            below: str | None = url[len(root) :]  # as browsers send it
        elif (here := self._own_path(url)) is None:
            return url
        else:
            below = self._path_of_visitor(here)
        if below is None:
            return f"{self.told.origin}/"
        if self.preserves_host and not self.target.form.has_port_in_query:
            return url
        return f"{self.told.origin}{self.base}{below if below.startswith('/') else '/' + below}"

    def _own_path(self, url: str) -> str | None:
        """Path, query and fragment of an absolute or root-absolute URL on this site."""
        absolute = _ABSOLUTE.fullmatch(url)
        if absolute is None:
            return url if url.startswith("/") else None
        _, scheme, authority, path = absolute.groups()
        return path if address(scheme or self.visited.scheme, authority) == self.visited else None

    def _path_of_visitor(self, here: str) -> str | None:
        """The service's path for a path on this site; None if the path is not the service's."""
        below = self._below_prefix(here) if self.target.prefix else here
        if below is None or below.startswith("\\"):  # browsers send no `\` here
            below = self._below_decoded_prefix(here)
        if below is None or not self.target.form.has_port_in_query:
            return below
        resource, query, _ = _split(below)
        ports, query = cut_port(query)
        if ports != [str(self.target.port)]:
            return None
        return f"{resource}?{query}" if query else resource

    def _below_decoded_prefix(self, here: str) -> str | None:
        """The rest of a path after the prefix, in any encoding of it; None if the path lacks it."""
        prefix = _decoded(self.target.prefix)
        segments = re.split(r"[?#]", here, maxsplit=1)[0].split("/", len(prefix))[: len(prefix)]
        is_own = _decoded("/".join(segments)) == prefix
        return here[len("/".join(segments)) :] if is_own else None


def _decoded(path: str) -> list[str]:
    """The segments of a path, each decoded: an encoded slash does not separate them."""
    return [unquote(segment, "latin-1") for segment in path.split("/")]


def _is_relative(url: str) -> bool:
    """Whether a URL is relative to the request's path: neither absolute nor root-absolute."""
    return not url.startswith(("/", "\\")) and _SCHEME.match(url) is None


def _split(path: str) -> tuple[str, str, str]:
    """Path, query without its `?`, fragment with its `#`."""
    resource, hash_mark, fragment = path.partition("#")
    resource, _, query = resource.partition("?")
    return resource, query, hash_mark + fragment


def _resolved(base: str, url: str) -> str:
    """A relative URL resolved against the request target `base` (RFC 3986 section 5.2).

    urllib's urljoin mistakes a target that begins with `//` for a host, and drops empty segments.
    """
    if not url or url.startswith("#"):
        return base + url
    path = re.split(r"[?#]", url, maxsplit=1)[0]
    base_path = base.partition("?")[0]
    if not path:
        return base_path + url
    *folders, last = f"{base_path.rpartition('/')[0]}/{path}".split("/")[1:]
    segments: list[str] = []
    for segment in [*folders, last]:
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    if last in (".", ".."):
        segments.append("")
    return "/" + "/".join(segments) + url[len(path) :]
