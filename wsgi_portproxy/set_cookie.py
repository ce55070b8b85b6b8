"""What a Set-Cookie says (RFC 6265 section 5.2), as far as we have to know."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import NamedTuple

from werkzeug.http import parse_date

_NOT_POSITIVE = re.compile(r"0+|-[0-9]+", re.ASCII)  # a Max-Age that removes the cookie


class SetCookie(NamedTuple):
    """A cookie that an answer set: `pair` is its `name=value`, `path` as the service sees it."""

    name: str
    pair: str
    path: str
    expired: bool


def parse_set_cookie(line: str, prefix: str) -> SetCookie:
    """A Set-Cookie value (RFC 6265 section 5.2)."""
    pair, *rest = line.split(";")
    attributes = {}
    for attribute in rest:
        name, _, value = attribute.partition("=")
        attributes[name.strip(" \t").lower()] = value.strip(" \t")
    path = attributes.get("path", "").strip('"')
    if path == prefix or path.startswith(prefix + "/"):
        path = path[len(prefix) :] or "/"
    if "max-age" in attributes:  # counts before Expires
        expired = _NOT_POSITIVE.fullmatch(attributes["max-age"]) is not None
    else:
        expired = _is_past(attributes.get("expires", ""))
    return SetCookie(pair.partition("=")[0].strip(" \t"), pair.strip(" \t"), path, expired)


def _is_past(date: str) -> bool:
    try:
        moment = parse_date(date)
    except OverflowError:  # its offset from UTC is beyond what can be counted
        return False
    return moment is not None and moment <= datetime.now(timezone.utc)
