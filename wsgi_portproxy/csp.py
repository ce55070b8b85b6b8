"""The service's own addresses in a Content-Security-Policy, as the visitor's browser sees them.

A policy that lets scripts come from `http://localhost:16006` lets none come from anywhere here.
"""

from __future__ import annotations

import re

from .address import address, address_of, is_local
from .rewrite import View

# A host-source (CSP 3, section 2.3.1): scheme, host, port, path.
_SOURCE = re.compile(
    r"(?:(https?|wss?)://)?(\[[0-9a-f:]+\]|[a-z0-9.\-]+)(?::([0-9]+|\*))?(/[^?#]*)?", re.IGNORECASE
)
_OF_WEB_SOCKETS = {"http": "ws", "https": "wss"}
_AS_HTTP = {"ws": "http", "wss": "https"}
# Directives whose values are no sources, though a name among them may look like one.
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


def csp_to_visitor(view: View, value: str) -> str:
    """A Content-Security-Policy with the service's own sources as the visitor's, in each directive.

    Where the site is on plain http `upgrade-insecure-requests` goes (CSP Upgrade, section 3.3; in
    Helmet's default). It means nothing at `http://localhost`, where the service was tried. Here it
    would turn all of its requests to a port of this site that speaks no TLS.
    """
    policies = [policy.split(";") for policy in value.split(",")]  # CSP 3, section 3.1
    return ",".join(
        ";".join(_directive(view, one) for one in policy if not _is_dropped(view, one))
        for policy in policies
    )


def _is_dropped(view: View, directive: str) -> bool:
    return not view.is_https and directive.strip().lower() == "upgrade-insecure-requests"


def _directive(view: View, text: str) -> str:
    """A directive with its sources mapped; as it came if none is."""
    name, *sources = text.split() or [""]
    if not sources or name.lower() in _NO_SOURCES:
        return text
    if name.lower() == "report-uri":  # of URLs, not of sources
        mapped = [view.to_visitor(url) for url in sources]
    else:
        mapped = [one for source in sources for one in _source(view, source)]
    if mapped == sources:
        return text
    before = text[: len(text) - len(text.lstrip())]
    return f"{before}{name} {' '.join(dict.fromkeys(mapped))}"


def _source(view: View, source: str) -> list[str]:
    """What a source is to the visitor's browser.

    One with a path comes twice: root-absolute requests of a page are asked for without the prefix,
    and then sent there.
    """
    match = _SOURCE.fullmatch(source)
    if match is None:
        return [source]
    scheme, host, port, path = match[1], match[2], match[3] or "", match[4] or ""
    if not (scheme or port or is_local(host.lower())):
        return [source]  # a word, or a name that is nobody's here
    as_http = _AS_HTTP.get(scheme.lower(), scheme) if scheme else view.told.scheme
    meant = view.port_at(address(as_http, host + (f":{port}" if port not in ("", "*") else "")))
    if meant is None:
        return [source]
    base = view.others(meant) if meant != view.target.port else view.origin + view.target.prefix
    origin, prefix = _divided(base or view.origin)
    prefix = prefix.replace(",", "%2C")  # which would divide policies
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
