"""Cookies across the two sides: the app's never reach a service, a service's never reach the app.

Both directions are textual: what may pass keeps its bytes, since services compare them (Streamlit's
uploads check a cookie against a header byte for byte).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Cookies by which common frameworks know a visitor; withheld unless told otherwise.
DEFAULT_WITHHELD = frozenset(
    {
        "sessionid",  # Django's session
        "csrftoken",  # Django's CSRF secret
        "messages",  # Django's messages, texts meant for the visitor
        "session",  # Flask, Starlette, Pyramid
        "remember_token",  # Flask-Login
        "auth_tkt",  # Pyramid, repoze.who
        "beaker.session.id",  # Beaker: Pylons, Bottle
        "session_id",  # CherryPy, Bottle plugins
    }
)

# Browsers keep about 180 cookies of a site and evict the oldest: more than a few from a service
# would throw out the app's.
MAX_SET_COOKIES = 50
MAX_COOKIE_BYTES = 4096  # RFC 6265 section 6.1; browsers ignore longer ones

_NOT_TOKEN = re.compile(r"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
# A comma that may join two Cookie lines (gunicorn joins them so): a name and `=` follow.
_JOINED = re.compile(r",(?=[^,;=]*=)")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PATH = re.compile(r";[ \t]*path[ \t]*(?:=[ \t]*([^;]*?)[ \t]*)?(?=;|$)", re.IGNORECASE)
_DOMAIN = re.compile(r";[ \t]*domain[ \t]*(?:=[^;]*)?(?=;|$)", re.IGNORECASE)


class CookiePolicy:
    """Knows the withheld names. Names are compared in lower case and without odd characters.

    Parsers differ on what they strip from a name (white space, NBSP, quotes), so all of it is.
    """

    def __init__(self, withheld: Iterable[str]) -> None:
        if isinstance(withheld, str):
            raise TypeError("withhold_cookies must be a collection of names, not one string")
        self.withheld = frozenset(_bare(name) for name in withheld)

    def adding(self, names: Iterable[str]) -> CookiePolicy:
        """The same policy with more names withheld."""
        return CookiePolicy([*self.withheld, *names])

    def for_service(self, cookie_header: str) -> str:
        """A Cookie header without the withheld cookies; all other bytes and their order unchanged.

        A withheld name counts wherever a parser could see one: also within another cookie's quotes
        and behind a comma.
        """
        pairs = cookie_header.split(";")
        kept = []
        in_quotes = False  # within the quoted value of a withheld cookie
        for pair in pairs:
            if in_quotes:
                in_quotes = '"' not in pair
                continue
            rest, in_quotes = self._without_withheld(pair)
            if rest is not None:
                kept.append(rest)
        if kept and kept[0] is not pairs[0]:
            kept[0] = kept[0].lstrip(" \t")
        return ";".join(kept)

    def _without_withheld(self, pair: str) -> tuple[str | None, bool]:
        """What may pass of the text between two semicolons, and whether it leaves quotes open."""
        allowed = []
        in_quotes = False
        start = 0
        for end in [*(comma.start() for comma in _JOINED.finditer(pair)), len(pair)]:
            part = pair[start:end]
            name, _, value = part.lstrip(",").partition("=")
            if _bare(name) in self.withheld:
                in_quotes = value.strip().startswith('"') and value.count('"') == 1
            else:
                allowed.append((start, part))
            start = end
        if not allowed:
            return None, in_quotes
        text = "".join(part for _, part in allowed)
        if allowed[0][0] > 0:  # the first of those joined by commas is gone: and so is its comma
            text = " " + text.lstrip(", \t")
        return (pair if text == pair else text), in_quotes

    def for_visitor(self, set_cookie: str, prefix: str, *, needs_path: bool) -> str | None:
        """A Set-Cookie value with its Path under `prefix` and no Domain; None if it may not pass.

        Everything else keeps its bytes. A Path that lies under the prefix already stays.
        `needs_path`: add a Path if there is none, because the one that browsers would assume lies
        above the prefix (RFC 6265 section 5.1.4). May not pass: the withheld names, cookies without
        a name, `__Host-` ones (they claim the whole origin, which is the app's), control characters
        and what browsers would refuse for its size.
        """
        name = set_cookie.partition(";")[0].partition("=")[0]
        bare = _bare(name)
        if "=" not in set_cookie.partition(";")[0] or not name.strip(" \t"):
            return None
        if bare in self.withheld or bare.startswith("__host-") or _CONTROL.search(set_cookie):
            return None
        if len(set_cookie) > MAX_COOKIE_BYTES:
            return None
        scoped = _PATH.sub(lambda match: _scoped_path(match, prefix), set_cookie)
        paths = _PATH.findall(set_cookie)
        if needs_path and not (paths and paths[-1].startswith("/")):
            scoped += f"; Path={prefix}/"
        return _DOMAIN.sub("", scoped)


def _scoped_path(match: re.Match[str], prefix: str) -> str:
    path = match[1] or ""
    if not path.startswith("/") or path == prefix or path.startswith(prefix + "/"):
        return match[0]
    start, end = match.span(1)
    offset = match.start()
    return match[0][: start - offset] + prefix + path + match[0][end - offset :]


def _bare(name: str) -> str:
    return _NOT_TOKEN.sub("", name).lower()
