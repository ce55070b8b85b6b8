"""Decides from its headers what a request asks for: a page, a WebSocket, which media type.

`visit` establishes each fact once per request.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from webob.acceptparse import create_accept_header

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


_LONGEST_ACCEPT = 8192  # characters; browsers send about 150
# The media types of our own responses. The first is for programs that name none, such as curl.
_OFFERED = ("text/plain", "application/json", "text/html")


#: Values of Sec-Fetch-Dest (Fetch standard, "destination") of files that are the same at any URL.
ASSETS = frozenset({"script", "style", "image", "font", "audio", "video", "track"})


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
    """Whether a browser is about to show the response as a page (Fetch standard, Sec-Fetch-Mode).

    Browsers send Sec-Fetch-* only on https and to localhost. On plain http to another host, a GET
    or HEAD from a browser that prefers HTML counts as a navigation.
    """
    if "HTTP_SEC_FETCH_MODE" not in environ and environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return False
    return _wants_page(environ)


def shows_page(environ: WSGIEnvironment) -> bool:
    """Whether a browser will show the response as a page: after a navigation, or after a form was
    posted, since its page may be shown again with errors."""
    return environ["REQUEST_METHOD"] in ("GET", "POST") and _wants_page(environ)


def _wants_page(environ: WSGIEnvironment) -> bool:
    mode = environ.get("HTTP_SEC_FETCH_MODE")
    if mode is not None:
        return bool(mode == "navigate")
    accept = environ.get("HTTP_ACCEPT", "")
    return is_browser(environ) and preferred_type(accept) == "text/html"


def is_browser(environ: WSGIEnvironment) -> bool:
    """Whether a browser sent the request: every browser's User-Agent begins with `Mozilla/`."""
    agent: str = environ.get("HTTP_USER_AGENT", "")
    return agent.startswith("Mozilla/")


def preferred_type(accept: str) -> str:
    """The media type of `_OFFERED` that an Accept header prefers (RFC 9110 section 12.5.1).

    Of types with the same quality, the first that the header names wins: `*/*` is meant for
    everything else. Only the beginning of a long header is read: parsing 800 KB takes 0.6 s, and
    anybody may send it.
    """
    return _preferred_type(accept[:_LONGEST_ACCEPT])


@lru_cache(maxsize=64)
def _preferred_type(accept: str) -> str:
    quality = dict(create_accept_header(accept or None).acceptable_offers(_OFFERED))
    named = accept.lower()
    if not quality and "+json" in named:  # such as application/problem+json
        return "application/json"

    def rank(offer: str) -> tuple[float, bool, int]:
        position = named.find(offer)
        return quality.get(offer, 0.0), position >= 0, -position

    return max(_OFFERED, key=rank)
