"""Step 2: refuse requests that a page on another site made in the visitor's name.

Services guard themselves by comparing Origin with Host (MLflow, Jupyter, Streamlit, Vite). We send
them a pair that agrees, so they can no longer see a difference, and we check before anything is
sent. `locate.origin` defines the site's own origin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ForeignOrigin, Refused
from ..locate.origin import normal_origin
from ..locate.target import Target
from ..locate.visit import Visit

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


# RFC 9110 section 9.2.1. TRACE is safe too but never gets here.
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def check_same_origin(visit: Visit, target: Target) -> None:
    """Raise `ForeignOrigin` or `Refused` unless the visitor may have meant the request.

    Unsafe methods and WebSocket handshakes: neither Origin nor Sec-Fetch-Site may name another
    origin; a sibling subdomain and `null` count as other origins. All other requests: none from
    another site except a link that the visitor followed (Fetch Metadata: navigate, document).
    Programs that are not browsers send none of these headers and pass.
    """
    environ = visit.environ
    origin = environ.get("HTTP_ORIGIN")
    site = environ.get("HTTP_SEC_FETCH_SITE", "none").strip().lower()
    if target.websocket or visit.method not in _SAFE_METHODS:
        # `null` with `same-origin` comes from a form on a page that hides its Referer (Fetch
        # standard, "append a request Origin header"); a sandboxed page sends `cross-site`.
        hidden = (origin, site) == ("null", "same-origin") and not target.websocket
        foreign = site not in ("same-origin", "none") or (
            origin is not None and not hidden and normal_origin(origin) != visit.origin
        )
    else:
        known = site in ("same-origin", "same-site", "none")
        foreign = not known and not _is_followed_link(environ)
    if foreign:
        raise ForeignOrigin(
            "This request came from a page on another site.",
            "Open the page from this application instead. If you did, the server in front of it "
            "does not pass on the scheme or host name.",
            detail="Origin or Sec-Fetch-Site is foreign",
        )
    is_at_home = target.form.keeps_pages and not target.is_astray
    if "HTTP_SERVICE_WORKER" in environ and not is_at_home:
        # Its scope would be the directory of the script's URL, which belongs to the app here.
        raise Refused("A service worker can only be used under the port's own path.")


def _is_followed_link(environ: WSGIEnvironment) -> bool:
    return (
        environ["REQUEST_METHOD"] == "GET"
        and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        and environ.get("HTTP_SEC_FETCH_DEST", "document") == "document"
    )
