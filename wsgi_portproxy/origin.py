"""The same-origin check that the service can no longer make, because we rewrite Origin for it.

Services guard themselves by comparing Origin with Host (MLflow, Jupyter, Streamlit, Vite). They are
sent a pair that agrees, so a request that another site's page makes in the visitor's name has to be
caught here, before anything is sent. Owns what "our own origin" means.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from .errors import ForeignOrigin, Refused
from .locate import Target

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# RFC 9110 section 9.2.1. TRACE is safe too but never gets here.
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_ORIGIN = re.compile(r"(https?)://([^/@,\s?#]+)", re.IGNORECASE)
_DEFAULT_PORT = {"http": ":80", "https": ":443"}


def own_origin(environ: WSGIEnvironment) -> str:
    """The origin at which the visitor sees the wrapped app, such as `https://app.example.com`.

    From Host and the URL scheme; behind a proxy that ends TLS the server must be told the scheme
    (X-Forwarded-Proto through the server's or werkzeug's ProxyFix settings).
    """
    scheme = environ.get("wsgi.url_scheme", "http")
    host = environ.get("HTTP_HOST") or ":".join(
        [environ.get("SERVER_NAME", ""), environ.get("SERVER_PORT", "")]
    )
    return _origin(scheme, host) if len(host) < 512 else _origin.__wrapped__(scheme, host)


@lru_cache(maxsize=64)  # asked several times of each request, and the same of nearly all
def _origin(scheme: str, host: str) -> str:
    return normal_origin(f"{scheme}://{host}") or f"{scheme}://{host}"


def normal_origin(origin: str) -> str | None:
    """An origin in lower case and without its scheme's default port; None if it is not one."""
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return None
    scheme, host = match[1].lower(), match[2].lower()
    return f"{scheme}://{host.removesuffix(_DEFAULT_PORT[scheme])}"


def check_same_origin(environ: WSGIEnvironment, target: Target) -> None:
    """Return if the request may have been meant by the visitor. Raises `ForeignOrigin`, `Refused`.

    Unsafe methods and WebSocket handshakes: neither Origin nor Sec-Fetch-Site may name another
    origin, a sibling subdomain and `null` included. Everything else: nothing from another site but
    a link that the visitor followed (Fetch Metadata: navigate, document). Clients that are no
    browsers send none of these fields and pass.
    """
    origin = environ.get("HTTP_ORIGIN")
    site = environ.get("HTTP_SEC_FETCH_SITE", "none").strip().lower()
    if target.websocket or environ["REQUEST_METHOD"] not in _SAFE_METHODS:
        # `null` beside `same-origin` is a form of a page that hides its Referer (Fetch standard,
        # "append a request Origin header"); that of a sandboxed page is `cross-site`.
        hidden = (origin, site) == ("null", "same-origin") and not target.websocket
        foreign = site not in ("same-origin", "none") or (
            origin is not None and not hidden and normal_origin(origin) != own_origin(environ)
        )
    else:
        known = site in ("same-origin", "same-site", "none")
        foreign = not known and not _is_followed_link(environ)
    if foreign:
        raise ForeignOrigin(
            "This request was made by a page of another site.",
            "Open the page from this application instead. If this is the application itself, the "
            "server in front does not pass on its scheme or host name.",
            detail="Origin or Sec-Fetch-Site is foreign",
        )
    if "HTTP_SERVICE_WORKER" in environ and target.form not in ("path", "host"):
        # Its scope would be the directory of the script's URL, which here is the app's.
        raise Refused("A service worker can only be used at the port's own path.")


def _is_followed_link(environ: WSGIEnvironment) -> bool:
    return (
        environ["REQUEST_METHOD"] == "GET"
        and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        and environ.get("HTTP_SEC_FETCH_DEST", "document") == "document"
    )
