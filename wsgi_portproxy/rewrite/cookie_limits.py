"""Limits how much of a browser's cookie store the services may take up.

Browsers keep about 180 cookies per site and then drop the least recently used ones. Servers refuse
requests with more than about 8 KiB of cookies, including requests to the app if the cookies reach
its pages. A browser makes many requests at once, and each response may set cookies. So we count the
cookies that services have set for a visitor, not the cookies that the browser sends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from .set_cookie import SetCookie

MAX_SET_COOKIES = 20  # Set-Cookie headers of one response
# The largest number of new cookies of all services for one visitor, and the seconds for which they
# count. A cookie stays until a service removes it, and if there are too many, browsers drop the
# app's session too. The number may double, since `is_known` goes by name: each cookie may also
# exist at another path.
_NEW, _REMEMBERED = 60, 6 * 3600.0
# Limits in bytes, names included: for all services' cookies that reach the same pages of the app,
# and for all cookies sent to these pages, including the app's. Ours are not counted.
_AT_THE_APPS_PAGES, _MOST_SENT = 2048, 4608
# Each process of a server counts separately and has its share of these limits, but at least these.
_LEAST_NEW, _LEAST_BYTES = 12, 1024
_KEPT = 1024  # remembered visitors, plus pairs of visitor and pages
_Cookies: TypeAlias = dict[int, tuple[float, int, str]]  # by name and path: when, bytes and name
_LONGEST_NAME = 64  # characters of a name that are kept


class CookieLimits:
    """The limits of one `PortProxy` in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By visitor, or visitor and pages: the cookies, in the order in which they were last set.
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
        """Return whether a service may set one more cookie; if so, remember it.

        visitor: distinguishes this visitor from others; only its hash is kept.
        cookie: as the visitor gets it.
        is_known: whether the visitor's browser already has this cookie.
        pages: the prefix of the app's pages that the cookie also reaches, in the query form; None
            if it reaches none.
        sent: the size in bytes of each cookie that the visitor sent to these pages, by name,
            including the app's.
        processes: the number of processes of the server.
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
        """Return the cookies remembered under `key`, and forget the old ones."""
        cookies = self._set[key] = self._set.pop(key, {})
        while cookies and now - next(iter(cookies.values()))[0] > _REMEMBERED:
            del cookies[next(iter(cookies))]
        if len(self._set) > _KEPT:  # drop the least recently used
            del self._set[next(iter(self._set))]
        return cookies


def _note(cookies: _Cookies, key: int, what: tuple[float, int, str]) -> None:
    cookies.pop(key, None)
    cookies[key] = what
