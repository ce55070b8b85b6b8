"""Defines addresses (scheme, host and port of a URL) and decides which hosts mean this machine.

Everything sent to a service is derived from its one told address, so that no two headers disagree:
services compare them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

_DEFAULT_PORT = {"http": "80", "https": "443"}
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", re.ASCII)
_LONGEST_KEPT = 256  # characters of an authority that may be cached
# Services may bind this address. It is only compared; nothing listens on it here.
_ANY_ADDRESS = "0.0.0.0"  # noqa: S104  # nosec B104
_LOCAL_NAMES = frozenset({"localhost", "[::1]", _ANY_ADDRESS, "[::]"})


@dataclass(frozen=True)  # without slots: `cached_property` needs a `__dict__`
class Address:
    """Scheme, host and port of a URL, in lower case; `port` is "" for the scheme's default."""

    scheme: str
    host: str
    port: str = ""

    @cached_property
    def authority(self) -> str:
        """Host and port as in a Host header (RFC 9110 section 7.2)."""
        return f"{self.host}:{self.port}" if self.port else self.host

    @cached_property
    def origin(self) -> str:
        """The address as in an Origin header (RFC 6454 section 6.2)."""
        return f"{self.scheme}://{self.authority}"


def address(scheme: str, authority: str) -> Address:
    """The address of a URL's scheme and authority. Without a valid port, the whole authority is
    the host."""
    is_long = len(authority) > _LONGEST_KEPT  # not cached: anybody may send it
    return _address.__wrapped__(scheme, authority) if is_long else _address(scheme, authority)


@lru_cache(maxsize=256)
def _address(scheme: str, authority: str) -> Address:
    scheme, authority = scheme.lower(), authority.lower()
    host, colon, port = authority.rpartition(":")
    if not colon or (port and not (port.isascii() and port.isdigit())):
        return Address(scheme, authority)
    return Address(scheme, host, "" if port == _DEFAULT_PORT.get(scheme) else port)


def address_of(origin: str) -> Address:
    """The address of an origin, such as `https://app.example.com:8443`."""
    scheme, _, authority = origin.partition("://")
    return address(scheme, authority)


def is_local(host: str) -> bool:
    """Whether a host means the local machine: the server's machine, if a service names it."""
    return host in _LOCAL_NAMES or (host.startswith("127.") and _IPV4.fullmatch(host) is not None)
