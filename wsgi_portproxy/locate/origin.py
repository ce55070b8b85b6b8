"""Finds the site's own address, as the visitor sees it.

Defines "our own origin", and when two origins are the same. `policy.same_origin` compares the
origins of requests with it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from .address import Address, address_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


_ORIGIN = re.compile(r"(https?)://([^/@,\s?#]+)", re.IGNORECASE)
_DEFAULT_PORT = {"http": ":80", "https": ":443"}


def own_address(environ: WSGIEnvironment) -> Address:
    """The address at which the visitor sees the wrapped app, such as `https://app.example.com`.

    It comes from Host and the URL scheme. Behind a front end that ends TLS, the server must learn
    the scheme (X-Forwarded-Proto, through the server's settings or werkzeug's ProxyFix).
    """
    scheme = environ.get("wsgi.url_scheme", "http")
    host = environ.get("HTTP_HOST") or ":".join(
        [environ.get("SERVER_NAME", ""), environ.get("SERVER_PORT", "")]
    )
    return _address(scheme, host) if len(host) < 512 else _address.__wrapped__(scheme, host)


@lru_cache(maxsize=64)  # nearly always the same arguments
def _address(scheme: str, host: str) -> Address:
    return address_of(normal_origin(f"{scheme}://{host}") or f"{scheme}://{host}")


def normal_origin(origin: str) -> str | None:
    """An origin in lower case without its scheme's default port; None if it is not an origin."""
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return None
    scheme, host = match[1].lower(), match[2].lower()
    return f"{scheme}://{host.removesuffix(_DEFAULT_PORT[scheme])}"
