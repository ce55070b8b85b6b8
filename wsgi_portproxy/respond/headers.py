"""TODO."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from ..locate.target import Target
from ..rewrite.cookies import CookiePolicy
from ..rewrite.header_tables import HeaderNames, Headers
from ..rewrite.response_headers import early_hints, response_headers, visitor_of
from ..rewrite.urls import View
from ..servers import server_processes

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def _is_above(target: Target, environ: WSGIEnvironment) -> bool:
    """Whether browsers would scope a cookie without a Path above the target's prefix: the visitor's
    URL is astray, or the prefix without a slash (RFC 6265 section 5.1.4)."""
    visited = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return target.is_astray or visited.count("/") <= target.prefix.count("/")


class ResponseFields:
    """Those of the answers that come through one `PortProxy`."""

    def __init__(self, cookies: CookiePolicy, *, drop_response_headers: Iterable[str] = ()) -> None:
        self._cookies = cookies
        self._dropped = HeaderNames("drop_response_headers", drop_response_headers)

    def of(self, fields: Headers, view: View, environ: WSGIEnvironment) -> Headers:
        """The fields for the visitor, of an answer or a 101."""
        return response_headers(
            fields,
            view,
            self._cookies,
            needs_path=_is_above(view.target, environ),
            visitors_cookies=environ.get("HTTP_COOKIE", ""),
            visitor=partial(visitor_of, environ),
            processes=partial(server_processes, environ),
            dropped=self._dropped,
        )

    def early_hints(self, environ: WSGIEnvironment, view: View) -> Callable[[Headers], None] | None:
        """What passes on a 103, if anything."""
        return early_hints(environ, view, self._dropped)
