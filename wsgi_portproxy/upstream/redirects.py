"""Follows the redirects of a service in the query form.

An API client that asked for `?port=16006` gets the page, not a redirect to it. Only GET and HEAD
are followed, and only within the same port: another port would need another verdict of the
authorizer, and we contact no other host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..errors import WantsHttps
from ..rewrite.cookies import CookiePolicy
from ..rewrite.header_tables import Headers
from ..rewrite.set_cookie import parse_set_cookie
from ..rewrite.urls import UrlMapper
from .request import UpstreamRequest
from .response import UpstreamResponse
from .steps import Steps

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})  # RFC 9110 section 15.4, with a Location
_SAME_METHOD = frozenset({307, 308})


def follow_redirects(
    response: UpstreamResponse,
    request: UpstreamRequest,
    urls: UrlMapper,
    cookies: CookiePolicy,
    send: Callable[[UpstreamRequest], Steps[UpstreamResponse]],
) -> Steps[tuple[UpstreamResponse, UrlMapper]]:
    """Follow at most `MAX_REDIRECTS` redirects; return the last response and its URL mapper.

    Cookies set on the way are sent along, as in a browser, and reach the visitor with the last
    response. Raises what `Upstream.send` raises, and `WantsHttps`.
    """
    collected: list[str] = []
    headers = request.headers
    for _ in range(MAX_REDIRECTS):
        path = _same_port_path(response, request, urls)
        if path is None:
            break
        collected += [
            line
            for line in response.headers.getlist("set-cookie")
            if cookies.for_visitor(line, urls.target, needs_path=False)
        ]
        yield from response.drain()
        urls = urls.at(path)
        request = request._replace(
            request_target=urls.request_target, headers=_with_cookies(headers, collected, urls)
        )
        response = yield from send(request)
        check_no_way_to_https(response, request.method, urls)
    if collected:
        # Before the response's own: of several cookies with one name, a browser keeps the last.
        collected += response.headers.getlist("set-cookie")
        response.headers.discard("Set-Cookie")
        for line in collected:
            response.headers.add("Set-Cookie", line)
    return response, urls


def check_no_way_to_https(response: UpstreamResponse, method: str, urls: UrlMapper) -> None:
    """Close the response and raise `WantsHttps` if it redirects to the same URL on https.

    The service then believes that the visitor uses http, and would redirect for ever (Django's
    SECURE_SSL_REDIRECT).
    """
    if response.status not in _REDIRECTS or urls.told.scheme != "http":
        return
    if method not in ("GET", "HEAD") and response.status not in _SAME_METHOD:
        return  # the result of a POST may be at the same URL
    location = response.headers.get("location", "")
    asked = urls.target.path_qs or "/"
    if location[:6].lower() == "https:" and urls.redirect_path(location) == asked:
        response.close()
        raise WantsHttps(urls.target.port, on_https=urls.is_https)


def _same_port_path(
    response: UpstreamResponse, request: UpstreamRequest, urls: UrlMapper
) -> str | None:
    """The service's path that a response redirects to, or None if we do not follow it."""
    location = response.headers.getlist("location")
    if response.status not in _REDIRECTS or len(location) != 1:
        return None
    if request.method not in ("GET", "HEAD"):
        return None
    if any(name in ("Content-Length", "Transfer-Encoding") for name, _ in request.headers):
        return None  # the request had a body, which cannot be sent again
    return urls.redirect_path(location[0])


def _with_cookies(headers: Headers, set_cookies: Iterable[str], urls: UrlMapper) -> Headers:
    """The request's headers with the cookies of `set_cookies` added, replaced or removed."""
    resource = urls.target.path_qs.partition("?")[0]
    pairs = [
        pair.strip() for name, value in headers if name == "Cookie" for pair in value.split(";")
    ]
    for line in set_cookies:
        cookie = parse_set_cookie(line, urls.target.prefix)
        if not _covers(cookie.path, resource):
            continue
        pairs = [pair for pair in pairs if pair.partition("=")[0].strip() != cookie.name]
        if not cookie.expired:
            pairs.append(cookie.pair)
    others = [field for field in headers if field[0] != "Cookie"]
    return [*others, ("Cookie", "; ".join(pairs))] if pairs else others


def _covers(path: str, resource: str) -> bool:
    """Whether a cookie's Path includes `resource` (RFC 6265 section 5.1.4); an empty one does."""
    if not path.startswith("/"):
        return True
    return resource == path or resource.startswith(path.rstrip("/") + "/")
