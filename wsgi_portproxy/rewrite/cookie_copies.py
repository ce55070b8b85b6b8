"""Copies a service's cookies for its WebSocket handshakes at the root of the site.

A service's page opens `ws://host/ws`. Browsers do not follow redirects of handshakes, and this one
carries none of the service's cookies, which are confined to its prefix. So the cookies that the
service has for its root are copied into one cookie of ours for the whole site. No script can read
it, and no other service gets it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

from ..locate.slots import slot_for
from ..names import COOKIE_PREFIX, log
from .cookies import CookiePolicy
from .set_cookie import SetCookie, parse_set_cookie
from .urls import UrlMapper

# The largest number of services with copies, and the bytes of each encoded copy. Copies are sent
# with every request to the app, whose session may take 4 KiB of the 8 KiB that servers accept. Most
# copies have about 100 bytes.
_SLOTS, _MAX_COPIES = 3, 768
_COPIES = re.compile(
    rf"(?:^|[;,])[ \t]*{re.escape(COOKIE_PREFIX)}copy([0-9])=([0-9]{{1,5}})\.([^;,\s]*)"
)
# Characters of a cookie's value (RFC 6265 section 4.1.1), without `%`, and without `=`, at which
# some parsers split.
_PLAIN = "!#$&'()*+-./:<>?@[]^_`{|}~"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def copied(cookie_header: str, port: int) -> str:
    """The browser's copies of a service's cookies, as a Cookie header."""
    for _, of_port, encoded in _COPIES.findall(cookie_header):
        if of_port == str(port) and len(encoded) <= _MAX_COPIES:  # a longer one is not ours
            text = unquote(encoded, "latin-1")
            return "" if _CONTROL.search(text) else text
    return ""


def set_copies(
    set_cookies: Iterable[str], urls: UrlMapper, policy: CookiePolicy, *, visitors_cookies: str
) -> str | None:
    """The Set-Cookie value that updates the copies after a response; None if nothing changes.

    set_cookies: the service's Set-Cookie values.
    visitors_cookies: the Cookie header of the request.
    """
    target = urls.target
    if not target.form.has_own_path or target.is_astray:
        return None
    before = copied(visitors_cookies, target.port)
    pairs = dict(pair.partition("=")[::2] for pair in before.split("; ") if pair)
    for set_cookie in set_cookies:
        cookie = parse_set_cookie(set_cookie, target.prefix)
        path = cookie.path
        if not path.startswith("/"):  # RFC 6265 section 5.1.4
            path = target.path_qs.partition("?")[0].rpartition("/")[0] or "/"
        if path != "/" or not policy.is_one(set_cookie, target):
            continue
        others = {one: text for one, text in pairs.items() if one != cookie.name}
        if cookie.expired:
            pairs = others
        elif len(_encoded({**others, cookie.name: _value(cookie)})) <= _MAX_COPIES:
            pairs = {**others, cookie.name: _value(cookie)}
        else:
            pairs = others  # the old value is useless, and the new one does not fit
            log.info("port %d: a cookie is too long to copy for WebSocket handshakes", target.port)
    encoded = _encoded(pairs)
    if encoded == _quoted(before):
        return None
    found = [one for one in _COPIES.findall(visitors_cookies) if int(one[0]) < _SLOTS]
    used = {int(slot): (int(port), 0) for slot, port, _ in found}
    name = f"{COOKIE_PREFIX}copy{slot_for(target.port, used, _SLOTS)}"
    secure = "; Secure" if urls.is_https else ""
    attributes = f"; Path={urls.root}/; HttpOnly; SameSite=Lax{secure}"
    if not encoded:
        return f"{name}={attributes}; Max-Age=0"
    return f"{name}={target.port}.{encoded}{attributes}"


def _value(cookie: SetCookie) -> str:
    return cookie.pair.partition("=")[2]


def _encoded(pairs: dict[str, str]) -> str:
    return _quoted("; ".join(f"{name}={value}" for name, value in pairs.items()))


def _quoted(text: str) -> str:
    return quote(text, safe=_PLAIN, encoding="latin-1")
