"""Steps 4 and 5, the fields of a request as they go onto the wire, and those of its answer.

Owns that a request's are made once for all that ask alike: the scripts and pictures of a page come
with the same cookies, the same Referer and the same Accept, but for a few kinds of them. Which
fields pass is `headers`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from itertools import compress
from typing import TYPE_CHECKING, NamedTuple

from .cookies import CookiePolicy
from .errors import BadRequest
from .headers import (
    HeaderNames,
    Headers,
    early_hints,
    request_headers,
    response_headers,
    visitor_of,
)
from .locate import Target
from .ports import via
from .rewrite import View
from .servers import server_processes
from .tunnel.handshake import UPGRADE_FIELDS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_KEPT = 256  # kinds of requests; a page has some ten
_LONGEST = 8192  # characters of one that is kept: visitors may send more, and others, each time
# What `request_headers` and `via` read of an environ, beside HTTP_*.
_READ = frozenset({"CONTENT_TYPE", "REMOTE_ADDR"})


class Fields(NamedTuple):
    """Fields in their order, and as they go onto the wire, each with its CRLF."""

    headers: Headers
    text: str

    def adding(self, field: tuple[str, str]) -> Fields:
        """The same fields and one more. Raises as `fields_of`."""
        return fields_of([*self.headers, field])


def fields_of(headers: Headers) -> Fields:
    """Raises `BadRequest` rather than write two requests."""
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        raise BadRequest("The request holds a character that no header may hold.")
    return Fields(headers, text)


class RequestFields:
    """Those of the requests that come through one `PortProxy`."""

    def __init__(
        self,
        cookies: CookiePolicy,
        *,
        withhold_authorization: bool,
        withhold_headers: Iterable[str] = (),
    ) -> None:
        self._cookies = cookies
        self._withhold_authorization = withhold_authorization
        self._withheld = HeaderNames("withhold_headers", withhold_headers)
        self._kept: dict[object, Fields] = {}

    def of(self, environ: WSGIEnvironment, view: View) -> Fields:
        """The fields but those that announce the body. Raises as `fields_of`."""
        names, are_read = _read(tuple(environ))
        values = tuple(compress(environ.values(), are_read))
        port, _, prefix, _, form, websocket = view.target
        told = (view.told, view.visited, view.base, view.root)
        key = (names, values, port, prefix, form, websocket, told)
        fields = self._kept.get(key)
        if fields is None:
            # Of nothing but what is in the key: none can be another visitor's, or another place's.
            made_of = dict(zip(names, values, strict=True))
            made_of["wsgi.multiprocess"] = environ.get("wsgi.multiprocess")  # always the same
            fields = self._made(made_of, view.at(""))
            # No handshake comes twice: its key is a new one each time (RFC 6455 section 4.1).
            if not websocket and sum(map(len, filter(None, values))) <= _LONGEST:
                if len(self._kept) >= _KEPT:
                    self._kept.clear()
                self._kept[key] = fields
        return fields

    def _made(self, environ: WSGIEnvironment, view: View) -> Fields:
        headers = request_headers(
            environ,
            view,
            self._cookies,
            withhold_authorization=self._withhold_authorization,
            withheld=self._withheld,
        )
        headers.append(via(environ))
        if view.target.websocket:
            headers += UPGRADE_FIELDS
        return fields_of(headers)


@lru_cache(maxsize=64)  # a browser's requests have the same keys, but for a few kinds of them
def _read(keys: tuple[str, ...]) -> tuple[tuple[str, ...], list[bool]]:
    """The keys of an environ that the fields are made of; of each key whether it is one."""
    are_read = [key.startswith("HTTP_") or key in _READ for key in keys]
    return tuple(compress(keys, are_read)), are_read


def _is_above(target: Target, environ: WSGIEnvironment) -> bool:
    """Whether browsers would scope a cookie without a Path above the target's prefix: the visitor's
    URL is astray, or the prefix without a slash (RFC 6265 section 5.1.4)."""
    visited = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return target.form == "stray" or visited.count("/") <= target.prefix.count("/")


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
