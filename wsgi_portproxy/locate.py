"""Step 1: find the port in a request, and what of its URL is the service's.

Owns the URL forms: one parse of the path and of `port`, made on the very string that is forwarded,
byte for byte. Decides on the environ alone and opens nothing. Whether the port may be used and by
whom is `ports` and `authorize`; how URLs are mapped back is `rewrite`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote, unquote_plus

from webob.acceptparse import create_accept_header

from .errors import BadRequest, InvalidPort, NotFound
from .hostform import HostForm
from .mount import Mount
from .rawtarget import RawTarget, escape_octets, raw_target

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Form = Literal["query", "path", "host", "stray"]

# Characters to be escaped in a URL that goes into a header: `;` would end a cookie's Path, and
# browsers read `\` as `/`. Everything else visible stays as the visitor wrote it.
_UNSAFE_IN_PREFIX = re.compile(r"[^A-Za-z0-9\-._~!$&'()*+,=:@%/]")
# `0` is a well-formed number outside every range, hence allowed here and refused by the range.
_PORT = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)
_LONGEST_KEPT = 2048  # characters of a path by which something is kept
_LONGEST_ACCEPT = 8192  # characters; browsers send some 150
# What we can answer with ourselves. The first is for those who say nothing, such as curl.
_OFFERED = ("text/plain", "application/json", "text/html")


class Target(NamedTuple):
    """Where a request is to go.

    port: TCP port of the service on 127.0.0.1, 0 to 99999 until it was checked.
    path: the request target for the service: path and query, byte-exact, with `port` cut out.
    prefix: what the visitor's URL has before that path, SCRIPT_NAME included, without a final
        slash: `/alice/vision` in the query form, `/alice/vision/proxy/16006` in the path form,
        nothing in the host form. Of a stray: that of the page that it belongs to.
    params: the mount's parameters, decoded: `{"username": "alice", "project": "vision"}`. In the
        host form only those that the host name carries, in lower case.
    form: how the port was given: query, path, host, or stray (by the page that asked).
    websocket: whether the request is a WebSocket handshake.
    """

    port: int
    path: str
    prefix: str
    params: Mapping[str, str]
    form: Form
    websocket: bool


class Locator:
    """Finds targets under one mount. `proxy` is the segment that introduces the path form, `host`
    the template of the host form."""

    def __init__(self, mount: Mount, *, proxy: str = "proxy", host: str | None = None) -> None:
        if not re.fullmatch(r"[A-Za-z0-9\-._~]+", proxy) or proxy in (".", ".."):
            raise ValueError(f"proxy must be one plain path segment: {proxy!r}")
        self.mount = mount
        self.proxy = proxy
        self.host = HostForm(host, mount.names) if host is not None else None
        self.path_mark = f"/{proxy}/"
        self._depth = 1 + len(mount.segments) + 2  # of a path up to the port; its root counts

    def locate(self, environ: WSGIEnvironment) -> Target | None:
        """The target of a request, or None if the request is the wrapped app's own.

        Raises `InvalidPort` for a port that is not exactly one plain number, `NotFound` for a path
        that other readers could take out of the mount, and `BadRequest` for what is no path.
        """
        return self.by_host(environ) or self.by_url(environ)

    def by_host(self, environ: WSGIEnvironment) -> Target | None:
        """The target that the request's host name means, if it is a port's. Raises likewise."""
        if self.host is None or (named := self.host.match(environ)) is None:
            return None
        return _at_root(raw_target(environ), parse_port(named.port), named.params, environ)

    def by_url(self, environ: WSGIEnvironment) -> Target | None:
        """The target that the path or the query means. Raises likewise."""
        query = environ.get("QUERY_STRING", "")
        by_path = self.path_mark in environ.get("PATH_INFO", "")
        if not by_path and "port" not in (unquote(query) if "%" in query else query):
            return None  # nearly every request of the wrapped app leaves here
        websocket = "HTTP_UPGRADE" in environ and is_websocket(environ)
        return self.within_mount(raw_target(environ), websocket=websocket)

    def within_mount(self, raw: RawTarget, *, websocket: bool = False) -> Target | None:
        """The target of a URL of this site, by its path form or its query form. Raises likewise."""
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
        place = _place_of(self.mount, self.proxy, raw.script, tuple(segments))
        if place is None:
            return None
        port, prefix, params = place
        refuse_climbing(path)
        if raw.query is not None:
            path += "?" + raw.query
        if websocket and not path.startswith("/"):
            path = "/" + path  # no WebSocket client follows the redirect that adds the slash
        return Target(port, path, prefix, params, "path", websocket)

    def _by_query(self, raw: RawTarget, websocket: bool) -> Target | None:
        values, query = cut_port(raw.query or "", most=2)
        if not values:
            return None
        depth = len(self.mount.segments)
        _, *segments = raw.path.split("/", depth + 1)
        decoded = [unquote(segment, "latin-1") for segment in segments[:depth]]
        params = self.mount.match(decoded + segments[depth:])
        if params is None:
            return None
        if len(values) > 1:
            raise InvalidPort(", ".join(values), "It is given more than once.")
        port = parse_port(values[0])
        path = "".join(["/" + segment for segment in segments[depth:]]) or "/"
        refuse_climbing(path)
        if query:
            path += "?" + query
        prefix = "/".join([raw.script, *segments[:depth]])
        return Target(port, path, _header_safe(prefix), params, "query", websocket)

    def canonical_location(
        self, target: Target, environ: WSGIEnvironment, *, promote: bool
    ) -> tuple[int, str] | None:
        """Status and Location, if the visitor's browser should ask at another URL; else None.

        A navigation in the query form moves to the path form, where relative URLs, reloads and
        bookmarks keep the port: by 307, so that a form's POST stays one. `.../proxy/16006` gets the
        slash without which relative URLs lose their last segment: by 308, it will not change.
        """
        if target.form == "path" and not target.path.startswith("/"):
            return 308, f"{target.prefix}/{target.path}"
        if promote and target.form == "query" and is_navigation(environ):
            return 307, f"{target.prefix}/{self.proxy}/{target.port}{target.path}"
        if target.form == "stray" and not target.websocket:
            by_path = target.prefix.endswith(f"{self.path_mark}{target.port}")
            return 307, target.prefix + target.path if by_path else with_port(target)
        return None


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
    """Port, prefix and parameters of the path form, by what the slashes of a path divide up to the
    port; None if it is not of that form. The same for all that a page asks for, hence kept. Raises
    as `locate`."""
    _, *decoded = [unquote(segment, "latin-1") for segment in segments]
    if decoded[-2] != proxy:
        return None
    # Digits only, or the app may have pages of its own there: /alice/vision/proxy/README.md
    if not (decoded[-1].isascii() and decoded[-1].isdigit()):
        return None
    params = mount.match(decoded)
    if params is None:
        return None
    port = parse_port(segments[-1])
    prefix = "/".join([script, *segments[1:-2], proxy, str(port)])
    return port, _header_safe(prefix), params


def _at_root(
    raw: RawTarget, port: int, params: Mapping[str, str], environ: WSGIEnvironment
) -> Target:
    """The target of a request in the host form: all of the URL is the service's."""
    _refuse_no_path(raw)
    path = raw.path or "/"
    if raw.query is not None:
        path += "?" + raw.query
    return Target(port, path, _header_safe(raw.script), params, "host", is_websocket(environ))


