"""Steps 4 and 5, the fields of a request as they go onto the wire, and those of its answer.

Owns that a request's are made once for all that ask alike: the scripts and pictures of a page come
with the same cookies, the same Referer and the same Accept, but for a few kinds of them. Which
fields pass is `headers`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import compress
from typing import TYPE_CHECKING, NamedTuple

from ..errors import BadRequest
from ..rewrite.cookies import CookiePolicy
from ..rewrite.header_tables import HeaderNames, Headers
from ..rewrite.request_headers import request_headers
from ..rewrite.urls import View
from ..rewrite.via import via
from ..tunnel.handshake import UPGRADE_FIELDS

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
        raise BadRequest("The request contains a character that is not allowed in headers.")
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
        target = view.target
        websocket = target.websocket
        told = (view.told, view.visited, view.base, view.root)
        key = (
            names,
            values,
            target.port,
            target.prefix,
            target.form,
            websocket,
            target.evidence,
            told,
        )
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
