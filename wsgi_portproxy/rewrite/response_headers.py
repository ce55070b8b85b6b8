"""Makes the visitor's response headers from the service's (step 5), for HTTP and WebSocket alike.

`ResponseHeaders` applies the tables of `header_tables` and `url_headers`: it drops headers that are
not meant for this page, maps URLs and cookies, and forbids shared caches to keep the response.
`cookie_limits` decides how many cookies may pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from itertools import compress
from operator import itemgetter
from typing import TYPE_CHECKING

from ..locate.target import Target
from ..locate.visit import Visit
from ..servers import server_processes
from .cookie_copies import set_copies
from .cookie_limits import MAX_SET_COOKIES
from .cookies import CookiePolicy, is_plain
from .header_tables import (
    NAMING_NO_HEADER,
    NOT_TO_VISITOR,
    NOT_TO_VISITOR_PREFIXES,
    HeaderNames,
    Headers,
    canonical_name,
    connection_options,
)
from .set_cookie import SetCookie, parse_set_cookie
from .url_headers import URLS_TO_VISITOR, link_to_visitor
from .urls import UrlMapper

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


_NAME_OF = itemgetter(0)
# A path without anything that browsers resolve, decode or strip: `..%2f`, `%2e`, `\\`, tabs.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~-]*")
_SHARED_DIRECTIVES = frozenset({"public", "s-maxage", "proxy-revalidate"})


class ResponseHeaders:
    """Makes the visitor's headers for the responses of one `PortProxy`."""

    def __init__(self, cookies: CookiePolicy, withheld: Iterable[str] = ()) -> None:
        self._cookies = cookies
        self._dropped = HeaderNames("response_headers", withheld)

    def of(self, received: Headers, urls: UrlMapper, environ: WSGIEnvironment) -> Headers:
        """The visitor's headers for any response, including a 101."""
        return response_headers(
            received,
            urls,
            self._cookies,
            needs_path=_is_above(urls.target, environ),
            visitors_cookies=environ.get("HTTP_COOKIE", ""),
            visitor=partial(visitor_of, environ),
            processes=partial(server_processes, environ),
            dropped=self._dropped,
        )

    def early_hints(self, visit: Visit, urls: UrlMapper) -> Callable[[Headers], None] | None:
        """A callable that passes a 103 on to the visitor; None if that is not possible."""
        return early_hints(visit, urls, self._dropped)


def _is_above(target: Target, environ: WSGIEnvironment) -> bool:
    """Whether the scope of a cookie without a Path would be above the target's prefix.

    Browsers scope it so if the request is a stray, or if its URL is the prefix without a slash (RFC
    6265 section 5.1.4).
    """
    visited = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return target.is_astray or visited.count("/") <= target.prefix.count("/")


def response_headers(
    received: Headers,
    urls: UrlMapper,
    cookies: CookiePolicy,
    *,
    needs_path: bool,
    visitors_cookies: str = "",
    visitor: Callable[[], str] = str,
    processes: Callable[[], int] = lambda: 1,
    dropped: HeaderNames | None = None,
) -> Headers:
    """The visitor's headers: the service's, mapped, without those that are not meant for this page.

    A repeated Content-Length is kept once.

    needs_path: as in `CookiePolicy.for_visitor`.
    visitors_cookies: the Cookie header of the request.
    visitor: returns the `visitor` for `CookieLimits.allow`.
    processes: returns the number of processes of the server.
    """
    pass_as_they_are, are_looked_at = _classify(tuple(map(_NAME_OF, received)), dropped)
    headers: Headers = [*compress(received, pass_as_they_are)]
    cache_control, connection, lengths, set_cookies = [], [], [], []
    for name, value in compress(received, are_looked_at):
        canonical = canonical_name(name)
        if canonical == "content-length":
            if name.lower() == canonical:  # in another spelling it does not frame the body
                lengths.append((name, value.partition(",")[0].strip(" \t")))
        elif canonical == "connection":
            connection.append(value)
        elif canonical == "cache-control":
            cache_control.append(value)
        elif canonical == "set-cookie":
            if name.lower() == canonical:  # nobody reads it in another spelling
                set_cookies.append(value)
        elif canonical in URLS_TO_VISITOR:
            headers.append((name, URLS_TO_VISITOR[canonical](urls, value)))
        elif _KEPT_IF[canonical](urls, value):
            headers.append((name, value))
    if connection and not (named := connection_options(",".join(connection))) <= NAMING_NO_HEADER:
        headers = [header for header in headers if canonical_name(header[0]) not in named]
    if set_cookies:
        headers += _set_cookies(
            set_cookies, urls, cookies, needs_path, visitors_cookies, visitor(), processes()
        )
    return [*headers, *lengths[:1], ("Cache-Control", private(cache_control))]


