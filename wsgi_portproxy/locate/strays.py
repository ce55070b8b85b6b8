"""Recognises strays: requests from a service's pages that have lost the port.

A service that does not know its prefix writes root-absolute URLs, such as `/static/app.js`, into
its pages, and the browser asks the wrapped app for them. The Referer distinguishes such a request
from the app's own. For WebSocket handshakes and pages that send no Referer, we use hints: cookies
that remember where this browser opened services. Both say where a request belongs, never that it
may go there.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from ..errors import PortProxyError
from ..names import COOKIE_PREFIX
from ..subrequest import CapturedResponse
from .locator import Locator, refuse_climbing
from .request_target import RawTarget
from .slots import SLOTS, slot_for
from .target import Target, cut_port
from .visit import Visit

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# A browser has at most one hint per slot, and a handshake is offered to the service of each. Each
# hint costs a request, and a cookie in every request to the app.
_HINT_NAME = f"{COOKIE_PREFIX}hint"
_HINT = re.compile(rf"(?:^|[;,])[ \t]*{re.escape(_HINT_NAME)}([0-9])=([0-9]{{13}})([^;,\s]*)")
_MAX_PREFIX = 160  # bytes of a quoted prefix in a hint
# Referrer policies under which a Referer reveals no more than the origin.
_TELLING_NO_PATH = frozenset({"no-referrer", "origin", "strict-origin"})
_SAFE_METHODS = frozenset({"GET", "HEAD"})
# Sec-Fetch-Dest of frames and embedded objects (Fetch standard, section 2.2.5).
_PARTS_OF_A_PAGE = frozenset({"iframe", "frame", "embed", "object"})
# Left out when a service is asked whether it has a page: headers about the body, and about the part
# of the response that is wanted (RFC 9110 section 14.2).
_OF_THE_BODY = frozenset(
    {"CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_ENCODING"}
    | {"HTTP_RANGE", "HTTP_IF_RANGE", "HTTP_EXPECT"}
)


class Strays:
    """Finds the service to which a stray belongs.

    locator: if its `redirect_browsers` is off, pages may have the query form too.
    """

    def __init__(self, locator: Locator) -> None:
        self._locator = locator
        self._redirect_browsers = locator.redirect_browsers

    def claims(self, visit: Visit) -> bool:
        """Whether a request is a stray from a service's page, even if its URL has a `port` or a
        `proxy/<digits>`.

        Both then belong to the service, like the rest of the URL: it may use a parameter of that
        name, and does not know ours. Not claimed are

        - a link that a person follows;
        - a URL below the page's mount whose path names a port, or whose query names the page's:
          no service makes such URLs by itself.
        """
        referer = visit.environ.get("HTTP_REFERER", "")
        if not self._could_be_page(referer) or self._is_below_its_page(visit, referer):
            return False
        page = self._page_that_asks(visit)
        if page is None or visit.is_navigation:
            return False
        raw = visit.raw
        here = raw.script + raw.path
        if page.form.has_port_in_query:
            mount = page.prefix
            return not (here + "/").startswith(mount + "/")
        if (here + "/").startswith(page.prefix + "/"):
            return False
        mount = page.mount_path
        if mount == raw.script or not here.startswith(mount + "/"):
            return True
        ports, _ = cut_port(raw.query or "")
        named = re.match(rf"{re.escape(self._locator.path_mark)}[0-9]+(?:/|$)", here[len(mount) :])
        return named is None and ports != [str(page.port)]

    def _is_below_its_page(self, visit: Visit, referer: str) -> bool:
        """Whether the path and the Referer name a port in the same words. Most requests for a
        service do, and this check need not locate either URL."""
        raw, mark = visit.raw, self._locator.path_mark
        start = raw.path.find(mark)
        end = raw.path.find("/", start + len(mark))
        if start < 0 or end < 0 or raw.path.count("/", 0, start) != self._locator.mount.depth:
            return False
        return referer.startswith(f"{visit.origin}{raw.script}{raw.path[: end + 1]}")

    def by_referer(self, visit: Visit) -> Target | None:
        """The target of a stray that has a Referer, or None. Raises `NotFound` if its path climbs
        out of the root."""
        page = self._page_that_asks(visit)
        return None if page is None else _at(page, visit.raw)

    def _page_that_asks(self, visit: Visit) -> Target | None:
        """The service's page that made a request, or None."""
        referer = visit.environ.get("HTTP_REFERER")
        if referer is None or not self._could_be_page(referer):
            return None  # nearly every request for the wrapped app ends here
        if visit.environ.get("HTTP_SEC_FETCH_SITE", "same-origin") != "same-origin":
            return None
        return self._page(referer, visit)

    def by_hint(self, visit: Visit, *, websocket: bool) -> list[Target]:
        """The possible targets of a handshake or a request without a Referer, the likeliest first.

        Raises `NotFound` if its path climbs out of the root.
        """
        raw = visit.raw
        pages = [self._page(visit.environ.get("HTTP_REFERER", ""), visit)]  # some clients send it
        for _, _, prefix in _hints(visit)[:SLOTS]:
            pages.append(self._located(RawTarget(raw.script, prefix + "/", None)))
        targets = {
            page.prefix: replace(target, websocket=websocket, is_guess=True)
            for page in pages
            if page is not None and page.form.has_own_path
            if (target := _at(page, raw)) is not None
        }
        return [*targets.values()]

    def remember(self, target: Target, visit: Visit) -> list[tuple[str, str]]:
        """The Set-Cookie headers of the hint by which handshakes are offered to `target`.

        Set when a page is opened in the path form, and for its strays: its handshakes come next.
        Each service has its own hint, since several pages may be opened at once.
        """
        if not target.is_astray and not visit.is_navigation:
            return []
        script = visit.script
        prefix = target.prefix.removeprefix(script)
        by_path = self._locator.path_prefix("", target.port)
        if not self._redirect_browsers and not prefix.endswith(by_path):
            prefix += by_path  # a page in the query form; handshakes work in either form
        quoted = quote(prefix)
        if not prefix.endswith(by_path) or len(quoted) > _MAX_PREFIX:
            return []
        hints = _hints(visit)
        if hints and hints[0][2] == prefix:
            return []
        mark = self._locator.path_mark
        used = {slot: (_port_of(prefix, mark), opened) for opened, slot, prefix in hints}
        slot = slot_for(target.port, used)
        attributes = f"; Path={script}/; HttpOnly; SameSite=Lax"
        if visit.environ.get("wsgi.url_scheme") == "https":
            attributes += "; Secure"
        value = f"{_HINT_NAME}{slot}={_now():013d}{quoted}{attributes}"
        return [("Set-Cookie", value)]

    def _could_be_page(self, referer: str) -> bool:
        if self._locator.path_mark in referer:
            return True
        return not self._redirect_browsers and "port" in referer

    def _page(self, referer: str, visit: Visit) -> Target | None:
        """The service's page that a Referer names, or None."""
        origin = visit.origin
        path = referer[len(origin) :]
        if referer[: len(origin)].lower() != origin or not path.startswith("/"):
            return None
        path, mark, query = path.partition("#")[0].partition("?")
        script = visit.script
        if script and not path.startswith(script + "/"):
            return None  # a page of another app, next to this one
        path = path[len(script) :]
        page = self._located(RawTarget(script, path, query if mark else None))
        return (
            None
            if page is None or (page.form.has_port_in_query and self._redirect_browsers)
            else page
        )

    def _located(self, url: RawTarget) -> Target | None:
        try:
            return self._locator.within_mount(url)
        except PortProxyError:
            return None  # not the URL of a service's page


