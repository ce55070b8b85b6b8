"""How a connection ends, or does not: the ways that peers of a proxy find."""

from __future__ import annotations

import socket
import ssl
import struct
import time

_RESET = struct.pack("ii", 1, 0)  # struct linger: closing resets (socket(7))
_STOPPED = 0.3  # seconds without progress; the kernel probes a full receiver after 0.2


def close(sock: socket.socket) -> None:
    """Close in order."""
    # Another thread may be waiting in recv, which would keep the connection open.
    try:
        sock.shutdown(socket.SHUT_RDWR)
    finally:
        sock.close()


def reset(sock: socket.socket) -> None:
    """Break the connection off; what was sent before may be lost."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


def half_close(sock: socket.socket) -> None:
    """Say that nothing more will be sent, and go on reading."""
    sock.shutdown(socket.SHUT_WR)


def send_until_stopped(sock: socket.socket, *, limit: int = 1 << 28) -> int:
    """Send until the other side has taken nothing for a while; how many bytes that were."""
    block = b"\xff" * 65536  # read as frames: the beginning of one without an end
    sent, stopped = 0, time.monotonic() + _STOPPED
    sock.setblocking(False)
    while time.monotonic() < stopped:
        try:
            sent += sock.send(block)
        except (BlockingIOError, ssl.SSLWantWriteError):
            time.sleep(0.005)
            continue
        assert sent < limit, "nothing stops the sender"
        stopped = time.monotonic() + _STOPPED
    sock.settimeout(10)
    return sent
