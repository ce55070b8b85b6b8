"""Takes the visitor's connection out of a WSGI server that is still using it.

A dummy takes over the server's descriptor number: a socket at end of input that swallows everything
written to it. The server goes on as usual, with its own accounting and access log, and closes the
dummy; the visitor's connection is ours. `detach()` or a plain `dup` would not be enough: several
servers end a connection with `shutdown()`, or read from it while closing.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from ..errors import TooManyTunnels
from ..locate.visit import Visit
from ..upstream import descriptors
from ..upstream.pool import idle
from .shared import relay

if TYPE_CHECKING:
    from ..settings import Limits

_DESCRIPTORS_PER_TUNNEL = 2  # visitor and service; the dummy is closed at once
_PORTS = 2  # by default it takes this many ports to use up all places
# TCP keep-alive, in seconds and probes: a vanished machine is noticed after about two minutes.
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


class Hijacked(NamedTuple):
    """The visitor's connection, the bytes that the server had read past the request, and our end
    of the dummy, which must stay open until the server closes the other end."""

    sock: _socket.socket
    read_ahead: bytes
    dummy: _socket.socket


class Hijacker:
    """Hijacks connections for the relay, within the limits of a `PortProxy`."""

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.tunnels
        self._limit_of_port = limits.tunnels_per_port

    def check_room(self, port: int) -> None:
        """Raise `TooManyTunnels` if there is no room for another tunnel to a port. Only visitors
        who may use the port should learn this."""
        places, (limit, limit_of_port) = relay().places, self._limits()
        if places.taken >= limit or places.taken_to(port) >= limit_of_port:
            raise self._too_many(port)

    def take_place(self, port: int) -> None:
        """Take a place in the relay, for a tunnel to use or the caller to give back. Raises
        `TooManyTunnels`, or OSError if the relay cannot start."""
        relay().start()
        limit, limit_of_port = self._limits()
        if not relay().places.take(port, limit=limit, limit_of_port=limit_of_port):
            raise self._too_many(port)

    def hijack(self, visit: Visit, port: int) -> Hijacked:
        """Take a place, and take the visitor's connection out of its server.

        Raises `TooManyTunnels` if all places are taken, or OSError if the process has no descriptor
        to spare or the visitor is gone. The server then keeps the connection.
        """
        self.take_place(port)
        try:
            try:
                return hijack(visit)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not idle.close_all():
                    raise
                return hijack(visit)
        except BaseException:
            relay().places.give_back(port)
            raise

    def _limits(self) -> tuple[int, int]:
        """The limit for all tunnels of the process, and the limit for tunnels to one port."""
        limit, of_port = self._limit, self._limit_of_port
        if limit is None:
            limit = descriptors.ours() // _DESCRIPTORS_PER_TUNNEL
        return limit, -(-limit // _PORTS) if of_port is None else of_port

    def _too_many(self, port: int) -> TooManyTunnels:
        places, (limit, limit_of_port) = relay().places, self._limits()
        return TooManyTunnels(
            f"Too many WebSockets are open; another one to port {port} cannot be opened.",
            "Close some pages, or try again later.",
            detail=f"{places.taken} of {limit} tunnels are open, {places.taken_to(port)} of "
            f"{limit_of_port} to this port",
        )


def hijack(visit: Visit) -> Hijacked:
    """Take the connection of this request out of its server.

    Raises OSError if the process has no descriptor to spare or the visitor is gone. The server then
    keeps the connection.
    """
    adapter, servers = visit.server, visit.socket
    assert adapter is not None, "checked before"
    assert servers is not None
    number = servers.fileno()
    connection = os.fstat(number).st_ino
    with contextlib.ExitStack() as undo:
        dummy, replacement = _socket.socketpair()
        undo.callback(dummy.close)
        undo.callback(replacement.close)
        sock = _duplicate(number)
        undo.callback(sock.close)
        # The last descriptors are left to the server, to accept visitors.
        if descriptors.are_scarce(sock.fileno()) and not idle.close_all():
            raise OSError(errno.EMFILE, "the last free descriptors are reserved for the server")
        _keep_alive(sock)
        dummy.shutdown(_socket.SHUT_WR)
        read_ahead = adapter.read_ahead(visit.environ)
        # If the server has closed the connection meanwhile, its number may be another visitor's:
        # check that it is still the socket that was duplicated.
        if not os.fstat(number).st_ino == os.fstat(sock.fileno()).st_ino == connection:
            raise OSError(errno.EBADF, "the server has closed the connection")
        os.dup2(replacement.fileno(), number, inheritable=False)
        undo.pop_all()
    replacement.close()
    return Hijacked(sock, read_ahead, dummy)


def _duplicate(fd: int) -> _socket.socket:
    duplicate = os.dup(fd)
    try:
        return _socket.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        raise


def _keep_alive(sock: _socket.socket) -> None:
    if sock.family not in (_socket.AF_INET, _socket.AF_INET6):
        return
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)
    sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    for name, value in _KEEPALIVE:
        if hasattr(_socket, name):
            sock.setsockopt(_socket.IPPROTO_TCP, getattr(_socket, name), value)
