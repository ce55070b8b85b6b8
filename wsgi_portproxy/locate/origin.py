"""The same-origin check that the service can no longer make, because we rewrite Origin for it.

Services guard themselves by comparing Origin with Host (MLflow, Jupyter, Streamlit, Vite). They are
sent a pair that agrees, so a request that another site's page makes in the visitor's name has to be
caught here, before anything is sent. Owns what "our own origin" means.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


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
