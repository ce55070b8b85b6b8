"""The visitors who wait: one process that holds all of them, as plain as it can be.

One epoll loop, no asyncio and no HTTP library, so that it takes little from the server, with which
it shares the cores. Each request has a connection of its own, and the headers of a browser. `python
-m benchmarks.waiting_client` says that it is ready, and obeys lines of standard input with a line
of JSON each; it ends with its standard input.

ask NAME PORT PREFIX COUNT SECONDS SPREAD FOR: COUNT requests for what takes SECONDS. Where SPREAD
    is 0 they are connected first, then sent all at once; else they begin one after the other within
    so many seconds. Whoever is answered asks again, until FOR seconds have passed. - is no PREFIX.
upload NAME PORT PREFIX COUNT SIZE RATE: COUNT bodies of SIZE bytes, at RATE bytes a second each.
left: how many are not answered.
leave: close all of those.
result: wait for all, and tell of those of each NAME, see `Group.result`.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import json
import os
import re
import select
import socket
import sys
import time
from collections import Counter
from typing import Any

_PATIENCE = 60.0  # seconds without anything at all, after which the others count as not answered
_LONGEST = 120.0  # seconds that `result` takes, whatever happens
_TURN = 0.1  # seconds between two pieces of an upload
_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n", re.IGNORECASE)

# What Chromium sends for a `fetch` of a page that is signed in: about a kilobyte.
_HEADERS = (
    "Host: app.test\r\n"
    "Connection: keep-alive\r\n"
    'sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"\r\n'
    "sec-ch-ua-mobile: ?0\r\n"
    'sec-ch-ua-platform: "Linux"\r\n'
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36\r\n"
    "Accept: application/json, text/plain, */*\r\n"
    "X-Requested-With: XMLHttpRequest\r\n"
    "{more}"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: cors\r\n"
    "Sec-Fetch-Dest: empty\r\n"
    "Referer: http://app.test{prefix}/notebooks/experiments/baseline.html?tab=metrics\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7\r\n"
    "Cookie: sessionid=4w0c7d3k5q9z1m8x2b6v0n4f7h1j3l5p; csrftoken=Zk3pQ9sT1vX5bN7mC2lR8wY4hJ6gF0dA"
    "; _xsrf=2|8f0a1c3e|5b7d9f1a3c5e7f90b1d3f5a7c9e1f3b5|1790000000; theme=dark; sidebar=closed; "
    "_ga=GA1.1.1234567890.1790000000\r\n\r\n"
)


class Group:
    """Requests of one NAME. Times are monotonic."""

    def __init__(self, port: int, prefix: str) -> None:
        self.port, self.prefix = port, prefix
        self.seconds = 0.0  # that the service takes for each
        self.until = 0.0  # until when those who are answered ask again
        self.asked = self.answered = 0
        self.wrong: Counter[str] = Counter()
        self.last_sent = self.last_answer = 0.0
        self.delays: list[float] = []

    def result(self) -> dict[str, Any]:
        """asked, answered: requests, and those that got just the 200 that was due; wrong: what the
        others got; last_sent, last_answer: when; p50, p99: seconds from asking to the answer, less
        those of the service."""
        delays = sorted(self.delays) or [0.0]
        return {
            "asked": self.asked,
            "answered": self.answered,
            "wrong": dict(self.wrong),
            "last_sent": self.last_sent,
            "last_answer": self.last_answer,
            "p50": delays[len(delays) // 2] - self.seconds,
            "p99": delays[len(delays) * 99 // 100] - self.seconds,
        }


class Request:
    """One request. body: what is still to be sent of an upload, `piece` bytes in a turn."""

    __slots__ = ("answer", "body", "expected", "group", "head", "piece", "sent_at", "sock")

    def __init__(self, group: Group, head: bytes, expected: bytes, body: bytes = b"") -> None:
        self.group, self.head, self.expected = group, head, expected
        self.body = memoryview(body)
        self.piece = 0
        self.answer = b""
        self.sent_at = 0.0
        self.sock: socket.socket | None = None

    def connect(self) -> int:
        sock = self.sock = socket.socket()
        sock.settimeout(_PATIENCE)
        sock.connect(("127.0.0.1", self.group.port))
        sock.setblocking(False)
        return sock.fileno()

    def send(self) -> None:
        assert self.sock is not None
        self.sock.send(self.head)  # fits, on a new connection
        self.sent_at = self.group.last_sent = time.monotonic()

    def send_piece(self) -> None:
        assert self.sock is not None
        try:
            self.body = self.body[self.sock.send(self.body[: self.piece]) :]
        except BlockingIOError:
            return  # the next turn tries again
        self.group.last_sent = time.monotonic()

    def is_over(self) -> bool:
        """Whether all of an answer is there."""
        head, end, body = self.answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        return bool(end) and length is not None and len(body) >= int(length[1])


class Load:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._groups: dict[str, Group] = {}
        self._by_fd: dict[int, Request] = {}
        self._due: list[tuple[float, int, Request]] = []  # heap: to begin, or to send a piece
        self._numbers = itertools.count()
        self._quiet_since = time.monotonic()

    @property
    def left(self) -> int:
        return len(self._by_fd) + sum(one.sock is None for _, _, one in self._due)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def ask(
        self, name: str, port: int, prefix: str, count: int, times: tuple[float, float, float]
    ) -> None:
        seconds, spread, lasting = times
        group = self._groups[name] = Group(port, prefix)
        now = time.monotonic()
        group.seconds, group.until = seconds, now + lasting
        requests = [self._waiting(group) for _ in range(count)]
        if spread:
            for number, one in enumerate(requests):
                self._later(now + spread * number / count, one)
            return
        for one in requests:
            self._by_fd[one.connect()] = one
        for one in requests:
            self._begin(one)

    def _waiting(self, group: Group) -> Request:
        word = f"{group.asked:06d}"
        group.asked += 1
        head = f"GET {group.prefix}/after/{group.seconds:g}/{word} HTTP/1.1\r\n"
        head += _HEADERS.format(prefix=group.prefix, more="")
        return Request(group, head.encode(), word.encode())

    def upload(self, name: str, port: int, prefix: str, count: int, size: int, rate: int) -> None:
        group = self._groups[name] = Group(port, prefix)
        group.asked = count
        group.seconds = size / rate
        more = f"Content-Length: {size}\r\nContent-Type: application/octet-stream\r\n"
        more += "Origin: http://app.test\r\n"
        requests = []
        for number in range(count):
            body = os.urandom(size)
            head = f"POST {prefix}/upload/{number:06d} HTTP/1.1\r\n"
            head += _HEADERS.format(prefix=prefix, more=more)
            expected = f"{size} {hashlib.sha256(body).hexdigest()}"
            requests.append(Request(group, head.encode(), expected.encode(), body))
        now = time.monotonic()
        for number, one in enumerate(requests):
            one.piece = int(rate * _TURN)
            self._later(now + _TURN * number / count, one)  # not all of them in the same moment

    def turn(self) -> None:
        """Do what is to be done now."""
        for fd, _ in self._epoll.poll(0):
            self._read(fd)
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            when, _, one = heapq.heappop(self._due)
            if one.sock is None:
                self._by_fd[one.connect()] = one
                self._begin(one)
            elif one.sock.fileno() < 0:
                continue  # answered before its body was sent
            else:
                try:
                    one.send_piece()
                except ConnectionError:
                    self._over(one, "reset in mid-body")
                    continue
            if one.body:
                self._later(max(when + _TURN, now), one)

    def wait(self) -> float | None:
        """Milliseconds until `turn` has to be called, with or without an event."""
        return max(0.0, self._due[0][0] - time.monotonic()) * 1000 if self._due else None

    def result(self) -> dict[str, Any]:
        end = time.monotonic() + _LONGEST
        self._quiet_since = time.monotonic()
        while self._by_fd or self._due:
            wait = self.wait()
            select.select([self], [], [], 1.0 if wait is None else min(1.0, wait / 1000))
            self.turn()
            now = time.monotonic()
            if now > end or now - self._quiet_since > _PATIENCE:
                self.give_up("no answer")
        found, self._groups = {name: one.result() for name, one in self._groups.items()}, {}
        return found

    def give_up(self, why: str) -> None:
        """Close all that are left."""
        self._due.clear()
        for one in list(self._by_fd.values()):
            one.group.until = 0.0
            self._over(one, why)

    def _later(self, when: float, one: Request) -> None:
        heapq.heappush(self._due, (when, next(self._numbers), one))

    def _begin(self, one: Request) -> None:
        assert one.sock is not None
        self._epoll.register(one.sock.fileno(), select.EPOLLIN)
        one.send()

    def _read(self, fd: int) -> None:
        one = self._by_fd[fd]
        assert one.sock is not None
        self._quiet_since = time.monotonic()
        try:
            data = one.sock.recv(65536)
        except ConnectionError:
            self._over(one, "reset")
            return
        one.answer += data
        if not data:
            self._over(one, "closed early" if one.answer else "closed without a word")
        elif one.is_over():
            head, _, body = one.answer.partition(b"\r\n\r\n")
            status = head.split(b" ", 2)[1].decode()
            bad = "" if body == one.expected else "another body"
            self._over(one, bad if status == "200" else status)

    def _over(self, one: Request, wrong: str) -> None:
        assert one.sock is not None
        group, now = one.group, time.monotonic()
        self._epoll.unregister(one.sock.fileno())
        del self._by_fd[one.sock.fileno()]
        one.sock.close()
        if wrong:
            group.wrong[wrong] += 1
        else:
            group.answered += 1
            group.last_answer = now
            group.delays.append(now - one.sent_at)
        if now < group.until:
            self._later(now, self._waiting(group))


def main() -> None:
    print(json.dumps({"ready": True}), flush=True)
    load = Load()
    poll = select.poll()
    for source in (sys.stdin, load):
        poll.register(source, select.POLLIN)
    while True:
        ready = dict(poll.poll(load.wait()))
        load.turn()
        if sys.stdin.fileno() not in ready:
            continue
        line = sys.stdin.readline()
        if not line:
            return
        command, *words = line.split()
        answer: dict[str, Any] = {}
        if command == "result":
            answer = load.result()
        elif command == "left":
            answer["left"] = load.left
        elif command == "leave":
            load.give_up("left")
        elif command == "ask":
            name, port, prefix, count, seconds, spread, lasting = words
            times = float(seconds), float(spread), float(lasting)
            load.ask(name, int(port), prefix.strip("-"), int(count), times)
        elif command == "upload":
            name, port, prefix, count, size, rate = words
            load.upload(name, int(port), prefix, int(count), int(size), int(rate))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
