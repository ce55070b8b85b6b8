"""The client of the comparison, a process of its own: `python -m benchmarks.peers.client`.

As plain as it can be, since it shares the cores with what it measures. It says that it is ready,
and obeys lines of JSON on standard input with a line of JSON each. "do" names what:

rate: `request` over `connections` that are kept, for `seconds`; see `rate`.
down: one download of `size` bytes; up: one upload of so many; `seconds`, or an `error`.
first: first bytes of two servers in turns; see `first`.
"""

from __future__ import annotations

import gc
import json
import re
import select
import socket
import sys
import time
from typing import Any

from .heads import SMALL

_PATIENCE = 60.0  # seconds for anything to come
_BLOCK = 1 << 20  # bytes of an upload or a download at a time
_OK = b"HTTP/1.1 200"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Failed(Exception):
    """A contestant did not answer as it should."""


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Whole:
    """Whether an answer has come whole, and is the small file. The first one is taken apart; the
    others are as long, which leaves a comparison to do."""

    def __init__(self) -> None:
        self._size = -1
        self._end = b""

    def __call__(self, data: bytes) -> bool:
        if len(data) == self._size and data.startswith(_OK) and data.endswith(self._end):
            return True
        head, end, body = data.partition(b"\r\n\r\n")
        if not end:
            return False
        if not data.startswith(_OK):
            raise Failed(f"the answer: {data[:300]!r}")
        if _CHUNKED.search(head):
            if not body.endswith(_LAST_CHUNK):
                return False
            if SMALL not in body:
                raise Failed(f"another body: {data[:300]!r}")
            self._end = body[body.index(SMALL) :]
        else:
            length = _LENGTH.search(head)
            if length is None:
                raise Failed(f"an answer without a length: {head!r}")
            if len(body) < int(length[1]):
                return False
            if body != SMALL:
                raise Failed(f"another body: {data[:300]!r}")
            self._end = SMALL
        self._size = len(data)
        return True


class Load:
    """Requests one after the other on each of some connections that are kept."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port, self._request = port, request
        self._whole, self._poll = Whole(), select.epoll()
        self._socks: dict[int, socket.socket] = {}
        self._partial: dict[int, bytes] = {}
        self._sent_at: dict[int, float] = {}
        self.times: list[float] = []
        self.closed = 0

    def run(self, connections: int, seconds: float) -> None:
        until = time.perf_counter() + seconds
        try:
            for _ in range(connections):
                self._begin()
            while self._socks:
                ready = self._poll.poll(_PATIENCE)
                if not ready:
                    raise Failed(f"silence for {_PATIENCE:g} seconds")
                for fd, _ in ready:
                    self._read(fd, until)
        finally:
            self._poll.close()
            for sock in self._socks.values():
                sock.close()

    def _begin(self) -> None:
        sock = connect(self._port)
        sock.setblocking(False)
        self._socks[sock.fileno()] = sock
        self._partial[sock.fileno()] = b""
        self._poll.register(sock, select.EPOLLIN)
        self._sent_at[sock.fileno()] = time.perf_counter()
        sock.send(self._request)

    def _read(self, fd: int, until: float) -> None:
        sock, partial = self._socks[fd], self._partial[fd]
        data = sock.recv(65536)
        now = time.perf_counter()
        if not data:
            self.closed += 1
            if partial or self.closed > len(self.times) + len(self._socks):
                raise Failed("the connection was closed instead of an answer")
            self._end(fd)
            self._begin()
            return
        if partial:
            data = partial + data
        if not self._whole(data):
            self._partial[fd] = data
            return
        if partial:
            self._partial[fd] = b""
        self.times.append(now - self._sent_at[fd])
        if now < until:
            self._sent_at[fd] = now
            sock.send(self._request)
        else:
            self._end(fd)

    def _end(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._socks.pop(fd).close()


def rate(port: int, request: bytes, connections: int, seconds: float) -> dict[str, Any]:
    """requests, seconds; p50, p99: milliseconds from sending a request to the end of its answer;
    closed: how often the server closed a connection between two requests, which is opened anew."""
    load = Load(port, request)
    start = time.perf_counter()
    load.run(connections, seconds)
    took = time.perf_counter() - start
    times = load.times
    return {"requests": len(times), "seconds": took, "closed": load.closed, **quantiles(times)}


def quantiles(times: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    times = sorted(times)
    return {"p50": times[len(times) // 2] * 1e3, "p99": times[len(times) * 99 // 100] * 1e3}


def down(port: int, request: bytes, size: int) -> dict[str, Any]:
    """Seconds from connecting to the last byte of a body of `size` bytes."""
    buffer = memoryview(bytearray(_BLOCK))
    start = time.perf_counter()
    with connect(port) as sock:
        sock.sendall(request)
        head, begun = read_head(sock)
        if not head.startswith(_OK):
            raise Failed(f"status {head[9:12].decode()}")
        length = _LENGTH.search(head)
        if length is None:
            raise Failed("an answer without a length")
        if int(length[1]) != size:
            raise Failed(f"a body of {int(length[1]):,} bytes")
        came = len(begun)
        while came < size:
            count = sock.recv_into(buffer)
            if not count:
                raise Failed(f"cut off after {came:,} bytes")
            came += count
    return {"seconds": time.perf_counter() - start}


def up(port: int, request: bytes, size: int) -> dict[str, Any]:
    """Seconds from connecting to the sink's answer, which says that all `size` bytes came."""
    block, left = memoryview(bytes(_BLOCK)), size
    start = time.perf_counter()
    with connect(port) as sock:
        try:
            sock.sendall(request)
            while left:
                sock.sendall(block[: min(left, _BLOCK)])
                left -= min(left, _BLOCK)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused; the answer says why, if it can still be read
        try:
            head, body = read_head(sock)
        except ConnectionResetError:
            raise Failed("the connection was reset") from None
        if not head.startswith(_OK):
            raise Failed(f"status {head[9:12].decode()}")
        while not body.rstrip(b"\r\n0").endswith(b"}"):  # 0: of a last chunk
            data = sock.recv(65536)
            if not data:
                break
            body += data
        if b'{"bytes": %d}' % size not in body:
            raise Failed(f"the sink says {body[:100]!r}")
    return {"seconds": time.perf_counter() - start}


