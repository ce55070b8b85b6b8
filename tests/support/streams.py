"""Streams in a test's hands: what the service sends when, when a response left, how it ended."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Callable

from .chosen import settings
from .chunks import chunk, plain
from .client import Client, Reply, ask, request_bytes
from .servers import Server
from .urls import path_form
from .waiting import until

Encode = Callable[[bytes], bytes]

_numbers = itertools.count()


def stream_target(port: int) -> str:
    """The target of a request to a service, which no other request of the test run has."""
    return path_form(port, f"/stream-{next(_numbers)}-")


def has_left(host: Server, target: str) -> bool:
    """Whether the response to `target` left its thread, or ended: gunicorn then logs the access."""
    return f"{target} HTTP" in host.output()


def leaving(host: Server, target: str) -> None:
    """Wait until the response to `target`, which has not ended, has left its thread."""
    until(lambda: has_left(host, target), "the response leaves its thread")


def state(port: int) -> dict[str, int]:
    """What the worker holds: `streams` in the relay, `threads`."""
    reply = ask(port, "GET", "/state")
    assert reply.status == 200
    return json.loads(reply.body)  # type: ignore[no-any-return]


class StreamVisitor(Client):
    """A client that knows whether its connection was reset.

    `receive_buffer`: bytes that the kernel keeps for it while it does not read; 0: its own choice.
    """

    def __init__(self, port: int, *, receive_buffer: int = 0) -> None:
        self.was_reset = False
        if receive_buffer:
            self.sock = socket.socket()
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.sock.settimeout(30)
            self.sock.connect(("127.0.0.1", port))
            self.buffer = b""
        else:
            super().__init__(port, timeout=30)

    def ask(
        self, target: str, version: str = "HTTP/1.1", *, method: str = "GET", app: str = ""
    ) -> None:
        """`app`: the one to choose, where the server has several."""
        request = request_bytes(method, target, headers=settings(app) if app else [])
        self.send(request.replace(b"HTTP/1.1", version.encode(), 1))

    def fill(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            self.was_reset = True
            return False
        self.buffer += data
        return bool(data)

    def reply(self, *, method: str = "GET") -> Reply:
        """As a client that takes a reset for what it is: the body was cut."""
        reply = super().reply(method=method)
        reply.complete = reply.complete and not self.was_reset
        return reply

    def read_until(self, mark: bytes) -> None:
        """Take what comes, up to and with `mark`; fails if the connection ends or falls silent."""
        while mark not in self.buffer:
            assert self.fill(), f"closed before {mark!r}: {self.buffer!r}"
        self.buffer = self.buffer.partition(mark)[2]

    def is_closed(self) -> bool:
        """Wait for what comes; whether that is a proper end of the connection."""
        return not self.fill() and not self.was_reset


class Framing:
    """How a service frames a body. `close`: it ends with the connection."""

    def __init__(self, name: str, line: bytes, encode: Encode = plain, end: bytes = b"") -> None:
        self.name = name
        self.close = not end and b"Content-Length" not in line
        self.encode = encode
        self.end = end
        self._line = line

    def head(self, length: int, content_type: bytes = b"application/octet-stream") -> bytes:
        line = self._line.replace(b"LENGTH", b"%d" % length)
        return line + b"Content-Type: " + content_type + b"\r\n\r\n"

    def __repr__(self) -> str:
        return self.name


LENGTH = Framing("length", b"HTTP/1.1 200 OK\r\nContent-Length: LENGTH\r\n")
CHUNKED = Framing(
    "chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", chunk, b"0\r\n\r\n"
)
CLOSE = Framing("close", b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
HTTP_1_0 = Framing("http-1.0", b"HTTP/1.0 200 OK\r\n")
HTTP_1_0_LENGTH = Framing("http-1.0-length", b"HTTP/1.0 200 OK\r\nContent-Length: LENGTH\r\n")
FRAMINGS = (LENGTH, CHUNKED, CLOSE, HTTP_1_0, HTTP_1_0_LENGTH)
