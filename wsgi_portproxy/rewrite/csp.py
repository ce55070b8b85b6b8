"""Maps the service's own addresses in a Content-Security-Policy to the visitor's.

A policy that allows scripts from `http://localhost:16006` would allow none on this site.
"""

from __future__ import annotations

import re

from ..locate.address import address, address_of, is_local
from .urls import UrlMapper

# A host-source (CSP 3, section 2.3.1): scheme, host, port, path.
_SOURCE = re.compile(
    r"(?:(https?|wss?)://)?(\[[0-9a-f:]+\]|[a-z0-9.\-]+)(?::([0-9]+|\*))?(/[^?#]*)?", re.IGNORECASE
)
_OF_WEB_SOCKETS = {"http": "ws", "https": "wss"}
_AS_HTTP = {"ws": "http", "wss": "https"}
# Directives whose values are not sources, even if they look like sources.
_NO_SOURCES = frozenset(
    {
        "plugin-types",
        "report-to",
        "require-sri-for",
        "require-trusted-types-for",
        "sandbox",
        "trusted-types",
        "upgrade-insecure-requests",
    }
)


def csp_to_visitor(urls: UrlMapper, value: str) -> str:
    """A Content-Security-Policy with the service's own sources mapped to the visitor's.

    If the site is on plain http, `upgrade-insecure-requests` is removed (CSP Upgrade, section 3.3).
    Helmet sends it by default. It has no effect at `http://localhost`, where the service was
    developed, but here it would send all requests to https, which this site does not speak.
    """
    policies = [policy.split(";") for policy in value.split(",")]  # CSP 3, section 3.1
    return ",".join(
        ";".join(_directive(urls, one) for one in policy if not _is_dropped(urls, one))
        for policy in policies
    )


def _is_dropped(urls: UrlMapper, directive: str) -> bool:
    return not urls.is_https and directive.strip().lower() == "upgrade-insecure-requests"


def _directive(urls: UrlMapper, text: str) -> str:
    """A directive with its sources mapped; unchanged if there is nothing to map."""
    name, *sources = text.split() or [""]
    if not sources or name.lower() in _NO_SOURCES:
        return text
    if name.lower() == "report-uri":  # holds URLs, not sources
        mapped = [urls.to_visitor(url) for url in sources]
    else:
        mapped = [one for source in sources for one in _source(urls, source)]
    if mapped == sources:
        return text
    before = text[: len(text) - len(text.lstrip())]
    return f"{before}{name} {' '.join(dict.fromkeys(mapped))}"


def _source(urls: UrlMapper, source: str) -> list[str]:
    """A source mapped for the visitor's browser.

    A source with a path becomes two, since a page's root-absolute requests are first made without
    the prefix, and then redirected to it.
    """
    match = _SOURCE.fullmatch(source)
    if match is None:
        return [source]
    scheme, host, port, path = match[1], match[2], match[3] or "", match[4] or ""
    if not (scheme or port or is_local(host.lower())):
        return [source]  # a keyword, or a foreign host
    as_http = _AS_HTTP.get(scheme.lower(), scheme) if scheme else urls.told.scheme
    meant = urls.port_at(address(as_http, host + (f":{port}" if port not in ("", "*") else "")))
    if meant is None:
        return [source]
    base = urls.others(meant) if meant != urls.target.port else urls.origin + urls.target.prefix
    origin, prefix = _divided(base or urls.origin)
    prefix = prefix.replace(",", "%2C")  # a comma separates policies
    there = address_of(origin)
    shown = there.authority
    if scheme:
        is_socket = scheme.lower() in _AS_HTTP
        shown = f"{_OF_WEB_SOCKETS[there.scheme] if is_socket else there.scheme}://{shown}"
    if path in ("", "/") or not prefix or (path + "/").startswith(prefix + "/"):
        return [shown + path]
    return [shown + path, f"{shown}{prefix}{path}"]


def _divided(url: str) -> tuple[str, str]:
    """Origin and path of an absolute URL."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority}", slash + path
