"""Step 2: check whether this deployment opens a port at all, before the authorizer is asked.

Decides which ports are allowed and which methods are never forwarded, and refuses ports of the
server that runs us. `rewrite.via` refuses requests that come back to it through another port.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, TypeAlias

from ..errors import AuthorizerFailed, HeaderTooLarge, Loop, MethodNotAllowed, PortNotAllowed
from ..locate.target import Target
from ..locate.visit import Visit
from ..servers import VisitorSocket
from ..servers.listening import listening_at
from ..settings import check_callable

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


#: The ports that may be opened: a container of ints (`range(10000, 20001)`, `{6006, 8888}`), or a
#: callable that takes the `Target` and returns one (ranges per user or project). The callable is
#: called once per request, before the authorizer; if it raises, the response is 503. It is called
#: again for each other port of this machine that a response names in a URL.
AllowedPorts: TypeAlias = "Container[int] | Callable[[Target], Container[int]]"
DEFAULT_PORTS = range(10000, 20001)  # 10000 to 20000; no well-known system service is there
_LAST_PORT = 65535
# Headers that we parse, and their longest length in characters; browsers and servers accept less.
_LOOKED_INTO = ("HTTP_COOKIE", "HTTP_CONNECTION", "HTTP_REFERER")
_LONGEST_HEADER = 65536
_MANY = 16  # values of SERVER_PORT whose ports are cached
# The addresses that a connection to 127.0.0.1 reaches, as a listening socket has them.
_REACHED = frozenset({"127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"})  # noqa: S104  # nosec B104
_LISTED = 8  # ports that the refusal lists at most; more would not help a person
# CONNECT names another target than the URL; TRACE would show a page the visitor's cookies.
_NEVER_FORWARDED = frozenset({"CONNECT", "TRACE"})


class PortPolicy:
    """Decides on ports. Raises `TypeError` if `allowed` is neither a container nor a callable."""

    def __init__(self, allowed: AllowedPorts) -> None:
        no_ports = isinstance(allowed, (str, bytes, type))  # "10000-20000", `range` without a call
        if no_ports or not (callable(allowed) or hasattr(allowed, "__contains__")):
            raise TypeError(
                f"ports takes a container of ints such as range(10000, 20001), or a callable, "
                f"ports(target), that returns one, not {allowed!r}"
            )
        if isinstance(allowed, (list, tuple, set, frozenset)):
            for port in allowed:
                if type(port) is not int or not 0 < port <= _LAST_PORT:
                    raise TypeError(f"ports takes ints from 1 to 65535, not {port!r}")
        elif not hasattr(allowed, "__contains__"):
            check_callable("ports", allowed, "ports(target)", 1)
        self._allowed = allowed
        # A container that is also callable counts as a container.
        self._container = allowed if hasattr(allowed, "__contains__") else None
        self._own_ports: dict[str, frozenset[int]] = {}  # by SERVER_PORT

    def check(self, target: Target, environ: WSGIEnvironment) -> None:
        """Raise unless the request may go on: `HeaderTooLarge`, `MethodNotAllowed`,
        `PortNotAllowed`, or `AuthorizerFailed` if the callable, or the container it returned,
        raised.
        """
        for key in _LOOKED_INTO:
            if len(environ.get(key, "")) > _LONGEST_HEADER:
                raise HeaderTooLarge("A request header is too long; the limit is 64 KiB.")
        if environ["REQUEST_METHOD"] in _NEVER_FORWARDED:
            raise MethodNotAllowed(f"{environ['REQUEST_METHOD']} requests are not forwarded.")
        port = target.port
        allowed = self._allowed_for(target) if self._container is None else self._container
        if not (0 < port <= _LAST_PORT and _contains(allowed, port)):
            raise PortNotAllowed(f"Port {port} is outside allowed range{describe(allowed)}")

    def allows(self, target: Target) -> bool:
        """Whether a port may be opened; False if the callable, or the container, raised."""
        try:
            allowed = self._allowed_for(target) if self._container is None else self._container
            return 0 < target.port <= _LAST_PORT and _contains(allowed, target.port)
        except AuthorizerFailed:
            return False

    def check_not_own(self, target: Target, visit: Visit) -> None:
        """Raise `Loop` if the server itself listens where the service would be. Only visitors who
        may use ports should learn this."""
        own = self._known_own_ports(visit.environ, visit.socket)
        if target.port in own and _would_reach_us(target):
            raise Loop(
                f"This application itself listens on port {target.port}.",
                "Start your service on another port.",
            )

    def _known_own_ports(
        self, environ: WSGIEnvironment, visitor: VisitorSocket | None
    ) -> frozenset[int]:
        """The result of `own_ports`, which asks the system, cached for each SERVER_PORT.

        If a front end reports one SERVER_PORT for a server that listens on several ports, we may
        know only one of them. `check_no_loop` still recognises a request that comes back, by its
        Via. Only the ports of open connections are cached: a closed connection says nothing about
        later ones.
        """
        told = environ.get("SERVER_PORT", "")
        ports = self._own_ports.get(told)
        if ports is not None:
            return ports
        try:
            ports = own_ports(environ, visitor)
        except OSError:  # uWSGI shows no address, and a closed connection has none
            return own_ports(environ, None)
        if visitor is not None and len(self._own_ports) < _MANY:
            self._own_ports[told] = ports
        return ports

    def _allowed_for(self, target: Target) -> Container[int]:
        assert callable(self._allowed)
        try:
            allowed = self._allowed(target)
        except Exception as error:
            raise AuthorizerFailed("the ports callable raised") from error
        if not hasattr(allowed, "__contains__"):
            raise AuthorizerFailed(f"the ports callable returned {type(allowed).__name__}")
        return allowed


def _would_reach_us(target: Target) -> bool:
    """Whether a connection to a port of the server itself would reach it.

    In the port form with an offset of 0, the site listens on a port of a public address and the
    service on the same port of loopback. What a front end listens on cannot be seen; a request that
    comes round is recognised by its Via.
    """
    if addresses := listening_at(target.port):
        return not addresses.isdisjoint(_REACHED)
    return not target.form.has_own_number


def _contains(allowed: Container[int], port: int) -> bool:
    try:
        return port in allowed
    except Exception as error:
        raise AuthorizerFailed("the container of allowed ports raised") from error


def own_ports(environ: WSGIEnvironment, sock: VisitorSocket | None) -> frozenset[int]:
    """The ports on which the server accepted this request, as far as we can see.

    Includes the socket's port, if the server shows the socket, since SERVER_PORT may be a front
    end's. Raises `OSError` if the socket has no address.
    """
    ports = set()
    server_port = environ.get("SERVER_PORT", "")
    if server_port.isdecimal():
        ports.add(int(server_port))
    if sock is not None:
        name = sock.getsockname()
        if isinstance(name, tuple):  # a str or bytes: a Unix socket
            ports.add(name[1])
    return frozenset(ports)


def describe(allowed: Container[int]) -> str:
    """The allowed ports in parentheses, for the refusal; "" if they are too many to list."""
    if isinstance(allowed, range) and allowed and abs(allowed.step) == 1:
        return f" ({min(allowed)}-{max(allowed)})"
    if isinstance(allowed, (set, frozenset, list, tuple)) and 0 < len(allowed) <= _LISTED:
        return f" ({_list(allowed)})"
    return ""


def _list(ports: Iterable[int]) -> str:
    return ", ".join(str(port) for port in sorted(ports))
