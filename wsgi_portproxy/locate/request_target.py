"""Reads the request target as it was sent, byte-exact if the server provides it.

Decides which of the server's values to believe. `locator` interprets the request target.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# RFC 9112 section 3.2.1, visible ASCII only, without `#`: it ends the URL for some readers only.
_ORIGIN_FORM = re.compile(r"/[\x21\x22\x24-\x7e]*")
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)
# Characters that a path may contain unescaped (RFC 3986 section 3.3).
PATH_SAFE = "/!$&'()*+,;=:@~-._"
_NOT_VISIBLE = re.compile(r"[^\x21\x22\x24-\x7e]")


class RawTarget(NamedTuple):
    """The request target as sent: SCRIPT_NAME quoted, path after it, query (None: no `?`)."""

    script: str
    path: str
    query: str | None


def raw_target(environ: WSGIEnvironment) -> RawTarget:
    """The path and query of the request, byte-exact if the server provides them.

    PATH_INFO is decoded, so `%2F` and `/` look alike there. Servers also provide the raw target
    (RAW_URI, REQUEST_URI), but it is believed only if it is plainly the same path: servers and
    middlewares resolve, collapse, cut and move parts of it. Otherwise PATH_INFO is quoted.
    """
    script, info = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
    query = environ.get("QUERY_STRING", "")
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    if _ORIGIN_FORM.fullmatch(raw):
        if raw == (f"{info}?{query}" if query else info) and not (
            script or "%" in info or "?" in info
        ):
            return RawTarget("", info, query or None)  # the usual case: both are the same
        raw_path, mark, raw_query = raw.partition("?")
        if raw_query == query:
            path = _without_script(raw_path, script, info)
            if path is None and _ENCODED_SLASH.search(info):
                # cheroot leaves this one escape in PATH_INFO.
                path = _without_script(raw_path, script, _ENCODED_SLASH.sub("/", info))
            if path is not None:
                return RawTarget(quoted_script(environ), path, raw_query if mark else None)
    path = quote(info.encode("latin-1"), safe=PATH_SAFE)
    return RawTarget(quoted_script(environ), path, visible(query) or None)


def _without_script(raw_path: str, script: str, info: str) -> str | None:
    """The part of `raw_path` that is PATH_INFO, or None if it is not that path."""
    decoded = unquote(raw_path, "latin-1") if "%" in raw_path else raw_path
    if not script:
        return raw_path if decoded == info else None
    if decoded == script + info:
        pieces = raw_path.split("/")
        depth = script.count("/") + 1
        if unquote("/".join(pieces[:depth]), "latin-1") == script:
            return "".join("/" + piece for piece in pieces[depth:])
        return None
    # A front end removed SCRIPT_NAME from the path before the server saw it.
    return raw_path if decoded == info else None


def quoted_script(environ: WSGIEnvironment) -> str:
    """SCRIPT_NAME as it appears in a URL, without a final slash."""
    script = environ.get("SCRIPT_NAME", "")
    return _quoted(script) if script else ""


@lru_cache(maxsize=64)
def _quoted(script: str) -> str:
    # Exactly one slash in front, whatever a middleware set: `//host` in a Location is another site.
    return quote("/" + script.strip("/"), safe=PATH_SAFE, encoding="latin-1").rstrip("/")


def visible(text: str) -> str:
    """`text` (latin-1) with `#` and everything except visible ASCII percent-encoded."""
    return _NOT_VISIBLE.sub(escape_octets, text)


def escape_octets(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("latin-1"))
