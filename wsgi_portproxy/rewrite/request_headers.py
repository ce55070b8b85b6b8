"""Step 4, the visitor's headers on their way to the service.

Applies the tables of `header_tables` and `url_fields`: hop-by-hop headers and what a front-end says
of the visitor stay here, cookies and URLs are mapped, and the service learns its own address.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import compress
from typing import TYPE_CHECKING

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
from .urls import UrlMapper

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


# What is filtered on the way, one by one. A visitor's `Connection` may name these two without
# effect: a service that compares them would take what has none for its own.
_NEVER_HOP_BY_HOP = frozenset({"origin", "referer"})
_FILTERED_TO_SERVICE = frozenset(
    {"cookie", "authorization", *(name.lower() for name, _ in URLS_TO_SERVICE.values())}
)


def request_headers(
    environ: WSGIEnvironment,
    urls: UrlMapper,
    cookies: CookiePolicy,
    *,
    withhold_authorization: bool,
    withheld: HeaderNames | None = None,
) -> Headers:
    """The fields for the service but those that announce the body. Nothing is added for show.

    Host first, then the visitor's as they are, then those that are filtered, then X-Forwarded-* and
    its like.
    """
    # Most of an environ is no field. Those that pass are picked out without a loop of our own: this
    # runs for every request, over some thirty keys.
    names = _names_to_service(tuple(environ), withheld)
    pairs = zip(names, environ.values(), strict=True)
    passing: Iterable[tuple[str, str]] = compress(pairs, names)
    named = _connection_options(environ.get("HTTP_CONNECTION", ""))
    if not named <= _SAY_NOTHING:
        passing = [field for field in passing if _canonical(field[0]) not in named]
    headers = [("Host", urls.told.authority), *passing]

    def is_withheld(canonical: str) -> bool:
        return withheld is not None and withheld.match(canonical)

    if (content_type := environ.get("CONTENT_TYPE")) and not is_withheld("content-type"):
        headers.append(("Content-Type", content_type))
    if (cookie := environ.get("HTTP_COOKIE")) and not is_withheld("cookie"):
        port = urls.target.port
        kept = cookies.for_service(cookie, port, of_this_host=urls.of_this_host)
        if urls.target.is_astray and (copies := copied(cookie, port)):
            kept = f"{kept}; {copies}" if kept.strip() else copies
        if kept.strip():
            headers.append(("Cookie", kept))
    for key in _keys_with_urls(tuple(environ)):
        name, to_service = URLS_TO_SERVICE[key]
        canonical = _canonical(name)
        if canonical not in named - _NEVER_HOP_BY_HOP and not is_withheld(canonical):
            headers.append((name, to_service(urls, environ[key])))
    authorization = environ.get("HTTP_AUTHORIZATION")
    if (
        authorization is not None
        and not withhold_authorization
        and "authorization" not in named
        and not is_withheld("authorization")
    ):
        headers.append(("Authorization", authorization))
    return headers + _forwarded(environ, urls)


def _forwarded(environ: WSGIEnvironment, urls: UrlMapper) -> Headers:
    """What a proxy adds, for the service to know the visitor and its own address by."""
    headers: Headers = []
    if remote := environ.get("REMOTE_ADDR"):
        headers.append(("X-Forwarded-For", remote))
    headers.append(("X-Forwarded-Proto", urls.told.scheme))
    if urls.external:
        headers.append(("X-Forwarded-Host", urls.told.authority))
    if urls.target.prefix and not urls.base:  # who was told its full path would add it twice
        headers.append(("X-Forwarded-Prefix", urls.target.prefix))
    return headers


@lru_cache(maxsize=64)  # as below
def _keys_with_urls(keys: tuple[str, ...]) -> list[str]:
    """The keys of an environ whose values are URLs, in the order of the table."""
    return [key for key in URLS_TO_SERVICE if key in keys]


@lru_cache(maxsize=64)  # a browser's requests have the same keys, but for a few kinds of them
def _names_to_service(keys: tuple[str, ...], withheld: HeaderNames | None) -> list[str]:
    """`_name_to_service` of each key of an environ."""
    return [_name_to_service(key, withheld) for key in keys]


def _name_to_service(key: str, withheld: HeaderNames | None) -> str:
    """The field name for a WSGI key such as HTTP_ACCEPT; "" if it is none, or one that does not
    pass as it is. Names are the usual spelling, since WSGI does not hand over the visitor's."""
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
