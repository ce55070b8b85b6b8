"""Step 1: find the port in a request, and what of its URL is the service's.

Owns the URL forms: one parse of the path and of `port`, made on the very string that is forwarded,
byte for byte. Decides on the environ alone and opens nothing. Whether the port may be used and by
whom is `ports` and `authorize`; how URLs are mapped back is `rewrite`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import quote, unquote, unquote_plus

from webob.acceptparse import create_accept_header

from .errors import BadRequest, InvalidPort, NotFound
from .mount import Mount

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Form = Literal["query", "path", "host", "stray"]

# RFC 9112 section 3.2.1, visible ASCII only; a `#` would end the target for some readers only.
_ORIGIN_FORM = re.compile(r"/[\x21\x22\x24-\x7e]*")
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)
# What a path may hold as it is (RFC 3986 section 3.3), used where a server gives no raw target.
_PATH_SAFE = "/!$&'()*+,;=:@~-._"
# Characters to be escaped in a URL that goes into a header: `;` would end a cookie's Path, and
# browsers read `\` as `/`. Everything else visible stays as the visitor wrote it.
_UNSAFE_IN_PREFIX = re.compile(r"[^A-Za-z0-9\-._~!$&'()*+,=:@%/]")
_NOT_VISIBLE = re.compile(r"[^\x21\x22\x24-\x7e]")
# `0` is a well-formed number outside every range, hence allowed here and refused by the range.
_PORT = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)
# What we can answer with ourselves. The first is for those who say nothing, such as curl.
_OFFERED = ("text/plain", "application/json", "text/html")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request is to go.

    port: TCP port of the service on 127.0.0.1, 0 to 99999 until it was checked.
    path: the request target for the service: path and query, byte-exact, with `port` cut out.
    prefix: what the visitor's URL has before that path, SCRIPT_NAME included, without a final
        slash: `/alice/vision` in the query form, `/alice/vision/proxy/16006` in the path form.
    params: the mount's parameters, decoded: `{"username": "alice", "project": "vision"}`.
    form: how the port was given: query, path, host or stray.
    websocket: whether the request is a WebSocket handshake.
    """

    port: int
    path: str
    prefix: str
    params: Mapping[str, str]
    form: Form
    websocket: bool


class Locator:
    """Finds targets under one mount. `proxy` is the segment that introduces the path form."""

    def __init__(self, mount: Mount, *, proxy: str = "proxy") -> None:
        if not re.fullmatch(r"[A-Za-z0-9\-._~]+", proxy) or proxy in (".", ".."):
            raise ValueError(f"proxy must be one plain path segment: {proxy!r}")
        self.mount = mount
        self.proxy = proxy
        self._path_mark = f"/{proxy}/"

    def locate(self, environ: WSGIEnvironment) -> Target | None:
        """The target of a request, or None if the request is the wrapped app's own.

        Raises `InvalidPort` for a port that is not exactly one plain number, `NotFound` for a path
        that other readers could take out of the mount, and `BadRequest` for what is no path.
        """
        query = environ.get("QUERY_STRING", "")
        by_path = self._path_mark in environ.get("PATH_INFO", "")
        if not by_path and "port" not in query and "%" not in query:
            return None  # nearly every request of the wrapped app leaves here
        raw = raw_target(environ)
        segments = raw.path.split("/")[1:]
        decoded = [unquote(segment, "latin-1") for segment in segments]
        target = None
        if by_path:
            target = self._by_path(environ, raw, segments, decoded)
        if target is None and raw.query:
            target = self._by_query(environ, raw, segments, decoded)
        if target is not None and raw.path[:1] not in ("", "/"):
            # `OPTIONS *`, `GET x/alice/...`: what it is the root of, each reader may see otherwise.
            raise BadRequest("The request target is not a path.")
        return target

    def _by_path(
        self, environ: WSGIEnvironment, raw: RawTarget, segments: list[str], decoded: list[str]
    ) -> Target | None:
        depth = len(self.mount.segments)
        if len(decoded) < depth + 2 or decoded[depth] != self.proxy:
            return None
        # Digits only, or the app may have pages of its own there: /alice/vision/proxy/README.md
        if not (decoded[depth + 1].isascii() and decoded[depth + 1].isdigit()):
            return None
        params = self.mount.match(decoded)
        if params is None:
            return None
        port = parse_port(segments[depth + 1])
        rest = decoded[depth + 2 :]
        _refuse_climbing(rest)
        path = "".join("/" + segment for segment in segments[depth + 2 :])
        websocket = is_websocket(environ)
        if raw.query is not None:
            path += "?" + raw.query
        if websocket and not path.startswith("/"):
            path = "/" + path  # no WebSocket client follows the redirect that adds the slash
        prefix = "/".join([raw.script, *segments[:depth], self.proxy, str(port)])
        return Target(port, path, _header_safe(prefix), params, "path", websocket)

    def _by_query(
        self, environ: WSGIEnvironment, raw: RawTarget, segments: list[str], decoded: list[str]
    ) -> Target | None:
        values, query = cut_port(raw.query or "")
        if not values:
            return None
        depth = len(self.mount.segments)
        params = self.mount.match(decoded)
        if params is None:
            return None
        if len(values) > 1:
            raise InvalidPort(", ".join(values), "It is given more than once.")
        port = parse_port(values[0])
        _refuse_climbing(decoded[depth:])
        path = "".join("/" + segment for segment in segments[depth:]) or "/"
        if query:
            path += "?" + query
        prefix = "/".join([raw.script, *segments[:depth]])
        return Target(port, path, _header_safe(prefix), params, "query", is_websocket(environ))

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
        return None