def read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    """The head of an answer, and what came of its body with it."""
    data = b""
    while True:
        head, end, begun = data.partition(b"\r\n\r\n")
        if end and not head.startswith(b"HTTP/1.1 100"):
            return head, begun
        data = begun if end else data
        received = sock.recv(65536)
        if not received:
            raise Failed(f"the connection was closed: {data[:100]!r}")
        data += received


def first(servers: list[tuple[int, bytes]], count: int, batch: int) -> dict[str, Any]:
    """First bytes, in batches in turns, on one kept connection to each of the servers.

    p50, p99: a list each, of milliseconds, in the order of the servers.
    """
    whole = [Whole() for _ in servers]
    times: list[list[float]] = [[] for _ in servers]
    socks = [connect(port) for port, _ in servers]
    for number in range(2 * (count // batch)):
        which = (number + number // 2) % 2  # 0 1 1 0: neither is always behind the other
        sock, request = socks[which], servers[which][1]
        for _ in range(batch):
            start = time.perf_counter()
            sock.send(request)
            data = sock.recv(65536)
            times[which].append(time.perf_counter() - start)
            while not whole[which](data):
                data += sock.recv(65536)
    for sock in socks:
        sock.close()
    found = [quantiles(each) for each in times]
    return {key: [each[key] for each in found] for key in ("p50", "p99")}


def obey(words: dict[str, Any]) -> dict[str, Any]:
    if words["do"] == "first":
        servers = [(port, request.encode("latin-1")) for port, request in words["servers"]]
        return first(servers, words["count"], words["batch"])
    port, request = words["port"], words["request"].encode("latin-1")
    if words["do"] == "rate":
        return rate(port, request, words["connections"], words["seconds"])
    return (down if words["do"] == "down" else up)(port, request, words["size"])


def main() -> None:
    gc.disable()  # a pause of ours would look like one of theirs; nothing here makes cycles
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        try:
            answer = obey(json.loads(line))
        except (Failed, OSError) as error:
            answer = {"error": str(error) or type(error).__name__}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
