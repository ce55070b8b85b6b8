"""Waiting for what will happen, without fixed sleeps."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from .service import Exchange

T = TypeVar("T")

PATIENCE = 30.0  # seconds; only ever waited out by a test that fails


def until(condition: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """The first true value of `condition`; an AssertionError if there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.005)
    return value


class Steps:
    """A script that answers one request in pieces, each only when the test says so.

    `go()` lets it send the next piece. After the last it waits for `go()` once more and closes.
    """

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self._permits = threading.Semaphore(0)

    def go(self, steps: int = 1) -> None:
        self._permits.release(steps)

    def __call__(self, exchange: Exchange) -> None:
        exchange.read_head()
        for piece in self._pieces:
            if not self._may_go_on(exchange):
                return
            exchange.send(piece)
        self._may_go_on(exchange)

    def _may_go_on(self, exchange: Exchange) -> bool:
        """Wait for `go()`; False if the proxy closed the connection instead."""
        while not self._permits.acquire(timeout=0.02):
            if peer_left(exchange.sock):
                return False
        return True


def peer_left(sock: socket.socket) -> bool:
    """Whether the other side has closed, also behind bytes that were not read yet."""
    poller = select.poll()
    poller.register(sock, select.POLLRDHUP)  # a hang-up or an error is always told
    return bool(poller.poll(0))
