"""Accepts connections on a service's number in the relay's thread, and passes them on to the
server's own listener.

Bytes pass as they are, TLS too, so a request reaches the application like any other; only its Host
tells the port.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
from _thread import LockType
from typing import Any, NamedTuple

from ..upstream import descriptors
from .carrier import Carrier
from .records import NewTunnel

BACKLOG = 128  # connections that wait to be accepted
_ACCEPTED = 8  # connections accepted in one turn of the relay
_IDLE = 86400.0  # seconds; the server and the visitor have their own ideas of an idle connection
_IN = 0x001  # linux/eventpoll.h; absent from gevent's select
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listener(NamedTuple):
    """A socket that listens on a service's number. server: family and address of the server's own
    listener. proxy_protocol: see `Listen`."""

    sock: _socket.socket
    fd: int
    server: tuple[int, Any]
    proxy_protocol: bool


class Closed(NamedTuple):
    """An order to stop accepting. done: a lock that is held until that has happened."""

    listener: Listener
    done: LockType | None = None


class Accepting:
    """All listeners of the process. Used by the relay's thread only."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._listeners: dict[int, Listener] = {}
        self._resting: list[Listener] = []  # until descriptors are free again

    @property
    def rests(self) -> bool:
        """Whether `go_on` has to be called about once a second."""
        return bool(self._resting)

    def begin(self, new: Listener | Closed) -> None:
        """Begin to accept, or stop."""
        if isinstance(new, Listener):
            self._listeners[new.fd] = new
            self._watch(new)
            return
        self._close(new.listener)
        if new.done is not None:
            new.done.release()

    def _close(self, listener: Listener) -> None:
        if self._listeners.get(listener.fd) is not listener:
            return  # closed already
        del self._listeners[listener.fd]
        if listener in self._resting:
            self._resting.remove(listener)
        else:
            self._carrier.epoll.unregister(listener.fd)
        with contextlib.suppress(OSError):  # visitors who have connected already
            for _ in range(BACKLOG):
                self._accept(listener)
        listener.sock.close()

    def on_event(self, fd: int) -> bool:
        """Accept some connections, if the descriptor is a listener's. Returns whether it is."""
        listener = self._listeners.get(fd)
        if listener is None:
            return False
        try:
            for _ in range(_ACCEPTED):
                self._accept(listener)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno in _SCARCE:  # it would be reported again at once
                self._resting.append(listener)
                self._carrier.epoll.unregister(fd)
        return True

    def stop(self) -> None:
        """At the end of the process: leave new connections to others who listen there."""
        for listener in list(self._listeners.values()):
            self.begin(Closed(listener))

    def go_on(self) -> None:
        """Accept again."""
        resting, self._resting = self._resting, []
        for listener in resting:
            self._watch(listener)

    def _watch(self, listener: Listener) -> None:
        try:
            self._carrier.epoll.register(listener.fd, _IN)
        except OSError:  # out of memory, or over the user's limit of epoll watches (epoll(7))
            self._resting.append(listener)

    def _accept(self, listener: Listener) -> None:
        fd, peer = listener.sock._accept()  # type: ignore[attr-defined]
        visitor = _socket.socket(fileno=fd)
        family, address = listener.server
        server = None
        try:
            server = _socket.socket(family, _socket.SOCK_STREAM)
            # The server may still have to accept its side of each.
            if descriptors.are_scarce(server.fileno() + self._carrier.raw):
                raise OSError(errno.EMFILE, "the last descriptors are the server's")
            for sock in (visitor, server):
                if sock.family != _socket.AF_UNIX:
                    sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            server.setblocking(False)
            line = _proxy_line(visitor, peer) if listener.proxy_protocol else b""
            with contextlib.suppress(BlockingIOError):  # the connection is being made
                server.connect(address)
        except OSError as error:
            visitor.close()
            if server is not None:
                server.close()
            if error.errno in _SCARCE:
                raise
            return
        self._carrier.begin(
            NewTunnel(
                port=0,
                visitor=visitor,
                service=server,
                to_visitor=b"",
                to_service=line,
                dummy=None,
                idle_timeout=_IDLE,
                is_raw=True,
            )
        )

    def abandon(self) -> None:
        """In a forked child: close the copies of the parent's sockets."""
        for listener in self._listeners.values():
            listener.sock.close()


def _proxy_line(visitor: _socket.socket, peer: Any) -> bytes:
    """The line that tells a server the visitor's address (HAProxy's PROXY protocol, version 1)."""
    own = visitor.getsockname()
    version = 6 if visitor.family == _socket.AF_INET6 else 4
    there, here = (name[0].partition("%")[0] for name in (peer, own))  # without an IPv6 zone
    return f"PROXY TCP{version} {there} {here} {peer[1]} {own[1]}\r\n".encode("ascii")
