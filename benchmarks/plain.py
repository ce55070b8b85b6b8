"""Plain requests, one after the other, each on a connection of its own."""

from __future__ import annotations

import socket
import time
from typing import TypeAlias

Times: TypeAlias = list[float]  # seconds of each request


def plain_requests(port: int, path: str, count: int, *, timeout: float = 30) -> Times:
    """GET `path` from 127.0.0.1:`port`; seconds from connecting to the end of each answer."""
    request = f"GET {path} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n".encode()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as sock:
            sock.sendall(request)
            answer = b""
            while data := sock.recv(65536):
                answer += data
        times.append(time.perf_counter() - start)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"GET {path}: {answer[:300]!r}")
    return times
