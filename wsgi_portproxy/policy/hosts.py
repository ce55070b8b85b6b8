"""Step 2: check the host name in a request.

Anybody can point their own name at this machine (DNS rebinding). To a browser that uses the name,
an attacker's page and a service here share an origin, and `Origin` agrees with `Host`. So we never
show a service `localhost`, which it may trust, in place of an unknown name, and a deployment that
lists its names is served under no other.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import Misdirected
from ..metrics import loggable
from ..names import log

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


#: Names that mean the machine on which they are used (RFC 6761 section 6.3).
LOOPBACK = ("localhost", ".localhost", "127.0.0.1", "[::1]")
_LONGEST, _KEPT = 256, 256  # characters of a Host whose verdict is kept, and how many are kept
_PORT = re.compile(r":[0-9]*$")
_NAME = re.compile(r"\.?[a-z0-9_](?:[a-z0-9_.\-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")


class Hosts:
    """The names of one deployment.

    named: the names in the setting, such as `app.example.com`, or `.example.com` for that name and
        all below it; None: not set.
    of_framework: the names that the app's framework allows. They are used if `named` is None, and
        only to recognise a name, not to refuse others.
    of_template: the site's own name in `host_template`, which counts as named too.

    Raises `TypeError` or `ValueError` for anything but a collection of host names.
    """

    def __init__(
        self,
        named: Iterable[str] | None,
        of_framework: Iterable[str] = (),
        of_template: Iterable[str] = (),
    ) -> None:
        if isinstance(named, str):
            raise TypeError("hosts must be a collection of host names, not one string")
        self._is_said = named is not None
        if named is None:
            # A framework's `*` only means that nobody has decided.
            named = [*LOOPBACK, *(one for one in of_framework if _NAME.fullmatch(one.lower()))]
        given = [*named]
        if not all(isinstance(name, str) for name in given):
            raise TypeError("hosts must be a collection of host names")
        names = [name.lower() for name in given]
        for name in names:
            if _NAME.fullmatch(name) is None:
                raise ValueError(f"hosts takes host names without a scheme or port, not {name!r}")
        self._names = frozenset(name.removeprefix(".") for name in names).union(of_template)
        self._below = tuple(name for name in names if name.startswith("."))
        self._has_warned = False
        self._judged: dict[str, bool] = {}  # by the Host as it was sent

    def knows(self, environ: WSGIEnvironment) -> bool:
        """Whether the request's Host is one of the names. Without the setting, an IP address counts
        too: DNS rebinding needs a name."""
        host = environ.get("HTTP_HOST") or ""
        is_known = self._judged.get(host)
        if is_known is None or not host:
            is_known = self._is_known(host_name(environ))
            if host and len(host) < _LONGEST and len(self._judged) < _KEPT:
                self._judged[host] = is_known
        return is_known

    def _is_known(self, name: str) -> bool:
        if name in self._names or name.endswith(self._below):
            return True
        return not self._is_said and _is_address(name)

    def check(self, environ: WSGIEnvironment) -> None:
        """Raise `Misdirected` if names are set and the request's Host is none of them (RFC 9110
        section 15.5.20)."""
        if self._is_said and not self.knows(environ):
            raise Misdirected(
                "This site is not served under that host name.",
                "Use the site's own name. The administrator can add this one to hosts.",
                detail=f"Host is not in hosts: {loggable(host_name(environ))}",
            )

    def warn_of_unknown(self, environ: WSGIEnvironment) -> None:
        """Log once that services see the request's host name instead of localhost."""
        if not self._has_warned:
            self._has_warned = True
            log.warning(
                "%s is not in hosts: services see this name instead of localhost, and some refuse "
                "it. Set PortProxy(hosts=[...]).",
                loggable(host_name(environ)),
            )


def host_name(environ: WSGIEnvironment) -> str:
    """The name in a request's Host, in lower case, without a port or a final dot."""
    host = environ.get("HTTP_HOST")
    if not host:
        host = environ.get("SERVER_NAME", "")
        return f"[{host}]" if ":" in host else host.lower()
    return _PORT.sub("", host[:512]).removesuffix(".").lower()


@lru_cache(maxsize=64)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
