"""Free ports in the range that the middleware opens by default."""

from __future__ import annotations

import random
import socket


def bound_socket() -> socket.socket:
    """A TCP socket bound to a free port of 127.0.0.1 between 10000 and 20000, not listening yet."""
    for _ in range(200):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", random.randint(10000, 20000)))
        except OSError:
            sock.close()
            continue
        return sock
    raise RuntimeError("no free port between 10000 and 20000")


def free_port() -> int:
    """A port that was free a moment ago."""
    with bound_socket() as sock:
        port: int = sock.getsockname()[1]
        return port
