"""URLs between the two views: the service's, which begins at its own root, and the visitor's.

Owns Location, Content-Location, Refresh and Link on the way out and Referer on the way in. Mapping
is idempotent: what carries the prefix already (services that honour X-Forwarded-Prefix) stays, and
so do relative and foreign URLs. What is in bodies is `pages`'s.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .locate import Target, cut_port, with_port
from .origin import normal_origin
from .rawtarget import visible

# What a service may have been told to bind; it is only compared with, nobody listens on it here.
_ANY_ADDRESS = "0.0.0.0"  # noqa: S104  # nosec B104
# Names by which a service may call its own address.
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", _ANY_ADDRESS})
# Browsers read `\` as `/` in http URLs (WHATWG URL standard), so both must be seen here.
_ABSOLUTE = re.compile(r"(?:https?:)?[/\\]{2}([^/\\?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
# What stands before the URL (HTML standard, "shared declarative refresh steps"): the time, a
# separator, and `url=` or not. Each part begins with another character: no run is tried twice.
_BEFORE_URL = re.compile(
    r"""[\t ]*[^\t ;,]+(?:[\t ]+[;,]?|[;,])[\t ]*(?:url[\t ]*=[\t ]*)?(["']?)""", re.IGNORECASE
)
# Referrer policies that hide the path from this site too, and what says as much, or as little, to
# others (Referrer Policy, section 3).
_TOLD_TO_OWN_SITE = {
    "no-referrer": "same-origin",
    "origin": "origin-when-cross-origin",
    "strict-origin": "strict-origin-when-cross-origin",
}
_LINK = re.compile(r"<([^<>]*)>")


class View(NamedTuple):
    """How one request's URLs look from both sides.

    target: where the request went.
    authority: the Host that the service was sent: `localhost:16006`, or the visitor's own.
    origin: the wrapped app's own origin as the visitor sees it (`https://app.example.com`); in the
        host form that of the port.
    external: whether the service was sent the visitor's own Host and Origin.
    base: the path in front of all that the service was asked for, without a final slash: the
        target's prefix for one that was told its full path, else nothing.
    strays: whether requests that lost the port are known by the Referer of this page.
    root: SCRIPT_NAME as it stands in a URL, where such requests go.
    """

    target: Target
    authority: str
    origin: str
    external: bool = False
    base: str = ""
    strays: bool = False
    root: str = ""

    @property
    def is_https(self) -> bool:
        return self.origin.startswith("https://")

    @property
    def of_this_host(self) -> bool:
        """Whether a cookie can be the port's alone, by its name: see `CookiePolicy.for_visitor`."""
        return self.target.form == "host" and self.is_https

    @property
    def request_target(self) -> str:
        """What the service is asked for, in origin-form."""
        return self.base + self.target.path

    @property
    def service_origin(self) -> str:
        """The origin of the service's pages, as the service sees it."""
        return self.origin if self.external else f"http://{self.authority}"

    def to_visitor(self, url: str) -> str:
        """The visitor's URL for one that the service gave in a header."""
        path = self.service_path(url)
        if path is None:
            return url
        if self.target.form == "query":  # has the port in every URL, relative ones included
            return with_port(self.target._replace(path=path))
        if _is_relative(url):
            return url
        if not self.target.prefix and path[1:2] in ("/", "\\"):
            path = "/." + path  # `//host` at the beginning would be another site
        return self.target.prefix + path

    def at(self, path: str) -> View:
        """The same view of another path of the service."""
        return self._replace(target=self.target._replace(path=path))

    def redirect_path(self, location: str) -> str | None:
        """The `Target.path` for a Location at this service, or None if it leads elsewhere."""
        path = self.service_path(location)
        if path is None:
            return None
        path = visible(path.partition("#")[0])
        return path if path.startswith("/") else f"/{path}"

    def service_path(self, url: str) -> str | None:
        """The path (with query and fragment) at this service that `url` means, or None if foreign.

        A relative URL is resolved against the request's path.
        """
        absolute = _ABSOLUTE.fullmatch(url)
        if absolute is not None:
            authority, path = absolute.groups()
            if not self._is_service(authority.lower()):
                return None
            return self._without_prefix(path if path.startswith("/") else f"/{path}")
        if _SCHEME.match(url):
            return None
        if _is_relative(url):
            return _resolved(self.target.path, url)
        return self._without_prefix(url)

    def _without_prefix(self, path: str) -> str | None:
        """A path as the service sees it, if it was the visitor's already: services that honour
        X-Forwarded-Prefix make such. None if it is the visitor's URL of another port."""
        if not self._has_prefix(path):
            return path
        path = path[len(self.target.prefix) :]
        if self.target.form != "query":
            return path
        resource, query, fragment = _split(path)
        ports, query = cut_port(query)
        if ports and ports != [str(self.target.port)]:
            return None
        return f"{resource}?{query}{fragment}" if query else resource + fragment

    def _is_service(self, authority: str) -> bool:
        host, _, port = authority.rpartition(":")
        if authority == self.authority.lower():
            return True
        return host in _LOCAL_HOSTS and port == str(self.target.port)

    def _has_prefix(self, path: str) -> bool:
        prefix = self.target.prefix
        return bool(prefix) and path.startswith(prefix) and path[len(prefix) :][:1] in "/\\?#"

    def origin_to_service(self, origin: str) -> str:
        """The Origin that the service is sent: our own becomes the service's, others stay."""
        return self.service_origin if normal_origin(origin) == self.origin else origin

    def referer_to_service(self, referer: str) -> str:
        """The Referer that the service is sent: our own origin becomes the service's.

        Of pages outside the service only the origin is told: their paths and queries are the app's.
        Foreign ones stay as they are.
        """
        own = self.origin + "/"
        if referer != self.origin and not referer.startswith(own):
            return referer
        path = referer[len(self.origin) :]
        prefix = self.target.prefix
        of_service = self._has_prefix(path) if prefix else self.target.form == "host"
        if not of_service:
            return f"{self.service_origin}/"
        path = path[len(prefix) :]
        if self.target.form == "query":
            resource, _, query = path.partition("?")
            ports, query = cut_port(query)
            if ports != [str(self.target.port)]:
                return f"{self.service_origin}/"
            path = f"{resource}?{query}" if query else resource
        if self.external and self.target.form != "query":
            return referer
        return f"{self.service_origin}{self.base}{path if path.startswith('/') else '/' + path}"

    def referrer_policy_to_visitor(self, value: str) -> str:
        """A Referrer-Policy under which this site, and no other, sees what page a request is from.

        A stray is known by its Referer, and of a form that is posted browsers hide the Origin too.
        Helmet's default is `no-referrer`.
        """
        return ", ".join(
            _TOLD_TO_OWN_SITE.get(policy.strip().lower(), policy.strip())
            for policy in value.split(",")
        )

    def csp_to_visitor(self, value: str) -> str:
        """A Content-Security-Policy that does not lead away from a site on plain http.

        `upgrade-insecure-requests` (CSP Upgrade, section 3.3; in Helmet's default) means nothing at
        `http://localhost`, where the service was tried. Here it would turn all of its requests to a
        port of this site that speaks no TLS, and at localhost those that are redirected.
        """
        if not self.origin.startswith("http:"):
            return value
        if "upgrade-insecure-requests" not in value.lower():
            return value
        policies = [policy.split(";") for policy in value.split(",")]  # CSP 3, section 3.1
        return ",".join(
            ";".join(one for one in policy if one.strip().lower() != "upgrade-insecure-requests")
            for policy in policies
        )

    def refresh_to_visitor(self, value: str) -> str:
        """A Refresh field (`5; url=/next`) with its URL mapped."""
        before = _BEFORE_URL.match(value)
        if before is None or before.end() == len(value):
            return value
        url, quote, after = value[before.end() :], before[1], ""
        if quote:
            url, quote, after = url.partition(quote)
        return f"{before[0]}{self.to_visitor(url)}{quote}{after}"

    def link_to_visitor(self, value: str) -> str:
        """A Link field (RFC 8288) with the targets between its angle brackets mapped."""
        return _LINK.sub(lambda link: f"<{self.to_visitor(link[1])}>", value)


def _is_relative(url: str) -> bool:
    """Neither absolute nor beginning at the root: resolved against the present URL."""
    return not url.startswith(("/", "\\")) and _SCHEME.match(url) is None


def _split(path: str) -> tuple[str, str, str]:
    """Path, query without its `?`, fragment with its `#`."""
    resource, hash_mark, fragment = path.partition("#")
    resource, _, query = resource.partition("?")
    return resource, query, hash_mark + fragment


def _resolved(base: str, url: str) -> str:
    """A relative URL as seen from the request target `base` (RFC 3986 section 5.2).

    urllib's urljoin takes a target that begins with `//` for a host, and drops empty segments.
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
