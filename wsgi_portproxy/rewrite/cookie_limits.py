"""Limits how much of a browser's cookie store the services may take up.

Browsers keep about 180 cookies per site and then drop those that were not used for the longest
time. Servers refuse requests with more than about 8 KiB of cookies: requests to the app too, if the
cookies reach its pages. A browser makes many requests at once, and each response may set cookies.
So we count what services have set for a visitor, not what the browser sends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from .set_cookie import SetCookie

MAX_SET_COOKIES = 20  # Set-Cookie headers of one response
# New cookies of all services for one visitor, and the seconds in which they count. A cookie stays
# until a service removes it, and with too many of them browsers drop the app's session as well. The
# number may double, since `is_known` goes by name: each cookie may exist at another path too.
_NEW, _REMEMBERED = 60, 6 * 3600.0
# Bytes, names included, of all services' cookies that reach the same pages of the app; and of all
# cookies sent there, the app's included, beyond which services add nothing. Ours are not counted.
_AT_THE_APPS_PAGES, _MOST_SENT = 2048, 4608
# Each process of a server counts for itself and has its share of these limits, but at least this.
_LEAST_NEW, _LEAST_BYTES = 12, 1024
_KEPT = 1024  # visitors, and pages of theirs, that are remembered
_Cookies: TypeAlias = dict[int, tuple[float, int, str]]  # by name and path: when, bytes and name
_LONGEST_NAME = 64  # characters of a name that are kept


class CookieLimits:
    """The limits of one `PortProxy` in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By owner: when each cookie was last set, in that order, and its bytes.
        self._set: dict[object, _Cookies] = {}

    def allow(
        self,
        visitor: str,
        cookie: SetCookie,
        *,
        is_known: bool = False,
        pages: str | None = None,
        sent: Mapping[str, int] = MappingProxyType({}),
        processes: int = 1,
    ) -> bool:
        """Whether a service may set one more cookie, given as the visitor gets it; remembers it.

        visitor: what distinguishes this visitor; only its hash is kept. is_known: the visitor's
        browser already has this cookie. pages: the prefix of the app's pages that the cookie also
        reaches, in the query form; None: it reaches none. sent: the size in bytes of each cookie
        that the visitor sent there, by name, the app's included. processes: how many the server
        has.
        """
        now, who, size = time.monotonic(), hash(visitor), len(cookie.pair)
        key = hash((cookie.name, cookie.path))  # RFC 6265 section 5.3: these make one cookie
        with self._lock:
            lately = self._of(who, now)
            there = None if pages is None else self._of((who, pages), now)
            if cookie.expired:  # a removal only makes room
                for cookies in (lately, there or {}):
                    cookies.pop(key, None)
                return True
            most = max(_LEAST_NEW, _NEW // processes)
            if not is_known and key not in lately and len(lately) >= most:
                return False
            if there is not None:
                new = {name: bytes_ for one, (_, bytes_, name) in there.items() if one != key}
                if sum(new.values()) + size > max(_LEAST_BYTES, _AT_THE_APPS_PAGES // processes):
                    return False
                old = sum(bytes_ for name, bytes_ in sent.items() if name != cookie.name)
                unsent = sum(bytes_ for name, bytes_ in new.items() if name not in sent)
                if old + unsent + size > _MOST_SENT:
                    return False
                _note(there, key, (now, size, cookie.name[:_LONGEST_NAME]))
            if not is_known:
                _note(lately, key, (now, 0, ""))
        return True

    def _of(self, key: object, now: float) -> _Cookies:
        """What is remembered of a visitor, or of pages, without what is too old."""
        cookies = self._set[key] = self._set.pop(key, {})
        while cookies and now - next(iter(cookies.values()))[0] > _REMEMBERED:
            del cookies[next(iter(cookies))]
        if len(self._set) > _KEPT:  # drop the least recently used
            del self._set[next(iter(self._set))]
        return cookies


def _note(cookies: _Cookies, key: int, what: tuple[float, int, str]) -> None:
    cookies.pop(key, None)
    cookies[key] = what
