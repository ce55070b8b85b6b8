"""The service behind requests that wait: answers late, with as little work as Python allows.

One epoll loop, no asyncio and no framework: a service that costs more than the relay would hide
what the relay costs. `python -m benchmarks.waiting_service` prints its port, and serves until its
standard input ends. What it answers, by the path:

/after/SECONDS/WORD: WORD, so long after the request has come.
/upload/WORD: the length and the SHA-256 of the body, which has a Content-Length.
All else: a small page.

To a line of standard input it says what has happened since the one before, see `Service.news`.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import json
import re
import select
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.support.ports import bound_socket

if TYPE_CHECKING:
    from hashlib import _Hash

_BACKLOG = 4096
_LENGTH = re.compile(rb"\r\nContent-Length: *([0-9]+)\r\n", re.IGNORECASE)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b"
_PAGE = b"a small answer"


class _Connection:
    __slots__ = ("hash", "head", "remaining", "size", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.head = b""  # of the request, until it is whole
        self.hash: _Hash | None = None  # of an upload's body, while it comes
        self.size = self.remaining = 0  # bytes of that body


class Service:
    def __init__(self) -> None:
        self._listener = bound_socket()
        self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._due: list[tuple[float, int, bytes, _Connection]] = []  # heap by the time
        self._numbers = itertools.count()
        self._arrived = self._most = 0
        self._last = 0.0

    def news(self) -> dict[str, Any]:
        """arrived, last: requests that wait, since this was last asked, and when the last of them
        came (monotonic); most: of them at a time; waiting: now."""
        waiting = sum(one[3].sock.fileno() >= 0 for one in self._due)
        found = {"arrived": self._arrived, "last": self._last, "most": self._most}
        self._arrived, self._most = 0, waiting
        return {**found, "waiting": waiting}

    def serve(self) -> None:
        """Serve until the end of standard input."""
        listener, control = self._listener.fileno(), sys.stdin.fileno()
        for fd in (listener, control):
            self._epoll.register(fd, select.EPOLLIN)
        while True:
            timeout = max(0.0, self._due[0][0] - time.monotonic()) if self._due else -1
            for fd, _ in self._epoll.poll(timeout):
                if fd == listener:
                    self._accept()
                elif fd == control:
                    if not sys.stdin.readline():
                        return
                    print(json.dumps(self.news()), flush=True)
                else:
                    self._read(self._connections[fd])
            self._answer_due()

    def _accept(self) -> None:
        try:
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections[sock.fileno()] = _Connection(sock)
                self._epoll.register(sock.fileno(), select.EPOLLIN)
        except BlockingIOError:
            pass

    def _read(self, one: _Connection) -> None:
        try:
            data = one.sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._close(one)
        elif one.hash is not None:
            self._take(one, data)
        else:
            one.head += data
            if b"\r\n\r\n" in one.head:
                self._begin(one)

    def _close(self, one: _Connection) -> None:
        self._epoll.unregister(one.sock.fileno())
        del self._connections[one.sock.fileno()]
        one.sock.close()

    def _begin(self, one: _Connection) -> None:
        """Handle a request whose head is there."""
        head, _, body = one.head.partition(b"\r\n\r\n")
        one.head = b""
        _, kind, *words = head.split(b" ", 2)[1].split(b"/")
        if kind == b"after":
            now = time.monotonic()
            self._arrived, self._last = self._arrived + 1, now
            heapq.heappush(self._due, (now + float(words[0]), next(self._numbers), words[1], one))
            self._most = max(self._most, len(self._due))
        elif kind == b"upload":
            length = _LENGTH.search(head + b"\r\n")
            one.hash, one.size = hashlib.sha256(), int(length[1]) if length else 0
            one.remaining = one.size
            self._take(one, body)
        else:
            self._answer(one, _PAGE)

    def _take(self, one: _Connection, data: bytes) -> None:
        assert one.hash is not None
        one.hash.update(data)
        one.remaining -= len(data)
        if one.remaining <= 0:
            answer = b"%d %b" % (one.size - one.remaining, one.hash.hexdigest().encode())
            one.hash = None
            self._answer(one, answer)

    def _answer_due(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, _, word, one = heapq.heappop(self._due)
            if one.sock.fileno() >= 0:  # else it was closed meanwhile
                self._answer(one, word)

    def _answer(self, one: _Connection, body: bytes) -> None:
        try:
            one.sock.send(_ANSWER % (len(body), body))  # an answer is little
        except OSError:
            self._close(one)


if __name__ == "__main__":
    service = Service()
    print(json.dumps({"port": service.port}), flush=True)
    service.serve()
