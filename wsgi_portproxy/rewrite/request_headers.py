"""Step 4, the visitor's headers on their way to the service.

Applies the tables of `header_tables` and `url_fields`: hop-by-hop headers and what a front-end says
of the visitor stay here, cookies and URLs are mapped, and the service learns its own address.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

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


# What is looked at one by one. A visitor's `Connection` may name these two without
# effect: a service that compares them would take what has none for its own.
_NEVER_HOP_BY_HOP = frozenset({"origin", "referer"})
_FILTERED_TO_SERVICE = frozenset(
    {
        "cookie",
        "authorization",
        "content-type",
        *(name.lower() for name, _ in URLS_TO_SERVICE.values()),
    }
)


def request_headers(
    environ: WSGIEnvironment,
    urls: UrlMapper,
    cookies: CookiePolicy,
    *,
    withhold_authorization: bool,
    withheld: HeaderNames | None = None,
) -> Headers:
    """The headers for the service, but those that announce the body. Nothing is added for show.

    Host first, then the visitor's as they are, then those that are mapped, then X-Forwarded-* and
    its like.
    """
    known = _sorted(tuple(environ), withheld)
    headers = [
        ("Host", urls.told.authority),
        *[(name, environ[key]) for key, name in known.as_they_are],
    ]
    named = _connection_options(environ.get("HTTP_CONNECTION", ""))
    if not named <= _SAY_NOTHING:
        headers[1:] = [header for header in headers[1:] if _canonical(header[0]) not in named]
    if (content_type := environ.get("CONTENT_TYPE")) and "content-type" not in known.withheld:
        headers.append(("Content-Type", content_type))
    if (cookie := environ.get("HTTP_COOKIE")) and "cookie" not in known.withheld:
        port = urls.target.port
        kept = cookies.for_service(cookie, port, of_this_host=urls.of_this_host)
        if urls.target.is_astray and (copies := copied(cookie, port)):
            kept = f"{kept}; {copies}" if kept.strip() else copies
        if kept.strip():
            headers.append(("Cookie", kept))
    for key, name in known.urls:
        if not named or _canonical(name) not in named - _NEVER_HOP_BY_HOP:
            headers.append((name, URLS_TO_SERVICE[key][1](urls, environ[key])))
    authorization = environ.get("HTTP_AUTHORIZATION")
    if (
        authorization is not None
        and not withhold_authorization
        and "authorization" not in named | known.withheld
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


class _Sorted(NamedTuple):
    """The keys of an environ by what becomes of the header: `as_they_are` and `urls` with its name.

    withheld: canonical names of those that are mapped and that the deployment withholds.
    """

    as_they_are: list[tuple[str, str]]
    urls: list[tuple[str, str]]
    withheld: frozenset[str]


@lru_cache(maxsize=64)  # of names only: a browser's requests have the same, but for a few kinds
def _sorted(keys: tuple[str, ...], withheld: HeaderNames | None) -> _Sorted:
    passing = [(key, _name_to_service(key, withheld)) for key in keys]
    mapped = frozenset(
        name for name in _FILTERED_TO_SERVICE if withheld is not None and withheld.match(name)
    )
    return _Sorted(
        [(key, name) for key, name in passing if name],
        [
            (key, name)
            for key, (name, _) in URLS_TO_SERVICE.items()
            if key in keys and _canonical(name) not in mapped
        ],
        mapped,
    )


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
