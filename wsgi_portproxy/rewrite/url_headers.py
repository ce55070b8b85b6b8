"""Maps headers that hold URLs, by two tables with the source beside each row.

Decides how each header's value is taken apart and put together again. `urls` maps the URLs in it;
`header_tables` decides which headers pass at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from .csp import csp_to_visitor
from .urls import UrlMapper

Mapping = Callable[[UrlMapper, str], str]

# The part before the URL (HTML standard, "shared declarative refresh steps"): the time, a
# separator, and perhaps `url=`. Each part begins with a different character, so matching is linear.
_BEFORE_URL = re.compile(
    r"""[\t ]*[^\t ;,]+(?:[\t ]+[;,]?|[;,])[\t ]*(?:url[\t ]*=[\t ]*)?(["']?)""", re.IGNORECASE
)
_LINK = re.compile(r"<([^<>]*)>")
# The parts of an If header (RFC 4918 section 10.4): lists in parentheses, whose URLs name locks;
# entity tags, which may contain anything; and URLs of resources between the lists.
_OF_IF = re.compile(r"""\(|\)|"[^"]*"|<[^<>]*>""")
# Values of htmx's headers that are not URLs.
_NO_URL = frozenset({"true", "false"})
# Referrer policies that hide the path from this site too, each with a policy that shows it to this
# site and sends other sites the same (Referrer Policy, section 3).
_TOLD_TO_OWN_SITE = {
    "no-referrer": "same-origin",
    "origin": "origin-when-cross-origin",
    "strict-origin": "strict-origin-when-cross-origin",
}


# --- From the visitor to the service


def if_to_service(urls: UrlMapper, value: str) -> str:
    """A WebDAV If header with only the URLs of its resources mapped."""
    depth = 0

    def mapped(match: re.Match[str]) -> str:
        nonlocal depth
        text = match[0]
        depth += {"(": 1, ")": -1}.get(text, 0)
        if depth or not text.startswith("<"):
            return text
        return f"<{urls.to_service(text[1:-1])}>"

    return _OF_IF.sub(mapped, value)


def uploads_to_service(urls: UrlMapper, value: str) -> str:
    """tus: `final;` and the URLs of the uploads to concatenate, separated by spaces."""
    kind, mark, uploads = value.partition(";")
    return kind + mark + " ".join(map(urls.to_service, uploads.split(" ")))


#: By WSGI key: the header's name, and the function that maps its value to the service's.
URLS_TO_SERVICE: dict[str, tuple[str, Mapping]] = {
    "HTTP_ORIGIN": ("Origin", UrlMapper.origin_to_service),  # Fetch standard, section 3.2
    "HTTP_REFERER": ("Referer", UrlMapper.page_to_service),  # RFC 9110 section 10.1.3
    "HTTP_DESTINATION": ("Destination", UrlMapper.to_service),  # RFC 4918 section 10.3
    "HTTP_IF": ("If", if_to_service),  # RFC 4918 section 10.4
    "HTTP_PING_FROM": (
        "Ping-From",
        UrlMapper.page_to_service,
    ),  # HTML standard, "hyperlink auditing"
    "HTTP_PING_TO": ("Ping-To", UrlMapper.to_service),  # likewise
    "HTTP_HX_CURRENT_URL": (
        "HX-Current-URL",
        UrlMapper.page_to_service,
    ),  # htmx 2, "Request Headers"
    "HTTP_UPLOAD_CONCAT": ("Upload-Concat", uploads_to_service),  # tus 1.0, "Concatenation"
}


# --- From the service to the visitor


def refresh_to_visitor(urls: UrlMapper, value: str) -> str:
    """A Refresh header (`5; url=/next`) with its URL mapped."""
    before = _BEFORE_URL.match(value)
    if before is None or before.end() == len(value):
        return value
    url, quote, after = value[before.end() :], before[1], ""
    if quote:
        url, quote, after = url.partition(quote)
    return f"{before[0]}{urls.to_visitor(url)}{quote}{after}"


def link_to_visitor(urls: UrlMapper, value: str) -> str:
    """A Link header with the URLs in angle brackets mapped."""
    return _LINK.sub(lambda link: f"<{urls.to_visitor(link[1])}>", value)


def htmx_to_visitor(urls: UrlMapper, value: str) -> str:
    """A URL, or `false` to keep the current address."""
    return value if value.strip().lower() in _NO_URL else urls.to_visitor(value)


def hx_location_to_visitor(urls: UrlMapper, value: str) -> str:
    """A URL, or a JSON object with a URL as its `path`."""
    if not value.lstrip().startswith("{"):
        return urls.to_visitor(value)
    try:
        told = json.loads(value)
    except (ValueError, RecursionError):
        return value
    path = told.get("path")
    if not isinstance(path, str) or (mapped := urls.to_visitor(path)) == path:
        return value
    try:
        return json.dumps({**told, "path": mapped}, allow_nan=False)
    except ValueError:  # a number that Python cannot represent
        return value


def origins_to_visitor(urls: UrlMapper, value: str) -> str:
    """Origins separated by commas: the service's own becomes the visitor's."""
    origins = [one.strip() for one in value.split(",")]
    return ", ".join(urls.origin if one == urls.told.origin else one for one in origins)


def referrer_policy_to_visitor(urls: UrlMapper, value: str) -> str:
    """A Referrer-Policy under which this site, and no other, sees which page a request comes from.

    Strays are found by their Referer; without one, browsers also hide the Origin of a posted form.
    Helmet's default is `no-referrer`.
    """
    return ", ".join(
        _TOLD_TO_OWN_SITE.get(policy.strip().lower(), policy.strip()) for policy in value.split(",")
    )


#: By the header's name in lower case: the function that maps its value to the visitor's.
URLS_TO_VISITOR: dict[str, Mapping] = {
    "location": UrlMapper.to_visitor,  # RFC 9110 section 10.2.2
    "content-location": UrlMapper.to_visitor,  # RFC 9110 section 8.7
    "refresh": refresh_to_visitor,  # HTML standard, "shared declarative refresh steps"
    "link": link_to_visitor,  # RFC 8288 section 3
    "sourcemap": UrlMapper.to_visitor,  # ECMA-426 section 12
    "x-sourcemap": UrlMapper.to_visitor,  # likewise, before it had a standard
    "content-security-policy": csp_to_visitor,  # CSP 3 section 3.1
    "content-security-policy-report-only": csp_to_visitor,  # CSP 3 section 3.2
    "access-control-allow-origin": origins_to_visitor,  # Fetch standard, section 3.3
    "timing-allow-origin": origins_to_visitor,  # Resource Timing, section 4.5
    "referrer-policy": referrer_policy_to_visitor,  # Referrer Policy, section 4.1
    "hx-redirect": htmx_to_visitor,  # htmx 2, "Response Headers"; also the next three rows
    "hx-location": hx_location_to_visitor,
    "hx-push-url": htmx_to_visitor,
    "hx-replace-url": htmx_to_visitor,
    "x-inertia-location": UrlMapper.to_visitor,  # Inertia, "The protocol"
    "turbo-location": UrlMapper.to_visitor,  # Turbo Drive
    "turbolinks-location": UrlMapper.to_visitor,  # Turbolinks 5
    "x-pjax-url": UrlMapper.to_visitor,  # jquery-pjax
    "x-up-location": UrlMapper.to_visitor,  # Unpoly, "Server protocol"
    "x-pingback": UrlMapper.to_visitor,  # Pingback 1.0, section 2
}