class RawTarget(NamedTuple):
    """The request target as sent: SCRIPT_NAME quoted, path after it, query (None: no `?`)."""

    script: str
    path: str
    query: str | None


def raw_target(environ: WSGIEnvironment) -> RawTarget:
    """The path and query of the request, byte-exact where the server tells.

    PATH_INFO is decoded, so `%2F` and `/` look alike there; servers give the raw target beside it
    (RAW_URI, REQUEST_URI). It is believed only where it is plainly the same path: servers and
    middlewares between them resolve, collapse, cut and move parts of it. Else PATH_INFO is quoted.
    """
    script, info = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
    query = environ.get("QUERY_STRING", "")
    # One slash in front, whatever a middleware set: `//host` in a Location is another site.
    raw_script = quote("/" + script.strip("/"), safe=_PATH_SAFE, encoding="latin-1").rstrip("/")
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    if _ORIGIN_FORM.fullmatch(raw):
        raw_path, mark, raw_query = raw.partition("?")
        if raw_query == query:
            path = _without_script(raw_path, script, info)
            if path is None and _ENCODED_SLASH.search(info):
                # cheroot leaves this one escape in PATH_INFO.
                path = _without_script(raw_path, script, _ENCODED_SLASH.sub("/", info))
            if path is not None:
                return RawTarget(raw_script, path, raw_query if mark else None)
    path = quote(info.encode("latin-1"), safe=_PATH_SAFE)
    return RawTarget(raw_script, path, visible(query) or None)


def _without_script(raw_path: str, script: str, info: str) -> str | None:
    """The part of `raw_path` that is PATH_INFO, or None if it is not that path."""
    decoded = unquote(raw_path, "latin-1")
    if not script:
        return raw_path if decoded == info else None
    if decoded == script + info:
        pieces = raw_path.split("/")
        depth = script.count("/") + 1
        if unquote("/".join(pieces[:depth]), "latin-1") == script:
            return "".join("/" + piece for piece in pieces[depth:])
        return None
    # A proxy in front removed SCRIPT_NAME from the path before the server saw it.
    return raw_path if decoded == info else None


def cut_port(query: str) -> tuple[list[str], str]:
    """The raw values of all `port` keys of a query string, and the query without these pairs.

    Keys are compared decoded, since that is how every framework reads them; values stay raw.
    """
    values, kept = [], []
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if key == "port" or ("%" in key and unquote_plus(key) == "port"):
            values.append(value)
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
    mode = environ.get("HTTP_SEC_FETCH_MODE")
    if mode is not None:
        return bool(mode == "navigate")
    return (
        environ.get("REQUEST_METHOD") in ("GET", "HEAD")
        and environ.get("HTTP_USER_AGENT", "").startswith("Mozilla/")
        and preferred_type(environ.get("HTTP_ACCEPT", "")) == "text/html"
    )


def preferred_type(accept: str) -> str:
    """The media type of `_OFFERED` that an Accept header asks for (RFC 9110 section 12.5.1).

    Of two that it values alike, the one that it names: `*/*` beside a name is there for the rest.
    """
    quality = dict(create_accept_header(accept or None).acceptable_offers(_OFFERED))
    named = accept.lower()
    if not quality and "+json" in named:  # application/problem+json and its like
        return "application/json"

    def rank(offer: str) -> tuple[float, bool, int]:
        position = named.find(offer)
        return quality.get(offer, 0.0), position >= 0, -position

    return max(_OFFERED, key=rank)


def _refuse_climbing(decoded: list[str]) -> None:
    """Refuse a path whose dot segments lead out of the service's part of the URL.

    A hop that resolves them (browsers, uWSGI, nginx do) would see another mount than we judge.
    """
    depth = 0
    for segment in "/".join(decoded).replace("\\", "/").split("/"):
        if segment not in ("", "."):  # an empty one is no step down: many hops collapse `//` first
            depth += -1 if segment == ".." else 1
        if depth < 0:
            raise NotFound("There is no such page.", detail="dot segments leave the mount")


def visible(text: str) -> str:
    """`text` (latin-1) with everything but visible ASCII, and `#`, percent-encoded."""
    return _NOT_VISIBLE.sub(_escape, text)


def _header_safe(prefix: str) -> str:
    return _UNSAFE_IN_PREFIX.sub(_escape, prefix)


def _escape(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("latin-1"))
