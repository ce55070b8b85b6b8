"""What these tests strain a host with: many visitors at once, and services that never end."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable

from tests.support.service import Exchange, Service
from tests.support.waiting import PATIENCE

# Seconds: the hosts' limit for a head, and the time after which a busy machine is no excuse.
HEAD_TIMEOUT = 2.0
PATIENT = HEAD_TIMEOUT + 8.0
OK_LINE = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK_LINE + b"Transfer-Encoding: chunked\r\n\r\n"


def target(upstream: Service) -> str:
    return f"/alice/vision/x?port={upstream.port}"


def all_at_once(count: int, visit: Callable[[], None]) -> None:
    """`visit` in as many threads; raises what the first of them raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            visit()
        except BaseException as error:
            errors.append(error)

    running = [threading.Thread(target=run) for _ in range(count)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if errors:
        raise errors[0]


class Flood:
    """Sends `first`, then `again` without end, until nobody listens: then it is `over`."""

    def __init__(self, first: bytes, again: bytes) -> None:
        self._first = first
        self._again = again * (65536 // len(again) + 1)
        self.sent = 0
        self.over = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        exchange.read_head()
        try:
            exchange.send(self._first)
            while True:
                exchange.send(self._again)
                self.sent += len(self._again)
        except OSError:
            self.over.set()

    def stands_still(self) -> None:
        """Wait until nothing has been sent for a while: everybody in between is full."""
        last, since = self.sent, time.monotonic()
        deadline = since + PATIENCE
        while time.monotonic() - since < 0.3:
            assert time.monotonic() < deadline, "it goes on and on"
            time.sleep(0.01)
            if self.sent != last:
                last, since = self.sent, time.monotonic()


def reset(sock: socket.socket) -> None:
    """Make it close with an RST instead of a FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
