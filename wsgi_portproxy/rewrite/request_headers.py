"""Makes the service's request headers from the visitor's (step 4).

Applies the tables of `header_tables` and `url_headers`: drops hop-by-hop headers and a front end's
headers about the visitor, maps cookies and URLs, and tells the service its address.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from .cookie_copies import copied
from .cookies import CookiePolicy, of_this_port
from .header_tables import (
    NAMING_NO_HEADER,
    NOT_TO_SERVICE,
    NOT_TO_SERVICE_PREFIXES,
    TOKEN,
    HeaderNames,
    Headers,
    canonical_name,
    connection_options,
)
from .url_headers import URLS_TO_SERVICE
from .urls import UrlMapper

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


# A visitor's `Connection` may name these without effect. Without an Origin or a Referer to compare
# with its Host, a service would take the request of a foreign page for its own.
_NEVER_HOP_BY_HOP = frozenset({"host", "content-type", "cookie", "origin", "referer"})
_ECHO = "HTTP_X_CSRFTOKEN"  # Django's; its pages' scripts read it from a cookie
# Headers that `request_headers` handles one by one.
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
    withheld: tuple[HeaderNames, ...] = (),
) -> Headers:
    """The headers for the service, except those that announce the body.

    Host comes first, then the visitor's unchanged headers, the mapped ones, and X-Forwarded-*.
    `withheld`: names of the deployment's, beside the tables here.
    """
    known = _header_keys(tuple(environ), withheld)
    headers: Headers = [("Host", urls.told.authority)]
    headers += zip(known.names, map(environ.__getitem__, known.keys), strict=True)
    if (content_type := environ.get("CONTENT_TYPE")) and "content-type" not in known.withheld:
        headers.append(("Content-Type", content_type))
    if (cookie := environ.get("HTTP_COOKIE")) and "cookie" not in known.withheld:
        port = urls.target.port
        kept = cookies.for_service(
            cookie, port, of_this_host=urls.of_this_host, shared=urls.target.form.has_own_number
        )
        if urls.target.is_astray and (copies := copied(cookie, port)):
            kept = f"{kept}; {copies}" if kept.strip() else copies
        if kept.strip():
            headers.append(("Cookie", kept))
        if urls.target.form.has_own_number and _ECHO in environ:
            echoed = of_this_port(environ[_ECHO], cookie, port, of_this_host=urls.of_this_host)
            headers = [(n, echoed if n.lower() == "x-csrftoken" else v) for n, v in headers]
    for key in known.urls:
        name, to_service = URLS_TO_SERVICE[key]
        headers.append((name, to_service(urls, environ[key])))
    authorization = environ.get("HTTP_AUTHORIZATION")
    if authorization is not None and "authorization" not in known.withheld:
        headers.append(("Authorization", authorization))
    if "HTTP_CONNECTION" in environ:
        named = connection_options(environ["HTTP_CONNECTION"]) - _NEVER_HOP_BY_HOP
        if not named <= NAMING_NO_HEADER:
            headers = [header for header in headers if canonical_name(header[0]) not in named]
    return headers + _forwarded(environ, urls)


def _forwarded(environ: WSGIEnvironment, urls: UrlMapper) -> Headers:
    """The X-Forwarded-* headers, which tell the service its visitor and its own address."""
    headers: Headers = []
    if remote := environ.get("REMOTE_ADDR"):
        headers.append(("X-Forwarded-For", remote))
    headers.append(("X-Forwarded-Proto", urls.told.scheme))
    if urls.preserves_host:
        headers.append(("X-Forwarded-Host", urls.told.authority))
    if urls.target.prefix and not urls.base:  # with its full path, a service would add it twice
        headers.append(("X-Forwarded-Prefix", urls.target.prefix))
    return headers


class _HeaderKeys(NamedTuple):
    """The keys of an environ, by what happens to the header.

    keys: the keys of the headers that pass unchanged.
    names: the names of these headers.
    urls: the keys of the headers that hold URLs.
    withheld: the names of `_FILTERED_TO_SERVICE` that the settings withhold.
    """

    keys: list[str]
    names: list[str]
    urls: list[str]
    withheld: frozenset[str]


@lru_cache(maxsize=64)  # by names only: a browser sends only a few sets of them
def _header_keys(keys: tuple[str, ...], withheld: tuple[HeaderNames, ...]) -> _HeaderKeys:
    passing = [(key, name) for key in keys if (name := _name_to_service(key, withheld))]
    withheld_here = frozenset(
        name for name in _FILTERED_TO_SERVICE if any(names.match(name) for names in withheld)
    )
    return _HeaderKeys(
        [key for key, _ in passing],
        [name for _, name in passing],
        [
            key
            for key, (name, _) in URLS_TO_SERVICE.items()
            if key in keys and canonical_name(name) not in withheld_here
        ],
        withheld_here,
    )


def _name_to_service(key: str, withheld: tuple[HeaderNames, ...]) -> str:
    """The header name for a WSGI key such as HTTP_ACCEPT; "" if this does not pass unchanged.

    Names have their usual spelling, since WSGI does not pass on the visitor's.
    """
    if not key.startswith("HTTP_"):
        return ""
    name = "-".join(part.capitalize() for part in key[5:].split("_"))
    canonical = canonical_name(name)
    if canonical in NOT_TO_SERVICE or canonical.startswith(NOT_TO_SERVICE_PREFIXES):
        return ""
    if any(names.match(canonical) for names in withheld):
        return ""
    if canonical in _FILTERED_TO_SERVICE or TOKEN.fullmatch(name) is None:
        return ""
    return name.replace("Sec-Websocket-", "Sec-WebSocket-")
