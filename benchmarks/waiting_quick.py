"""What it costs quick requests that slow ones may leave their thread: next to nothing, it is hoped.

Two `PortProxy` in one process, one with the default `detach_after` and one with None, are asked in
turns, each by a visitor who keeps the connection.
"""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack

from .host import MOUNT, STAYING
from .processes import Program, cpu_seconds
from .report import Row
from .waiting_servers import serving

_IN_A_TURN = 50  # requests of each
_DETACHED_AFTER = 0.03  # seconds: the default of `detach_after`
_WARM = 5  # turns that do not count
_BODY = b"a small answer"


class Visitor:
    """Asks for one path, on one connection as long as the server keeps it."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: app.test\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n"
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0\r\n"
            "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n"
            "Cookie: sessionid=S; csrftoken=C; _xsrf=2|8f0a1c3e|5b7d9f1a; theme=dark\r\n\r\n"
        ).encode()
        self._socket: socket.socket | None = None
        self.asked = 0
        self.closed = 0  # connections, with an answer that came in time
        self.closed_late = 0  # with one that was long enough on its way to leave its thread

    def ask(self) -> float:
        """Seconds of one request. Raises RuntimeError for another answer than a 200."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=30)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start = time.perf_counter()
        self._socket.sendall(self._request)
        answer = b""
        while not answer.endswith(_BODY):
            data = self._socket.recv(65536)
            answer += data
            if not data or not answer.startswith(b"HTTP/1.1 200"[: len(answer)]):
                raise RuntimeError(f"a quick request got {answer[:200]!r}")
        seconds = time.perf_counter() - start
        self.asked += 1
        if b"\r\nconnection: close\r\n" in answer.lower():
            self.close()
            if seconds < _DETACHED_AFTER:
                self.closed += 1
            else:
                self.closed_late += 1
        return seconds

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def quick_rows(name: str, turns: int) -> Iterator[Row]:
    cpu: tuple[list[float], list[float]] = ([], [])
    latency: tuple[list[float], list[float]] = ([], [])
    with ExitStack() as stack:
        server = stack.enter_context(serving(name, "either"))
        port = stack.enter_context(Program("keeping_service", 1)).first["ports"][0]
        visitors = [
            Visitor(server.port, f"{mount}/proxy/{port}/api/kernels") for mount in (MOUNT, STAYING)
        ]
        for visitor in visitors:
            stack.callback(visitor.close)
        for turn in range(-_WARM, turns):
            for which in (0, 1) if turn % 2 else (1, 0):
                before = cpu_seconds(server.pid)
                times = [visitors[which].ask() for _ in range(_IN_A_TURN)]
                used = (cpu_seconds(server.pid) - before) / _IN_A_TURN
                if turn >= 0:
                    cpu[which].append(used)
                    latency[which].append(statistics.median(times))
    title = f"quick requests, {name}"
    for what, found in (("CPU", cpu), ("latency", latency)):
        default, staying = (statistics.median(one) * 1e6 for one in found)
        ratios = tuple(one / other for one, other in zip(*found, strict=True))
        measured = f"{default:,.0f} us, with None {staying:,.0f}"
        ratio = statistics.median(ratios)
        yield Row(f"{title}: {what}", measured, ratio, ("at most", 1.03), "", ratios)
    asked, closed, late = (
        sum(getattr(one, what) for one in visitors) for what in ("asked", "closed", "closed_late")
    )
    measured = f"of {asked:,} requests; {late} that the machine held up were detached"
    yield Row(f"{title}: connections not kept", measured, closed, ("at most", 0))