def _refuse_no_path(raw: RawTarget) -> None:
    """`OPTIONS *`, `GET x/alice/...`: what it is the root of, each reader may see otherwise."""
    if raw.path[:1] not in ("", "/"):
        raise BadRequest("The request target is not a path.")


def with_port(target: Target) -> str:
    """The visitor's URL of a target in the query form, which has the port in every URL."""
    path = target.path
    if not target.prefix and path[1:2] in ("/", "\\"):
        path = "/." + path  # `//host` at the beginning would be another site
    path, hash_mark, fragment = path.partition("#")
    resource, _, query = path.partition("?")
    _, query = cut_port(query)
    query = f"{query}&port={target.port}" if query else f"port={target.port}"
    return f"{target.prefix}{resource}?{query}{hash_mark}{fragment}"


def cut_port(query: str, *, most: int | None = None) -> tuple[list[str], str]:
    """The raw values of all `port` keys of a query string, and the query without these pairs.

    `most`: how many there may be for the rest to be looked at. Keys are compared decoded, since
    that is how every framework reads them; values stay raw.
    """
    values, kept = [], []
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if key == "port" or ("%" in key and unquote_plus(key) == "port"):
            values.append(value)
            if len(values) == most:
                break
        else:
            kept.append(pair)
    return values, "&".join(kept)


