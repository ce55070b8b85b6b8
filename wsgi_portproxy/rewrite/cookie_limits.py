"""How much of a browser's store of cookies the services may take up.

Browsers keep about 180 cookies of a site and then drop those that were used longest ago. Servers
refuse requests whose cookies are longer than about 8 KiB: those to the app as well, where cookies
reach its pages. A browser asks for many things at once, each of whose answers may set cookies. So
what counts is what services have set for a visitor, not what their browser had to send.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from .set_cookie import SetCookie

MAX_SET_COOKIES = 20  # Set-Cookie fields of one answer
# New cookies of all services for one visitor in so many seconds. Browsers drop the app's session
# with others once there are too many, however old each is: what a service does not remove, stays.
# Twice as many may come of it, since `is_known` goes by the name: each once more at another path.
_NEW, _REMEMBERED = 60, 6 * 3600.0
# Bytes, names included, of all services' cookies at the same pages of the app; and of all that is
# sent there, the app's own included, beyond which services add nothing. Ours come on top of that.
_AT_THE_APPS_PAGES, _MOST_SENT = 2048, 4608
# Each process of a server counts for itself, and has its share of these, but not less than this.
_LEAST_NEW, _LEAST_BYTES = 12, 1024
_KEPT = 1024  # visitors, and pages of theirs, that are remembered
_Cookies: TypeAlias = dict[int, tuple[float, int, str]]  # by name and path: when, bytes and name
_LONGEST_NAME = 64  # characters that are kept of one


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
        is_known: bool = False,
        pages: str | None = None,
        sent: Mapping[str, int] = MappingProxyType({}),
        processes: int = 1,
    ) -> bool:
        """Whether a service may set one more cookie, as the visitor gets it, and note it.

        visitor: by what the app knows one from another; it is not kept. is_known: the visitor's
        browser has this very cookie. pages: the prefix of the app's pages that the cookie reaches
        too, as in the query form; None: it reaches none. sent: of the cookies that the visitor sent
        there, the app's own included, each one's bytes by its name. processes: how many the server
        has.
        """
        now, who, size = time.monotonic(), hash(visitor), len(cookie.pair)
        key = hash((cookie.name, cookie.path))  # RFC 6265 section 5.3: these make one cookie
        with self._lock:
            lately = self._of(who, now)
            there = None if pages is None else self._of((who, pages), now)
            if cookie.expired:  # which only makes room
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
        """What is remembered of a visitor, or of pages, without what is long ago."""
        cookies = self._set[key] = self._set.pop(key, {})
        while cookies and now - next(iter(cookies.values()))[0] > _REMEMBERED:
            del cookies[next(iter(cookies))]
        if len(self._set) > _KEPT:  # that which was used longest ago
            del self._set[next(iter(self._set))]
        return cookies


def _note(cookies: _Cookies, key: int, what: tuple[float, int, str]) -> None:
    cookies.pop(key, None)
    cookies[key] = what