def _set_cookies(
    values: list[str],
    urls: UrlMapper,
    cookies: CookiePolicy,
    needs_path: bool,
    visitors_cookies: str,
    visitor: str,
    processes: int,
) -> Headers:
    """The Set-Cookie headers that may pass, within the limits."""
    target = urls.target
    visitor = cookies.withheld_of(visitors_cookies) or visitor
    known = cookies.sent(visitors_cookies)
    pages = None
    if target.form.shares_cookies:  # in the port form, with all pages of the app
        pages = target.prefix if target.form.has_port_in_query else urls.root
    headers: Headers = []
    passed = []
    for value in values:
        scoped = cookies.for_visitor(
            value,
            target,
            needs_path=needs_path,
            of_this_host=urls.of_this_host,
            secure=urls.is_https,
            sent=known,
        )
        if pages is not None and not all(map(is_plain, scoped)):
            continue
        if not scoped or len(headers) + len(scoped) > MAX_SET_COOKIES:
            continue
        made = [_with_path(parse_set_cookie(one, ""), target) for one in scoped]
        if all(
            cookies.limits.allow(
                visitor,
                one,
                is_known=one.name in known and one.path == f"{target.prefix}/",
                pages=pages,
                sent=known,
                processes=processes,
            )
            for one in made
        ):
            # The limits took it for a removal, so it must be one in the browser too.
            ends = ["; Max-Age=0" if one.expired and not one.is_sure else "" for one in made]
            headers += [("Set-Cookie", one + end) for one, end in zip(scoped, ends, strict=True)]
            passed.append(value)
    if passed and urls.strays:
        copies = set_copies(passed, urls, cookies, visitors_cookies=visitors_cookies)
        if copies is not None:
            headers.append(("Set-Cookie", copies))
    return headers


def _with_path(cookie: SetCookie, target: Target) -> SetCookie:
    """The cookie with the Path that browsers assume if it has none (RFC 6265 section 5.1.4)."""
    if cookie.path.startswith("/"):
        return cookie
    visited = target.prefix + target.path_qs.partition("?")[0]
    return cookie._replace(path=visited.rpartition("/")[0])


def _names_no_ambient_login(urls: UrlMapper, value: str) -> bool:
    """Whether a WWW-Authenticate header names neither Negotiate nor NTLM.

    They would send the visitor's desktop login to the service without asking.
    """
    schemes = value.lower().replace(",", " ").split()
    return "negotiate" not in schemes and "ntlm" not in schemes


def _scope_is_under_prefix(urls: UrlMapper, value: str) -> bool:
    scope = value.removeprefix(urls.target.prefix + "/")
    return scope != value and _PLAIN_PATH.fullmatch(scope) is not None and ".." not in scope


_KEPT_IF: dict[str, Callable[[UrlMapper, str], bool]] = {
    "www-authenticate": _names_no_ambient_login,
    "service-worker-allowed": _scope_is_under_prefix,
}
_LOOKED_AT = frozenset(
    {"cache-control", "connection", "content-length", "set-cookie", *URLS_TO_VISITOR, *_KEPT_IF}
)


def visitor_of(environ: WSGIEnvironment) -> str:
    """Text that distinguishes a visitor who has no cookie of the app's.

    It is the same in all requests of a browser, and no service can influence it.
    """
    keys = ("REMOTE_USER", "HTTP_REMOTE_USER", "HTTP_X_FORWARDED_USER", "HTTP_X_REMOTE_USER")
    named = "\n".join(str(environ.get(key, "")) for key in keys)
    if named.strip():
        return named
    return f"{environ.get('REMOTE_ADDR')}\n{environ.get('HTTP_USER_AGENT')}"


def early_hints(
    visit: Visit, urls: UrlMapper, dropped: HeaderNames | None = None
) -> Callable[[Headers], None] | None:
    """A callable that passes on the Link headers of a 103 (RFC 8297), which browsers act on.

    None if the server cannot send a 103, or the deployment drops Link.
    """
    if visit.send_early_hints is None or (dropped is not None and dropped.match("link")):
        return None

    def pass_on(received: Headers) -> None:
        links = [header for header in received if header[0].lower() == "link"]
        send = visit.send_early_hints  # another one once the request has left its server
        if links and send is not None:
            send([(name, link_to_visitor(urls, value)) for name, value in links])

    return pass_on


def private(values: Sequence[str]) -> str:
    """A Cache-Control that makes a response private to the visitor who was authorized for it.

    Without `private`, a shared cache in front of the app may store the response and serve it to
    everybody (RFC 9111 sections 3 and 4.2.2). Directives for the visitor's own cache stay.
    """
    if not values:
        return "private"
    directives = [
        directive.strip() for value in values for directive in value.split(",") if directive.strip()
    ]
    kept = [d for d in directives if _directive(d) not in _SHARED_DIRECTIVES]
    # `private="set-cookie"` makes only that header private (RFC 9111 section 5.2.2.7).
    if not any(d.lower() in ("private", "no-store") for d in kept):
        kept.insert(0, "private")
    return ", ".join(kept)


def _directive(text: str) -> str:
    return text.partition("=")[0].strip().lower()


@lru_cache(maxsize=64)
def _classify(names: tuple[str, ...], dropped: HeaderNames | None) -> tuple[list[bool], list[bool]]:
    """Whether each header of a response passes with any value, and whether its value decides.

    Cached, since most responses of a service have the same headers.
    """
    are_looked_at = [_is_looked_at(name, dropped) for name in names]
    return [_passes_to_visitor(name, dropped) for name in names], are_looked_at


def _is_looked_at(name: str, dropped: HeaderNames | None) -> bool:
    canonical = canonical_name(name)
    # Content-Length frames the message, so a deployment cannot drop it.
    is_dropped = dropped is not None and dropped.match(canonical)
    return canonical in _LOOKED_AT and (canonical == "content-length" or not is_dropped)


def _passes_to_visitor(name: str, dropped: HeaderNames | None) -> bool:
    """Whether a service's header passes with any value."""
    canonical = canonical_name(name)
    return not (
        (dropped is not None and dropped.match(canonical))
        or canonical in _LOOKED_AT
        or canonical in NOT_TO_VISITOR
        or canonical.startswith(NOT_TO_VISITOR_PREFIXES)
        or canonical.endswith("cdn-cache-control")  # RFC 9213; each CDN has its own
    )
