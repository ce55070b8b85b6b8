"""Reads from a socket without releasing the interpreter's lock (the GIL).

Python releases the GIL around each socket call. When the call ends, after a microsecond or two,
another thread may hold the GIL, and getting it back costs more than the call
(benchmarks/history.md). So small reads go through the C library, with the GIL held. Large reads
release it as usual, since they copy for long enough that others can use it. So do sends, which on
loopback include the receiver's share of the kernel's work.
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
except (ImportError, OSError, AttributeError):  # no ctypes, or it finds no C library
    _recv = None
else:
    _recv.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    _recv.restype = ctypes.c_ssize_t
    _unread = ctypes.create_string_buffer(1)  # takes a byte that nobody reads

SMALL = 65536  # bytes; larger reads release the lock
_READ, _PEEK = int(socket.MSG_DONTWAIT), int(socket.MSG_DONTWAIT | socket.MSG_PEEK)
_WOULD_WAIT = (errno.EAGAIN, errno.EWOULDBLOCK)
# Buffers of `SMALL` bytes each. Another thread may get the lock before the bytes are copied out, so
# each read has its own buffer: there are as many as there ever were reads at once.
_blocks: deque[Any] = deque()


def receive(sock: socket.socket, size: int) -> bytes:
    """Same as `sock.recv(size)` on a non-blocking socket, errors included."""
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

    The check clears an error from the socket, so a socket that is not silent must be closed.
    """
    if _recv is None:
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        return not poller.poll(0)
    return _recv(sock.fileno(), _unread, 1, _PEEK) < 0 and ctypes.get_errno() in _WOULD_WAIT
