"""Listens for the port form in this process, for development and small sites, whose server has one
port.

Opens and closes listeners in the server's threads; `accepting` accepts connections in the relay's.
"""

from __future__ import annotations

import _socket
import errno
import os
import threading
from _thread import LockType
from ipaddress import ip_address

from ..locate.visit import Visit
from ..names import log
from ..servers.listening import forget_listening
from ..servers.processes import another_listens
from ..settings import Listen
from .accepting import BACKLOG, Closed, Listener
from .shared import is_available, relay
from .unpatched import unpatched

_CLOSED_WITHIN = 1.0  # seconds; the relay is never busy for so long


class Listeners:
    """Those of one `PortProxy` in this process, the least recently used first. settings: None if it
    opens none."""

    def __init__(self, settings: Listen | None) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._open: dict[int, Listener] = {}
        # Connections go on when their listener is closed, so a number stays known.
        self._numbers: set[int] = set()
        self._closing: dict[int, LockType] = {}  # locks that are held until they are closed

    def is_relayed(self, number: int) -> bool:
        """Whether this process listens on a number, or did, and passes its connections on."""
        return number in self._numbers and self._pid == os.getpid()

    def open(self, number: int, visit: Visit) -> bool:
        """Listen on a number, if that is not done yet. Returns whether somebody listens there: this
        process, or a server or front end if there are no settings."""
        settings = self._settings
        if settings is None:
            return True
        if _is_out_of_reach(settings, visit):
            return False
        with self._lock:
            if self._pid != os.getpid():  # the parent's relay serves the parent's listeners
                self._pid, self._open, self._numbers = os.getpid(), {}, set()
                self._closing = {}
            known = self._open.pop(number, None)
            if known is not None:
                self._open[number] = known
                return True
            try:
                # Two listeners of one number would share its visitors, and one is about to close.
                if (closing := self._closing.pop(number, None)) is not None:
                    closing.acquire(timeout=_CLOSED_WITHIN)
                listener = _listener(settings, number, visit)
            except OSError as error:
                log.warning("cannot listen on port %d: %s", number, error.strerror or error)
                return False
            while len(self._open) >= settings.listeners:
                self._close(next(iter(self._open)))
            self._open[number] = listener
            self._numbers.add(number)
            relay().listen(listener)  # before anybody can order that it be closed
        forget_listening()
        return True

    def close(self) -> None:
        """Stop listening. Connections that were accepted go on."""
        with self._lock:
            if self._pid == os.getpid():
                for number in list(self._open):
                    self._close(number)
            self._open = {}

    def _close(self, number: int) -> None:
        self._closing[number] = done = unpatched("_thread", "allocate_lock")()
        done.acquire()
        relay().listen(Closed(self._open.pop(number), done))


def _is_out_of_reach(settings: Listen, visit: Visit) -> bool:
    """Whether visitors come from elsewhere, and a listener on loopback is none for them."""
    if visit.reached is None or visit.reached[0] == _socket.AF_UNIX:
        return False
    there, own = visit.reached[1][0].partition("%")[0], settings.address
    return ip_address(own).is_loopback and not ip_address(there).is_loopback


def _listener(settings: Listen, number: int, visit: Visit) -> Listener:
    """Begin to listen. Raises `OSError`."""
    if visit.reached is None:
        raise OSError(errno.EOPNOTSUPP, "the server does not show where it listens")
    if not is_available():
        raise OSError(errno.EOPNOTSUPP, "listening needs Linux")
    relay().start()
    family = _socket.AF_INET6 if ":" in settings.address else _socket.AF_INET
    sock = _socket.socket(family, _socket.SOCK_STREAM)
    try:
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        _bind(sock, (settings.address, number), visit)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return Listener(sock, sock.fileno(), visit.reached, settings.proxy_protocol)


def _bind(sock: _socket.socket, address: tuple[str, int], visit: Visit) -> None:
    """Bind to an address where nobody listens but other processes of the same server.

    With SO_REUSEPORT alone, half of the visitors would come to another site of the same user. Set
    after the address was had, it lets those processes in.
    """
    try:
        sock.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        if not another_listens(visit.environ, address[1]):
            raise
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
        sock.bind(address)
    else:
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
