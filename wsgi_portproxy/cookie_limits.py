"""How much of a browser's store of cookies the services may take up.

Browsers keep about 180 cookies of a site and then drop those that were used longest ago. Servers
refuse requests whose cookies are longer than about 8 KiB: those to the app as well, where cookies
reach its pages. A browser asks for many things at once, each of whose answers may set cookies. So
what counts is what services have set for a visitor lately, not what their browser had to send.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from .set_cookie import SetCookie

MAX_SET_COOKIES = 20  # Set-Cookie fields of one answer
# Names of all services' cookies for one visitor in so many seconds. Chromium notes the use of a
# cookie once a minute: within two the app's session may look older than all of them, and is kept as
# long as they are fewer than 150.
_NAMES, _BURST = 75, 60.0
# Bytes, names included, of all services' cookies at the same pages of the app, and for how many
# seconds each counts: by then the visitor has sent it.
_AT_THE_APPS_PAGES, _REMEMBERED = 4096, 600.0
# Each process of a server counts for itself, and has its share of these, but not less than this.
_LEAST_NAMES, _LEAST_BYTES = 12, 1024
_KEPT = 1024  # visitors, and pages of theirs, that are remembered

_Cookies: TypeAlias = dict[tuple[str, str], tuple[float, int]]  # by name and path: when, and bytes


class CookieLimits:
    """Those of one `PortProxy`, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By whose they are: when each cookie was set last, in the order of that, and its bytes.
        self._set: dict[object, _Cookies] = {}

    def allow(
        self,
        visitor: str,
        cookie: SetCookie,
        *,
        pages: str | None = None,
        sent: Mapping[str, int] = MappingProxyType({}),
        processes: int = 1,
    ) -> bool:
        """Whether a service may set one more cookie, as the visitor gets it, and note it.

        visitor: by what the app knows one from another; it is not kept. pages: the prefix of the
        app's pages that the cookie reaches too, as in the query form; None: it reaches none. sent:
        of the cookies that the visitor sent, and that reach them as well, each one's bytes by its
        name. processes: how many the server has.
        """
        now, who, size = time.monotonic(), hash(visitor), len(cookie.pair)
        key = cookie.name, cookie.path  # one of these is one cookie (RFC 6265 section 5.3)
        with self._lock:
            lately = self._of(who, now, _BURST)
            if key not in lately and len(lately) >= max(_LEAST_NAMES, _NAMES // processes):
                return False
            if pages is not None:
                there = self._of((who, pages), now, _REMEMBERED)
                new = {one: bytes_ for one, (_, bytes_) in there.items() if one != key}
                if sum(new.values()) + size > max(_LEAST_BYTES, _AT_THE_APPS_PAGES // processes):
                    return False
                old = sum(bytes_ for name, bytes_ in sent.items() if name != cookie.name)
                unsent = sum(bytes_ for (name, _), bytes_ in new.items() if name not in sent)
                if old + unsent + size > _AT_THE_APPS_PAGES:
                    return False
                _note(there, key, now, size)
            _note(lately, key, now, size)
        return True

    def _of(self, key: object, now: float, seconds: float) -> _Cookies:
        """What is remembered of a visitor, or of pages, without what is longer ago."""
        cookies = self._set[key] = self._set.pop(key, {})
        while cookies and now - next(iter(cookies.values()))[0] > seconds:
            del cookies[next(iter(cookies))]
        if len(self._set) > _KEPT:  # that which was used longest ago
            del self._set[next(iter(self._set))]
        return cookies


def _note(cookies: _Cookies, key: tuple[str, str], now: float, size: int) -> None:
    cookies.pop(key, None)
    cookies[key] = (now, size)
