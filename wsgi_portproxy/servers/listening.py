"""Finds the addresses on which this process listens, in whatever server.

Reads the process's own descriptors, since workers inherit the sockets of their server. So a front
end's ports, and those of other programs, are never among them.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import stat
import time

_FOLDERS = ("/proc/self/fd", "/dev/fd")  # Linux, other Unix systems
_AGE = 10.0  # seconds between two searches for a port that was not found


class Listening:
    """The listening TCP sockets of one process, as they were when last looked for."""

    def __init__(self) -> None:
        self._addresses: dict[int, frozenset[str]] = {}
        self._next_search = 0.0

    def at(self, port: int) -> frozenset[str]:
        """The addresses on which this process listens at `port`; empty if there are none, or if the
        system does not show them. A socket that was opened lately may be missing."""
        addresses = self._addresses.get(port)
        if addresses is None and time.monotonic() >= self._next_search:
            self._addresses = _addresses()
            self._next_search = time.monotonic() + _AGE
            addresses = self._addresses.get(port)
        return addresses or frozenset()


def _addresses() -> dict[int, frozenset[str]]:
    found: dict[int, frozenset[str]] = {}
    for fd in _descriptors():
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(fd).st_mode) and (address := _address(fd)):
                host, port = address
                found[port] = found.get(port, frozenset()) | {host}
    return found


def _descriptors() -> list[int]:
    for folder in _FOLDERS:
        with contextlib.suppress(OSError):
            return [int(name) for name in os.listdir(folder) if name.isdigit()]
    return []


def _address(fd: int) -> tuple[str, int] | None:
    """The address of a listening TCP socket; None for any other. Raises `OSError`."""
    sock = _socket.socket(fileno=os.dup(fd))  # a copy: the number may be another's by now
    try:
        if sock.family not in (_socket.AF_INET, _socket.AF_INET6):
            return None
        if not sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN):
            return None
        host, port = sock.getsockname()[:2]
        return host, port
    finally:
        sock.close()


_listening = Listening()


def listening_at(port: int) -> frozenset[str]:
    """The addresses on which this process listens at `port`, see `Listening.at`."""
    return _listening.at(port)


def forget_listening() -> None:
    """Search anew when asked next: this process has begun to listen somewhere."""
    global _listening
    _listening = Listening()


os.register_at_fork(after_in_child=forget_listening)
