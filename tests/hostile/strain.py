"""What these tests strain a host with: many visitors at once, and services that never end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.procfs import resident_mib, worker_of
from tests.support.servers import Server
from tests.support.service import Exchange, Service
from tests.support.urls import query_form
from tests.support.waiting import PATIENCE

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def target(upstream: Service) -> str:
    return query_form(upstream.port, "/x")


@contextmanager
def little_memory(server: Server, mib: float) -> Iterator[None]:
    """The worker takes no more than that in the block."""
    before = resident_mib(worker_of(server))
    yield
    assert resident_mib(worker_of(server)) - before < mib


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
        """Wait until nothing has been sent for a while: everybody in between is full. Where that is
        seen too early, more may follow, and less is found fault with."""
        last, since = self.sent, time.monotonic()
        deadline = since + PATIENCE
        while time.monotonic() - since < 0.3:
            assert time.monotonic() < deadline, "it goes on and on"
            time.sleep(0.01)
            if self.sent != last:
                last, since = self.sent, time.monotonic()
