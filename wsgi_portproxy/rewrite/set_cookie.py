"""Reads a Set-Cookie (RFC 6265 section 5.2), as far as we need it."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import NamedTuple

from werkzeug.http import parse_date

_NOT_POSITIVE = re.compile(r"0+|-[0-9]+", re.ASCII)  # a Max-Age that removes the cookie

# RFC 9110 section 5.6.7, and the same with dashes, as older frameworks write it.
_USUAL_DATE = re.compile(
    r"[A-Z][a-z]{2}, [0-9]{2}([ -])[A-Z][a-z]{2}\1(?:19|20)[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)


class SetCookie(NamedTuple):
    """A cookie that a response sets.

    pair: its `name=value`.
    path: its Path as the service sees it.
    is_sure: whether browsers agree on `expired`: it comes from Max-Age, or from a date in the usual
        form. Browsers read a two-digit year, for instance, differently from Python.
    """

    name: str
    pair: str
    path: str
    expired: bool
    is_sure: bool = False


def parse_set_cookie(line: str, prefix: str) -> SetCookie:
    """Parse a Set-Cookie value (RFC 6265 section 5.2)."""
    pair, *rest = line.split(";")
    attributes = {}
    for attribute in rest:
        name, _, value = attribute.partition("=")
        attributes[name.strip(" \t").lower()] = value.strip(" \t")
    path = attributes.get("path", "").strip('"')
    if path == prefix or path.startswith(prefix + "/"):
        path = path[len(prefix) :] or "/"
    expires = attributes.get("expires", "")
    is_sure = "max-age" in attributes or _USUAL_DATE.fullmatch(expires) is not None
    if "max-age" in attributes:  # takes precedence over Expires
        expired = _NOT_POSITIVE.fullmatch(attributes["max-age"]) is not None
    else:
        expired = _is_past(expires)
    return SetCookie(pair.partition("=")[0].strip(" \t"), pair.strip(" \t"), path, expired, is_sure)


def _is_past(date: str) -> bool:
    try:
        moment = parse_date(date)
    except OverflowError:  # its offset from UTC is too large
        return False
    return moment is not None and moment <= datetime.now(timezone.utc)
