"""Redirects of a service in the query form, followed here as the feature promises.

An API client that asked `?port=16006` gets the page, not the way to it. Followed are GET and HEAD,
within the same port only: another port would need another verdict, another host is none of ours.
"""

from __future__ import annotations

from collections.abc import Callable

from .cookies import CookiePolicy
from .headers import Headers
from .rewrite import View
from .upstream import UpstreamRequest, UpstreamResponse

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})  # RFC 9110 section 15.4, those with a Location


def follow_redirects(
    response: UpstreamResponse,
    request: UpstreamRequest,
    view: View,
    cookies: CookiePolicy,
    send: Callable[[UpstreamRequest], UpstreamResponse],
) -> tuple[UpstreamResponse, View]:
    """The answer at the end of at most `MAX_REDIRECTS` redirects, and the view it is seen in.

    Cookies that are set on the way are sent along, as a browser would, and reach the visitor with
    the final answer. Raises as `Upstream.send` does.
    """
    collected: list[str] = []
    for _ in range(MAX_REDIRECTS):
        path = _same_port_path(response, request, view)
        if path is None:
            break
        set_cookies = [
            line
            for line in response.headers.getlist("set-cookie")
            if cookies.for_visitor(line, view.target.prefix, needs_path=False) is not None
        ]
        collected += set_cookies
        response.drain_conn()
        request = request._replace(target=path, headers=_with_cookies(request.headers, set_cookies))
        view = view.at(path)
        response = send(request)
    for value in collected:
        response.headers.add("Set-Cookie", value)
    return response, view


def _same_port_path(response: UpstreamResponse, request: UpstreamRequest, view: View) -> str | None:
    """The request target that an answer redirects to, or None if it is not to be followed."""
    location = response.headers.getlist("location")
    if response.status not in _REDIRECTS or len(location) != 1:
        return None
    if request.method not in ("GET", "HEAD"):
        return None
    return view.redirect_target(location[0])


def _with_cookies(headers: Headers, set_cookies: list[str]) -> Headers:
    """The request's fields with the cookies that an answer set, replaced or removed."""
    if not set_cookies:
        return headers
    jar: dict[str, str] = {}
    for name, value in headers:
        if name == "Cookie":
            jar.update((pair.partition("=")[0].strip(), pair.strip()) for pair in value.split(";"))
    for line in set_cookies:
        pair, _, attributes = line.partition(";")
        name = pair.partition("=")[0].strip()
        if "max-age=0" in attributes.lower().replace(" ", ""):
            jar.pop(name, None)
        else:
            jar[name] = pair.strip()
    others = [field for field in headers if field[0] != "Cookie"]
    return [*others, ("Cookie", "; ".join(jar.values()))] if jar else others
