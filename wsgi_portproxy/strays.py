"""Strays: requests of a service's pages that have lost the port.

A service that knows of no prefix writes root-absolute URLs, `/static/app.js`, into its pages, and
the browser asks the wrapped app for them. Owns how such a request is told from the app's own: by
the Referer, and for WebSocket handshakes and pages that send none, by a cookie of ours that
remembers where this browser opened services. Both say where a request belongs, never that it may
go there.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from .captured import CapturedResponse
from .cookies import OWN_PREFIX
from .errors import PortProxyError
from .locate import Locator, Target, cut_port, is_navigation, refuse_climbing
from .origin import own_origin
from .rawtarget import RawTarget, quoted_script, raw_target
from .slots import SLOTS, slot_for

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# Services that the browser is told to remember, and a handshake is offered to: as many as there are
# slots. Each is one request, and a cookie in all requests to the app.
_HINT_NAME = f"{OWN_PREFIX}hint"
_HINT = re.compile(rf"(?:^|[;,])[ \t]*{re.escape(_HINT_NAME)}([0-9])=([0-9]{{13}})([^;,\s]*)")
_MAX_PREFIX = 160  # bytes of a prefix that are worth a cookie
# Referrer policies under which a request tells no more than its origin.
_TELLING_NO_PATH = frozenset({"no-referrer", "origin", "strict-origin"})
_SAFE_METHODS = frozenset({"GET", "HEAD"})
# Sec-Fetch-Dest of what is shown within a page (Fetch standard, section 2.2.5).
_PARTS_OF_A_PAGE = frozenset({"iframe", "frame", "embed", "object"})
# What a question leaves out: the body, and the part of the answer that is wanted (RFC 9110 section
# 14.2), since there may be none.
_OF_THE_BODY = frozenset(
    {"CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_ENCODING"}
    | {"HTTP_RANGE", "HTTP_IF_RANGE", "HTTP_EXPECT"}
)


class Strays:
    """Finds the service that a request belongs to which names none.

    promote: as in `PortProxy`. Without it pages live in the query form as well.
    """

    def __init__(self, locator: Locator, *, promote: bool) -> None:
        self._locator = locator
        self._promote = promote

    def claims(self, environ: WSGIEnvironment) -> bool:
        """Whether a request is of a service's page and astray, whatever a `port` or a
        `proxy/<digits>` in its URL would otherwise say.

        Those are the service's own, as the rest of the URL is: it may have a parameter of that
        name, and knows nothing of ours. Not where a person follows a link, and not below the same
        mount where the path names a port, or the query the page's own: no service comes upon these
        by itself.
        """
        page = self._page_that_asks(environ)
        if page is None or is_navigation(environ):
            return False
        raw = raw_target(environ)
        here = raw.script + raw.path
        if page.form == "query":
            mount = page.prefix
            return not (here + "/").startswith(mount + "/")
        if (here + "/").startswith(page.prefix + "/"):
            return False
        mount, proxy, _ = page.prefix.rsplit("/", 2)
        if mount == raw.script or not here.startswith(mount + "/"):
            return True
        ports, _ = cut_port(raw.query or "")
        named = re.match(rf"/{re.escape(proxy)}/[0-9]+(?:/|$)", here[len(mount) :])
        return named is None and ports != [str(page.port)]

    def by_referer(self, environ: WSGIEnvironment) -> Target | None:
        """The target of a request from a service's page, or None. Raises `NotFound` if its path
        climbs out of the root."""
        page = self._page_that_asks(environ)
        return None if page is None else _at(page, raw_target(environ))

    def _page_that_asks(self, environ: WSGIEnvironment) -> Target | None:
        """The service's page that a request comes from, or None."""
        referer = environ.get("HTTP_REFERER")
        if referer is None or not self._could_be_page(referer):
            return None  # nearly every request of the wrapped app leaves here
        if environ.get("HTTP_SEC_FETCH_SITE", "same-origin") != "same-origin":
            return None
        return self._page(referer, environ)

    def by_hint(self, environ: WSGIEnvironment, *, websocket: bool) -> list[Target]:
        """The targets that a request without a Referer may be meant for, the likeliest first.

        Raises `NotFound` if its path climbs out of the root.
        """
        raw = raw_target(environ)
        pages = [self._page(environ.get("HTTP_REFERER", ""), environ)]  # some clients tell it
        for _, _, prefix in _hints(environ)[:SLOTS]:
            pages.append(self._located(RawTarget(raw.script, prefix + "/", None)))
        targets = {
            page.prefix: target._replace(websocket=websocket)
            for page in pages
            if page is not None and page.form == "path"
            if (target := _at(page, raw)) is not None
        }
        return [*targets.values()]

    def remember(self, target: Target, environ: WSGIEnvironment) -> list[tuple[str, str]]:
        """The Set-Cookie fields after which this browser's handshakes are offered to `target`.

        For a page in the path form that is opened, and for what it asks for astray: its handshakes
        come next. One cookie for each service, since several pages may be opened at once.
        """
        if target.form != "stray" and not is_navigation(environ):
            return []
        script = quoted_script(environ)
        prefix = target.prefix.removeprefix(script)
        by_path = f"{self._locator.path_mark}{target.port}"
        if not self._promote and not prefix.endswith(by_path):
            prefix += by_path  # a page in the query form; handshakes do not mind which it is
        quoted = quote(prefix)
        if not prefix.endswith(by_path) or len(quoted) > _MAX_PREFIX:
            return []
        hints = _hints(environ)
        if hints and hints[0][2] == prefix:
            return []
        mark = self._locator.path_mark
        used = {slot: (_port_of(prefix, mark), opened) for opened, slot, prefix in hints}
        slot = slot_for(target.port, used)
        attributes = f"; Path={script}/; HttpOnly; SameSite=Lax"
        if environ.get("wsgi.url_scheme") == "https":
            attributes += "; Secure"
        value = f"{_HINT_NAME}{slot}={_now():013d}{quoted}{attributes}"
        return [("Set-Cookie", value)]

    def _could_be_page(self, referer: str) -> bool:
        if self._locator.path_mark in referer:
            return True
        return not self._promote and "port" in referer

    def _page(self, referer: str, environ: WSGIEnvironment) -> Target | None:
        """The page that a Referer names, if it is a service's."""
        origin = own_origin(environ)
        path = referer[len(origin) :]
        if referer[: len(origin)].lower() != origin or not path.startswith("/"):
            return None
        path, mark, query = path.partition("#")[0].partition("?")
        script = quoted_script(environ)
        if script and not path.startswith(script + "/"):
            return None  # of another app, beside this one
        path = path[len(script) :]
        page = self._located(RawTarget(script, path, query if mark else None))
        return None if page is None or (page.form == "query" and self._promote) else page

    def _located(self, url: RawTarget) -> Target | None:
        try:
            return self._locator.within_mount(url)
        except PortProxyError:
            return None  # whoever made this URL, it is no page of ours


