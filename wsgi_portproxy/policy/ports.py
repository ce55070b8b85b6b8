"""Step 2: whether this deployment opens a port at all, before anybody is asked who may use it.

Owns the allowed ports and the rule that nobody is ever connected to the wrapped app itself.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, TypeAlias

from ..errors import AuthorizerFailed, FieldTooLarge, Loop, MethodNotAllowed, PortNotAllowed
from ..locate.target import Target
from ..servers import VisitorSocket

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


#: Ports that may be opened: a container of ints (`range(10000, 20001)`, `{6006, 8888}`), or a
#: callable that is given the `Target` and returns one (ranges per user or project). The callable
#: is asked once a request, before the authorizer; if it raises, the answer is 503. It is asked
#: again for each other port of this machine that an answer names in a URL.
AllowedPorts: TypeAlias = "Container[int] | Callable[[Target], Container[int]]"
DEFAULT_PORTS = range(10000, 20001)  # 10000 to 20000; no well-known service of a system is there
_LAST_PORT = 65535
# Fields that are read piece by piece, and characters of one; browsers and servers take fewer.
_LOOKED_INTO = ("HTTP_COOKIE", "HTTP_CONNECTION", "HTTP_REFERER")
_LONGEST_FIELD = 65536
_MANY = 16  # ports of its own that a server may have, and be remembered
_LISTED = 8  # the refusal names single ports up to this many; more would not help a person
# CONNECT names another target than the URL; TRACE would show a page the visitor's cookies.
_NEVER_FORWARDED = frozenset({"CONNECT", "TRACE"})


class PortPolicy:
    """Decides on ports. Raises `TypeError` for `allowed` that is neither container nor callable."""

    def __init__(self, allowed: AllowedPorts) -> None:
        no_ports = isinstance(allowed, (str, bytes, type))  # "10000-20000", `range` without a call
        if no_ports or not (callable(allowed) or hasattr(allowed, "__contains__")):
            raise TypeError("ports must be a container of ints, or a callable that returns one")
        self._allowed = allowed
        # A container that is also callable is a container: its meaning is the plainer one.
        self._container = allowed if hasattr(allowed, "__contains__") else None
        self._own_ports: dict[str, frozenset[int]] = {}  # by SERVER_PORT

    def check(self, target: Target, environ: WSGIEnvironment) -> None:
        """Return if the request may go on.

        Raises `FieldTooLarge`, `MethodNotAllowed`, `PortNotAllowed`, and `AuthorizerFailed` if the
        callable, or what it returned, raised.
        """
        if any(len(environ.get(key, "")) > _LONGEST_FIELD for key in _LOOKED_INTO):
            raise FieldTooLarge("A request header is too long; the limit is 64 KiB.")
        if environ["REQUEST_METHOD"] in _NEVER_FORWARDED:
            raise MethodNotAllowed(f"{environ['REQUEST_METHOD']} requests are not forwarded.")
        port = target.port
        allowed = self._allowed_for(target) if self._container is None else self._container
        if not (0 < port <= _LAST_PORT and _holds(allowed, port)):
            raise PortNotAllowed(f"Port {port} is outside allowed range{describe(allowed)}")

    def allows(self, target: Target) -> bool:
        """Whether a port is opened; not either if the callable, or what it returned, raised."""
        try:
            allowed = self._allowed_for(target) if self._container is None else self._container
            return 0 < target.port <= _LAST_PORT and _holds(allowed, target.port)
        except AuthorizerFailed:
            return False

    def check_not_own(
        self, target: Target, environ: WSGIEnvironment, visitor: VisitorSocket | None
    ) -> None:
        """Return unless the server itself listens on the port. Raises `Loop`; so this is for those
        to know who may use ports. `visitor`: its connection, if the server shows it."""
        if target.port in self._known_own_ports(environ, visitor):
            raise Loop(
                f"This application itself listens on port {target.port}.",
                "Start your service on another port.",
            )

    def _known_own_ports(
        self, environ: WSGIEnvironment, visitor: VisitorSocket | None
    ) -> frozenset[int]:
        """As `own_ports`, which asks the system: once for each port that the server says it has.

        One that listens on several may learn of the others never. A request that goes round is
        still known by its Via, see `check_no_loop`. Only what a connection told is
        kept: that of a visitor who is gone says nothing of the next one's.
        """
        told = environ.get("SERVER_PORT", "")
        ports = self._own_ports.get(told)
        if ports is not None:
            return ports
        try:
            ports = own_ports(environ, visitor)
        except OSError:  # uWSGI tells no address, and a visitor who is gone has none
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


def _holds(allowed: Container[int], port: int) -> bool:
    try:
        return port in allowed
    except Exception as error:
        raise AuthorizerFailed("the container of allowed ports raised") from error


def own_ports(environ: WSGIEnvironment, sock: VisitorSocket | None) -> frozenset[int]:
    """The ports that the server took this request on, as far as it tells.

    The socket's own address where it can be seen, since SERVER_PORT may be a front-end's. Raises
    OSError where it tells none.
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
    """The allowed ports in parentheses for the refusal; nothing where they have no short name."""
    if isinstance(allowed, range) and allowed and abs(allowed.step) == 1:
        return f" ({min(allowed)}-{max(allowed)})"
    if isinstance(allowed, (set, frozenset, list, tuple)) and 0 < len(allowed) <= _LISTED:
        return f" ({_list(allowed)})"
    return ""


def _list(ports: Iterable[int]) -> str:
    return ", ".join(str(port) for port in sorted(ports))
