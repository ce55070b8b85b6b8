"""Step 4, the visitor's headers on their way to the service.

Applies the tables of `header_tables` and `url_fields`: hop-by-hop headers, and what a front end
says about the visitor, stay here; cookies and URLs are mapped; and the service is told its address.
The headers that announce the body are `upstream.request_body`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import compress
from typing import TYPE_CHECKING

from ..locate.browser import is_browser
from .cookie_copies import copied
from .cookies import CookiePolicy
from .header_tables import (
    _SAY_NOTHING,
    _TOKEN,
    NOT_TO_SERVICE,
    NOT_TO_SERVICE_PREFIXES,
    HeaderNames,
    Headers,
    _canonical,
    _connection_options,
)
from .url_fields import URLS_TO_SERVICE
from .urls import View

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


# A visitor's `Connection` has no effect on these two: a service that compares Origin with Host
# takes a request without them for its own.
_NEVER_HOP_BY_HOP = frozenset({"origin", "referer"})
# Headers whose values are filtered or mapped.
_FILTERED_TO_SERVICE = frozenset(
    {"cookie", "authorization", *(name.lower() for name, _ in URLS_TO_SERVICE.values())}
)


def request_headers(
    environ: WSGIEnvironment,
    view: View,
    cookies: CookiePolicy,
    *,
    withhold_authorization: bool,
    withheld: HeaderNames | None = None,
) -> Headers:
    """The headers for the service, except those that announce the body.

    Host comes first, then the visitor's unchanged headers, then the filtered ones, then
    X-Forwarded-* and the like.
    """
    # Most of an environ is not headers. Those that pass are picked out without a Python loop: this
    # runs for every request, over some thirty keys.
    names = _names_to_service(tuple(environ), withheld)
    pairs = zip(names, environ.values(), strict=True)
    passing: Iterable[tuple[str, str]] = compress(pairs, names)
    named = _connection_options(environ.get("HTTP_CONNECTION", ""))
    if not named <= _SAY_NOTHING:
        passing = [field for field in passing if _canonical(field[0]) not in named]
    headers = [("Host", view.told.authority), *passing]

    def is_withheld(canonical: str) -> bool:
        return withheld is not None and withheld.match(canonical)

    if (content_type := environ.get("CONTENT_TYPE")) and not is_withheld("content-type"):
        headers.append(("Content-Type", content_type))
    if (cookie := environ.get("HTTP_COOKIE")) and not is_withheld("cookie"):
        port = view.target.port
        kept = cookies.for_service(cookie, port, of_this_host=view.of_this_host)
        if view.target.is_astray and (copies := copied(cookie, port)):
            kept = f"{kept}; {copies}" if kept.strip() else copies
        if kept.strip():
            headers.append(("Cookie", kept))
    for key, (name, to_service) in URLS_TO_SERVICE.items():
        value = environ.get(key)
        if value is None:
            continue
        canonical = _canonical(name)
        if canonical not in named - _NEVER_HOP_BY_HOP and not is_withheld(canonical):
            headers.append((name, to_service(view, value)))
    authorization = environ.get("HTTP_AUTHORIZATION")
    if (
        authorization is not None
        and not withhold_authorization
        and "authorization" not in named
        and not is_withheld("authorization")
    ):
        headers.append(("Authorization", authorization))
    return headers + _forwarded(environ, view)


def _forwarded(environ: WSGIEnvironment, view: View) -> Headers:
    """What a proxy adds, for the service to know the visitor and its own address by."""
    headers: Headers = []
    if remote := environ.get("REMOTE_ADDR"):
        headers.append(("X-Forwarded-For", remote))
    headers.append(("X-Forwarded-Proto", view.told.scheme))
    if view.external:
        headers.append(("X-Forwarded-Host", view.told.authority))
    elif view.target.form.keeps_pages and not view.target.is_astray and is_browser(environ):
        # The only way to tell Gradio its public address: it puts this in front of the URLs of files
        # in pages and event streams (its route_utils).
        headers.append(("X-Gradio-Server", view.origin + view.target.prefix))
    if view.target.prefix and not view.base:  # a service with its full path would add it twice
        headers.append(("X-Forwarded-Prefix", view.target.prefix))
    return headers


@lru_cache(maxsize=64)  # a browser's requests have only a few different sets of keys
def _names_to_service(keys: tuple[str, ...], withheld: HeaderNames | None) -> list[str]:
    """`_name_to_service` of each key of an environ."""
    return [_name_to_service(key, withheld) for key in keys]


def _name_to_service(key: str, withheld: HeaderNames | None) -> str:
    """The header name for a WSGI key such as HTTP_ACCEPT; "" if it is not a header, or does not
    pass unchanged. Names have the usual spelling, since WSGI does not keep the visitor's."""
    if not key.startswith("HTTP_"):
        return ""
    name = "-".join(part.capitalize() for part in key[5:].split("_"))
    canonical = _canonical(name)
    if canonical in NOT_TO_SERVICE or canonical.startswith(NOT_TO_SERVICE_PREFIXES):
        return ""
    if withheld is not None and withheld.match(canonical):
        return ""
    if canonical in _FILTERED_TO_SERVICE or _TOKEN.fullmatch(name) is None:
        return ""
    return name.replace("Sec-Websocket-", "Sec-WebSocket-")