def _at(page: Target, raw: RawTarget) -> Target | None:
    """The target of a request that a service's page made astray; None if it is for no path."""
    path = raw.path or "/"
    if not path.startswith("/"):
        return None  # `OPTIONS *`
    refuse_climbing(path)
    mount = page.prefix.removeprefix(raw.script)
    above = [mount]  # in the query form: a relative URL, which lost the port alone
    if page.form == "path":
        # A relative URL that climbs above the service's root, where browsers would stop.
        mount, proxy, _ = mount.rsplit("/", 2)
        above = [f"{mount}/{proxy}"] if mount else []
    elif path == mount:
        path += "/"
    for folder in above:
        if folder and path.startswith(folder + "/"):
            path = path[len(folder) :]
            break
    if raw.query is not None:
        path += "?" + raw.query
    return page._replace(path=path, form="stray")


def asks_app_first(environ: WSGIEnvironment) -> bool:
    """Whether a stray is the wrapped app's unless it answers 404.

    A link back into the app looks like a link within the service. What a page loads, sends and
    posts does not: a form's fields are for who made the form, and a frame is for whose page it is
    in.
    """
    if environ.get("HTTP_SEC_FETCH_DEST", "document") in _PARTS_OF_A_PAGE:
        return False
    return environ["REQUEST_METHOD"] in _SAFE_METHODS and is_navigation(environ)


