"""Remembers under which mount a browser opened a service that has its own root in the port form.

A URL in the port form names no mount, and the authorizer may need the mount's parameters. So a
browser that is sent there gets a cookie that holds the mount's path. Like a hint for strays, it is
never a permission: it leads no further than the URL that the visitor opened, and the authorizer
judges each request.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ..errors import PortProxyError
from ..names import COOKIE_PREFIX
from .location import Location
from .mount import Mount
from .slots import slot_for
from .target import Target
from .visit import Visit

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_NAME = f"{COOKIE_PREFIX}at"
_SLOTS = 12  # services that a browser remembers at a time
_COOKIE = re.compile(
    rf"(?:^|[;,])[ \t]*{re.escape(_NAME)}([0-9]{{1,2}})=([0-9]{{1,5}})\.([0-9]{{13}})([^;,\s]*)"
)
_LONGEST_PATH = 160  # bytes
# Bytes of all these cookies in a request. They reach every page of the app, whose server refuses
# requests with more than about 8 KiB of cookies. Most have about 50 bytes.
_MOST_BYTES = 600
_LONGEST_HEADER = 65536
_SECONDS = 30 * 24 * 3600  # so that a bookmark works
_UNSAFE = re.compile(r"[^A-Za-z0-9\-._~!$&'()*+/:@%]")  # in a cookie's value


class Opened:
    """What browsers remember of one `PortProxy`."""

    def __init__(self, mount: Mount) -> None:
        self._mount = mount

    def params(self, port: int, environ: WSGIEnvironment) -> Mapping[str, str] | None:
        """The parameters of the mount under which this browser opened a port; None if it does not
        remember."""
        if not self._mount.names:
            return None
        for _, _, of_port, path in _remembered(environ):
            if of_port == port:
                return self._match(path)
        return None

    def _match(self, path: str) -> Mapping[str, str] | None:
        segments = path.split("/")[1:]
        if len(segments) != self._mount.depth:
            return None
        try:
            return self._mount.match([unquote(one, "latin-1") for one in segments])
        except PortProxyError:
            return None

    def remember(
        self, target: Target, visit: Visit, redirect: Location | None
    ) -> list[tuple[str, str]]:
        """The Set-Cookie headers for a browser that is redirected to the port form, or that opens a
        page there; none if it remembers already, or if there is nothing to remember."""
        is_sent = redirect is not None and not redirect.url.startswith("/")
        if not (self._mount.names and visit.is_navigation):
            return []
        if not (is_sent or target.form.has_own_number):
            return []
        known = _remembered(visit.environ)
        if target.form.has_own_number:
            path = next((path for _, _, port, path in known if port == target.port), "")
        else:
            path = target.mount_path.removeprefix(visit.script)
        if not path or len(path) > _LONGEST_PATH or _UNSAFE.search(path) is not None:
            return []
        if known and known[0][2:] == (target.port, path):
            return []  # it is the newest
        used = {slot: (port, opened) for opened, slot, port, _ in known}
        slot = slot_for(target.port, used, _SLOTS)
        attributes = f"; Path={visit.script}/; Max-Age={_SECONDS}; HttpOnly; SameSite=Lax"
        if visit.environ.get("wsgi.url_scheme") == "https":
            attributes += "; Secure"
        pair = _pair(slot, target.port, int(time.time() * 1000), path)
        forgotten = _beyond(_MOST_BYTES - len(pair), [one for one in known if one[1] != slot])
        return [("Set-Cookie", f"{pair}{attributes}")] + [
            ("Set-Cookie", f"{_NAME}{other}=; Path={visit.script}/; Max-Age=0")
            for other in sorted(forgotten)
        ]


def _pair(slot: int, port: int, opened: int, path: str) -> str:
    return f"{_NAME}{slot}={port}.{opened:013d}{path}"


def _beyond(room: int, known: list[tuple[int, int, int, str]]) -> set[int]:
    """The slots of the oldest, for which there is no room."""
    beyond = set()
    for opened, slot, port, path in known:
        room -= len(_pair(slot, port, opened, path)) + len("; ")
        if room < 0:
            beyond.add(slot)
    return beyond


def _remembered(environ: WSGIEnvironment) -> list[tuple[int, int, int, str]]:
    """Time in milliseconds, slot, port and the mount's path of each cookie, the newest first."""
    cookies = environ.get("HTTP_COOKIE", "")
    if _NAME not in cookies:
        return []
    found = _COOKIE.findall(cookies[:_LONGEST_HEADER])
    remembered = [
        (int(opened), int(slot), int(port), path)
        for slot, port, opened, path in found
        if int(slot) < _SLOTS
    ]
    return sorted(remembered, reverse=True)
