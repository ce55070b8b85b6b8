"""Handles the port form: the site's own name with another port, such as `app.example.com:36006`.

To browsers, another port is another origin (RFC 6454 section 4), so a service has a root, storage
and scripts of its own. Cookies know no ports (RFC 6265 section 8.5), so the visitor is signed in
there, and the certificate fits. The server or its front end listens on these ports too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from typing import TYPE_CHECKING

from ..errors import AuthorizerFailed, BadRequest, Misdirected
from ..servers.listening import listening_at
from .host_template import Matched
from .origin import own_address
from .target import NO_PARAMS, Form

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_TEMPLATE = re.compile(
    r"(?P<name>[a-z0-9](?:[a-z0-9\-._]*[a-z0-9])?|\[[0-9a-f:.]+\]|):\{port(?P<offset>[+-][0-9]{1,5})?\}"
)
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.\-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
_AUTHORITY = re.compile(r"(?P<name>\[[^\]]*\]|[^:]*)(?::(?P<number>[0-9]*))?")
_DEFAULT_NUMBER = {"http": 80, "https": 443}
_LAST_PORT = 65535
_LONGEST_NAME = 253  # octets; RFC 1035 section 2.3.4
_LONGEST_HOST = 512  # characters of a Host header that is looked into
_OF_SERVICES = frozenset({"127.0.0.1", "::1"})
_HINT = "Use the address to which the application leads you."


def is_port_template(template: str) -> bool:
    """Whether a template names services by a port of the site, instead of by a host name."""
    return ":{port" in template


class PortTemplate:
    """A compiled template: the site's name, or nothing for any name, and `:{port}` or
    `:{port+20000}`.

    The number in a URL is the service's port plus the offset. belongs: the ports whose numbers are
    services', whether these may be opened or not; all other numbers are the wrapped app's.
    is_relayed: whether requests for a number may reach this process on another port, because we
    listen on that number ourselves and pass the connections on.

    Raises `ValueError` for an invalid template.
    """

    form = Form.PORT
    names: frozenset[str] = frozenset()

    def __init__(
        self,
        template: str,
        belongs: Container[int],
        is_relayed: Callable[[int], bool] = lambda number: False,
    ) -> None:
        match = _TEMPLATE.fullmatch(template)
        if match is None:
            raise ValueError(
                "host_template takes the site's name and one port, such as "
                f"'app.example.com:{{port}}' or ':{{port+20000}}', not {template!r}"
            )
        self.name = match["name"]
        self.offset = int(match["offset"] or 0)
        if abs(self.offset) >= _LAST_PORT:
            raise ValueError(f"host_template adds more than there are ports: {template!r}")
        self._belongs = belongs
        self._is_relayed = is_relayed

    def number_of(self, port: int) -> int | None:
        """The number in the URLs of a service; None if it has none."""
        number = port + self.offset
        return number if 0 < number <= _LAST_PORT and self._is_services(port) else None

    def _port_of(self, number: int) -> int | None:
        port = number - self.offset
        return port if 0 < port <= _LAST_PORT and self._is_services(port) else None

    def _is_services(self, port: int) -> bool:
        try:
            return port in self._belongs
        except Exception as error:
            raise AuthorizerFailed("the container of services' ports raised") from error

    def match(self, environ: WSGIEnvironment) -> Matched | None:
        """The port in the request's Host; None if the number is the wrapped app's.

        Raises `Misdirected` if the request came on a connection to another port (RFC 9110 section
        7.4), or with another name, `BadRequest` for a number that is not plainly written, and
        `AuthorizerFailed` if the container of ports raised.
        """
        scheme = environ.get("wsgi.url_scheme", "http")
        host = environ.get("HTTP_HOST") or f"{environ.get('SERVER_NAME')}:{_told(environ)}"
        parsed = _AUTHORITY.fullmatch(host) if len(host) <= _LONGEST_HOST else None
        if parsed is None:
            number = 0
        elif parsed["number"]:
            number = int(parsed["number"][:9])
        else:
            number = _DEFAULT_NUMBER.get(scheme, 0)
        port = self._port_of(number)
        told = _told(environ)
        if told != number and (self._port_of(told) is not None or self._is_forged(port, number)):
            raise Misdirected(
                "This address is not served on this port.",
                _HINT,
                detail=f"Host names port {number}, the connection is to port {told}",
            )
        if port is None:
            return None
        assert parsed is not None
        if parsed["number"] and parsed["number"] != str(number):
            raise BadRequest("The port in the Host header is not a plain number.")
        name = parsed["name"].removesuffix(".").lower()
        if self.name and name != self.name:
            raise Misdirected(
                "This site is not served under that host name.",
                _HINT,
                detail="Host is not the name in host_template",
            )
        return Matched(str(port), NO_PARAMS)

    def _is_forged(self, port: int | None, number: int) -> bool:
        """Whether a service's number is in the Host of a request that did not come on it although
        this server itself listens there. Behind a front end it does not."""
        if port is None or self._is_relayed(number):
            return False
        # With an offset of 0, the service may be of this process and listen beside the server.
        return not listening_at(number) <= (frozenset() if self.offset else _OF_SERVICES)

    def authority(
        self, port: int, params: Mapping[str, str], environ: WSGIEnvironment
    ) -> str | None:
        """The authority of a link to a port; None if the port has no number here."""
        number = self.number_of(port)
        name = self.name or own_address(environ).host
        if number is None or len(name) > _LONGEST_NAME or _NAME.fullmatch(name) is None:
            return None
        is_default = _DEFAULT_NUMBER.get(environ.get("wsgi.url_scheme", "http")) == number
        return name if is_default else f"{name}:{number}"


def _told(environ: WSGIEnvironment) -> int:
    """The port on which the request came, as the server tells; 0 if it does not."""
    port = str(environ.get("SERVER_PORT", ""))
    return int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0


def port_addresses(template: str, ports: Iterable[int], address: str = "0.0.0.0") -> list[str]:  # noqa: S104  # nosec B104
    """The addresses on which a server has to listen for the port form, such as `0.0.0.0:36006`.

    For gunicorn's `bind`, waitress's `listen` and the like. template: as in
    `UrlForms.host_template`. ports: the services' ports. address: of this machine, IPv6 in brackets
    (`[::]`); with an offset of 0 it must not be loopback or all addresses, where the services are.

    Raises `ValueError` for an invalid template, or a port without a number.
    """
    made = PortTemplate(template, range(1, _LAST_PORT + 1))
    addresses = []
    for port in ports:
        number = made.number_of(port)
        if number is None:
            raise ValueError(f"port {port} has no number in the template {template!r}")
        addresses.append(f"{address}:{number}")
    return addresses