def is_offered(environ: WSGIEnvironment) -> bool:
    """Whether a request that the wrapped app answers 404 may be a service's, though it does not say
    where it comes from: a page of this site made it, and browsers tell of that (Fetch Metadata).

    Such are links with `rel=noreferrer`, and what a worker from a `blob:` URL asks for.
    """
    if "HTTP_REFERER" in environ or _HINT_NAME not in environ.get("HTTP_COOKIE", ""):
        return False  # nearly every request of the wrapped app leaves here
    is_of_this_site = environ.get("HTTP_SEC_FETCH_SITE") == "same-origin"
    return is_of_this_site and "HTTP_SERVICE_WORKER" not in environ


def as_question(environ: WSGIEnvironment) -> WSGIEnvironment:
    """The request by which a service is asked whether it has a page: a GET, which is safe (RFC 9110
    section 9.2.1)."""
    asked = {key: value for key, value in environ.items() if key not in _OF_THE_BODY}
    asked["REQUEST_METHOD"] = "GET"
    return asked


def is_start_page(own: CapturedResponse, environ: WSGIEnvironment) -> bool:
    """Whether the wrapped app answers a handshake at its root with the page that every app has.

    Vite's page opens its WebSocket there. An app that carries WebSockets itself, and returns when
    one is over, returns no page.
    """
    at_root = environ.get("PATH_INFO", "") in ("", "/")
    return at_root and (300 <= own.status < 400 or own.begins())


def at_location(location: str, environ: WSGIEnvironment) -> WSGIEnvironment:
    """A copy of `environ` as if the browser had followed the redirect to `location` already.

    So that an authorizer's login leads back to the service's page: back to the URL that is astray,
    the browser would come without the Referer.
    """
    path, _, query = location.partition("?")
    script = quoted_script(environ)
    moved = {**environ, "PATH_INFO": unquote(path.removeprefix(script), "latin-1")}
    moved["QUERY_STRING"] = query
    for key in ("RAW_URI", "REQUEST_URI"):
        if key in moved:
            moved[key] = location
    return moved


def keep_from_straying(refusal: CapturedResponse) -> CapturedResponse:
    """A refusal whose page asks the app for what it needs.

    The page is the app's own, shown at a service's URL. With that URL as their Referer, its style
    sheet and its login form would be taken for strays of the service.
    """
    policy = (refusal.header("referrer-policy") or "").rpartition(",")[2]
    if policy.strip().lower() not in _TELLING_NO_PATH:
        others = [field for field in refusal.headers if field[0].lower() != "referrer-policy"]
        refusal.headers = [*others, ("Referrer-Policy", "strict-origin")]
    return refusal


def _hints(environ: WSGIEnvironment) -> list[tuple[int, int, str]]:
    """Milliseconds, slot and prefix of what this browser remembers, the newest first."""
    found = _HINT.findall(environ.get("HTTP_COOKIE", "")[:65536])
    hints = [
        (int(opened), int(slot), unquote(prefix, "latin-1"))
        for slot, opened, prefix in found
        if int(slot) < SLOTS
    ]
    return sorted(hints, reverse=True)


def _port_of(prefix: str, path_mark: str) -> int:
    """The port at the end of a prefix of the path form; 0 for what was made up."""
    port = prefix.rpartition(path_mark)[2]
    return int(port) if port.isascii() and port.isdigit() else 0


def _now() -> int:
    return int(time.time() * 1000)
