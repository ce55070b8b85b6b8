"""Ports in the range that the middleware opens by default, none of which two tests ever share.

A port is bound from when it is given out until the test is over: the kernel gives it to nobody
else meanwhile, in this process or another. A service listens on that socket itself. For a server
in a process of its own the socket stays bound beside it, which Linux allows where both have
SO_REUSEADDR and only one listens; all servers here set it. Where nobody listens, connections are
refused.
"""

from __future__ import annotations

import itertools
import random
import socket

# Those that the documents and the tests themselves name, 15000 or 16006, are left out.
_PORTS = [port for port in range(10300, 19900) if not (port == 12345 or 15000 <= port < 16100)]
_ATTEMPTS = 500  # some ports have connections that ended less than a minute ago
# Each is given out once before any is again, so that a port tells a test's requests apart in a log
# that it shares with others. The shared generator is Hypothesis's to seed.
_turns = itertools.cycle(random.SystemRandom().sample(_PORTS, len(_PORTS)))
_held: list[socket.socket] = []


def bound_socket() -> socket.socket:
    """A TCP socket, not listening yet, bound to a port of 127.0.0.1 that is nobody else's."""
    for _ in range(_ATTEMPTS):
        sock = socket.socket()
        try:
            # Without SO_REUSEADDR, so that a port that is only held by another counts as taken.
            sock.bind(("127.0.0.1", next(_turns)))
        except OSError:
            sock.close()
            continue
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return sock
    raise RuntimeError(f"no free port in {_ATTEMPTS} attempts")


def free_port() -> int:
    """A port that is held until `release`: for a server to listen on, or for nobody."""
    sock = bound_socket()
    _held.append(sock)
    port: int = sock.getsockname()[1]
    return port


def release() -> None:
    """Let go of what `free_port` gave out; whoever is to listen there does so by now."""
    while _held:
        _held.pop().close()