def _at(page: Target, raw: RawTarget) -> Target | None:
    """The target of a stray from a service's page; None if the request target is not a path."""
    path = raw.path or "/"
    if not path.startswith("/"):
        return None  # `OPTIONS *`
    refuse_climbing(path)
    mount = page.mount_path.removeprefix(raw.script)
    above = mount  # in the query form: a relative URL, which lost only the port
    if page.form.has_own_path and mount:
        # A relative URL may climb above the service's root; at an origin's root browsers stop.
        above = page.prefix.removeprefix(raw.script).rpartition("/")[0]
    elif path == mount:
        path += "/"
    if above and path.startswith(f"{above}/"):
        path = path[len(above) :]
    if raw.query is not None:
        path += "?" + raw.query
    return replace(page, path_qs=path, is_astray=True)


def asks_app_first(visit: Visit) -> bool:
    """Whether a stray belongs to the wrapped app unless the app responds with 404.

    A link back into the app looks like a link within the service. Everything that a page loads,
    sends or posts is the service's: a form is meant for the service that made it, and a frame
    belongs to its page.
    """
    if visit.environ.get("HTTP_SEC_FETCH_DEST", "document") in _PARTS_OF_A_PAGE:
        return False
    return visit.method in _SAFE_METHODS and visit.is_navigation


