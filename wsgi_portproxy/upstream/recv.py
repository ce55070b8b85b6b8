"""Reading what has come on a socket without giving up the interpreter's lock (the GIL).

Python gives up its lock around each call of a socket, since most of them may wait. These never do,
and take a microsecond or two; but with other threads at work one of them has the lock by then, and
to get it back takes several changes of thread, which cost more than everything else here
(benchmarks/history.md has the measurements). So small reads go through the C library, with the lock
held. Large ones give it up as ever: they copy for long enough that others can use it. So does
sending: on loopback it includes what the kernel does for the receiver.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections import deque
from typing import Any

try:
    import ctypes

    _recv: Any = ctypes.PyDLL(None, use_errno=True).recv
except (ImportError, OSError, AttributeError):  # no ctypes, or no C library to be found by it
    _recv = None
else:
    _recv.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    _recv.restype = ctypes.c_ssize_t
    _unread = ctypes.create_string_buffer(1)  # what comes here is looked at by nobody

SMALL = 65536  # bytes that are read with the lock held, at most
_READ, _PEEK = int(socket.MSG_DONTWAIT), int(socket.MSG_DONTWAIT | socket.MSG_PEEK)
_WOULD_WAIT = (errno.EAGAIN, errno.EWOULDBLOCK)
# Memory to read into, of `SMALL` bytes each. Another thread may get the lock before what was read
# is copied out, so that each read has its own: there are as many as there were reads at a time.
_blocks: deque[Any] = deque()


def receive(sock: socket.socket, size: int) -> bytes:
    """As `sock.recv(size)` of a non-blocking socket, with its errors."""
    if _recv is None or not 0 <= size <= SMALL:
        return sock.recv(size)
    try:
        block = _blocks.pop()
    except IndexError:
        block = ctypes.create_string_buffer(SMALL)
    received = _recv(sock.fileno(), block, size, _READ)
    data: bytes = block[: max(0, received)]
    _blocks.append(block)
    if received < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return data


def is_silent(sock: socket.socket) -> bool:
    """Whether nothing has come on a non-blocking socket: no byte, no end and no error.

    An error is gone from the socket then, so that one which is not silent is to be closed.
    """
    if _recv is None:
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        return not poller.poll(0)
    return _recv(sock.fileno(), _unread, 1, _PEEK) < 0 and ctypes.get_errno() in _WOULD_WAIT