def parse_port(raw: str) -> int:
    """A port in plain ASCII decimal, undecoded and without sign or leading zero, as int.

    Raises `InvalidPort` for everything else; linear in the length of `raw`.
    """
    if _PORT.fullmatch(raw) is None:
        raise InvalidPort(raw)
    return int(raw)


def is_websocket(environ: WSGIEnvironment) -> bool:
    """Whether the request asks for a WebSocket (RFC 6455 section 4.2.1, items 3 and 4)."""
    upgrade = environ.get("HTTP_UPGRADE")
    if upgrade is None:
        return False
    options = environ.get("HTTP_CONNECTION", "").lower().split(",")
    return (
        "websocket" in [token.strip() for token in upgrade.lower().split(",")]
        and "upgrade" in [token.strip() for token in options]
        and environ.get("SERVER_PROTOCOL") != "HTTP/1.0"
    )


def is_navigation(environ: WSGIEnvironment) -> bool:
    """Whether a browser is about to show the answer as a page (Fetch standard, Sec-Fetch-Mode).

    Browsers send Sec-Fetch-* on https and to localhost only; on plain http to another host a GET or
    HEAD of a browser that prefers HTML is taken for one.
    """
    if "HTTP_SEC_FETCH_MODE" not in environ and environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return False
    return _wants_page(environ)


def shows_page(environ: WSGIEnvironment) -> bool:
    """Whether a browser will show the answer as a page: a navigation, or a form that was posted,
    which may come again with what is wrong in it."""
    return environ["REQUEST_METHOD"] in ("GET", "POST") and _wants_page(environ)


def _wants_page(environ: WSGIEnvironment) -> bool:
    mode = environ.get("HTTP_SEC_FETCH_MODE")
    if mode is not None:
        return bool(mode == "navigate")
    accept = environ.get("HTTP_ACCEPT", "")
    return is_browser(environ) and preferred_type(accept) == "text/html"


def is_browser(environ: WSGIEnvironment) -> bool:
    """Whether a browser asks, by the word that all of them begin their User-Agent with."""
    agent: str = environ.get("HTTP_USER_AGENT", "")
    return agent.startswith("Mozilla/")


def preferred_type(accept: str) -> str:
    """The media type of `_OFFERED` that an Accept header asks for (RFC 9110 section 12.5.1).

    Of two that it values alike, the one that it names: `*/*` beside a name is there for the rest.
    Of a long one the beginning counts: anybody may send it, and reading one of 800 KB takes 0.6 s.
    """
    return _preferred_type(accept[:_LONGEST_ACCEPT])


@lru_cache(maxsize=64)
def _preferred_type(accept: str) -> str:
    quality = dict(create_accept_header(accept or None).acceptable_offers(_OFFERED))
    named = accept.lower()
    if not quality and "+json" in named:  # application/problem+json and its like
        return "application/json"

    def rank(offer: str) -> tuple[float, bool, int]:
        position = named.find(offer)
        return quality.get(offer, 0.0), position >= 0, -position

    return max(_OFFERED, key=rank)


def refuse_climbing(path: str) -> None:
    """Refuse a path whose dot segments lead out of the service's part of the URL.

    A hop that resolves them (browsers, uWSGI, nginx do) would see another mount than we judge.
    """
    decoded = unquote(path, "latin-1") if "%" in path else path
    if ".." not in decoded:
        return
    depth = 0
    for segment in decoded.replace("\\", "/").split("/"):
        if segment not in ("", "."):  # an empty one is no step down: many hops collapse `//` first
            depth += -1 if segment == ".." else 1
        if depth < 0:
            raise NotFound("There is no such page.", detail="dot segments leave the mount")


def _header_safe(prefix: str) -> str:
    return _UNSAFE_IN_PREFIX.sub(escape_octets, prefix)