def is_offered(visit: Visit) -> bool:
    """Whether a request without a Referer is offered to services if the wrapped app responds with
    404: the browser reports that a page of this site made it (Fetch Metadata).

    Examples are links with `rel=noreferrer`, and requests of a worker from a `blob:` URL.
    """
    environ = visit.environ
    if "HTTP_REFERER" in environ or _HINT_NAME not in environ.get("HTTP_COOKIE", ""):
        return False  # nearly every request for the wrapped app ends here
    is_of_this_site = environ.get("HTTP_SEC_FETCH_SITE") == "same-origin"
    return is_of_this_site and "HTTP_SERVICE_WORKER" not in environ


def as_question(visit: Visit) -> WSGIEnvironment:
    """The request that asks a service whether it has a page: a GET without a body, which is safe
    (RFC 9110 section 9.2.1)."""
    asked = {key: value for key, value in visit.environ.items() if key not in _OF_THE_BODY}
    asked["REQUEST_METHOD"] = "GET"
    return asked


def is_start_page(own: CapturedResponse, visit: Visit) -> bool:
    """Whether the wrapped app responds to a handshake at its root with its start page.

    Vite's page opens its WebSocket at the root. An app that handles WebSockets itself returns when
    one is over, and returns no page.
    """
    at_root = visit.environ.get("PATH_INFO", "") in ("", "/")
    return at_root and (300 <= own.status < 400 or own.begins())


def at_location(location: str, visit: Visit) -> WSGIEnvironment:
    """A copy of the environ, as if the browser had already followed the redirect to `location`.

    An authorizer's login then leads back to the service's page. If it led back to the stray URL,
    the browser would arrive there without the Referer.
    """
    path, _, query = location.partition("?")
    script = visit.script
    moved = {**visit.environ, "PATH_INFO": unquote(path.removeprefix(script), "latin-1")}
    moved["QUERY_STRING"] = query
    for key in ("RAW_URI", "REQUEST_URI"):
        if key in moved:
            moved[key] = location
    return moved


def keep_from_straying(refusal: CapturedResponse) -> CapturedResponse:
    """The refusal, with a Referrer-Policy that lets its page load its parts from the app.

    It is a page of the app, shown at a service's URL. With that URL as the Referer, requests from
    it, such as for its style sheet or by its login form, would be mistaken for strays.
    """
    policy = (refusal.header("referrer-policy") or "").rpartition(",")[2]
    if policy.strip().lower() not in _TELLING_NO_PATH:
        others = [field for field in refusal.headers if field[0].lower() != "referrer-policy"]
        refusal.headers = [*others, ("Referrer-Policy", "strict-origin")]
    return refusal


def _hints(visit: Visit) -> list[tuple[int, int, str]]:
    """Time in milliseconds, slot and prefix of each hint of this browser, the newest first."""
    found = _HINT.findall(visit.environ.get("HTTP_COOKIE", "")[:65536])
    hints = [
        (int(opened), int(slot), unquote(prefix, "latin-1"))
        for slot, opened, prefix in found
        if int(slot) < SLOTS
    ]
    return sorted(hints, reverse=True)


def _port_of(prefix: str, path_mark: str) -> int:
    """The port at the end of a prefix in the path form; 0 if the prefix was forged."""
    port = prefix.rpartition(path_mark)[2]
    return int(port) if port.isascii() and port.isdigit() else 0


def _now() -> int:
    return int(time.time() * 1000)
