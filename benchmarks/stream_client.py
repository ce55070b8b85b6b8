"""The readers of the streams: one process that holds many, as plain as it can be.

One epoll loop, no asyncio and no HTTP library: a reader that costs more than the relay would hide
what the relay costs. `python -m benchmarks.stream_client` says that it is ready, and obeys lines of
standard input with a line of JSON each; it ends with its standard input.

events PORT PATH STREAMS EVENTS: open event streams; answers when all of them are open.
downloads PORT PATH COUNT RATE: open downloads, to be read at RATE bytes a second each; likewise.
result: for events, wait until all have ended; what came, see `Events.result` and
    `Downloads.result`.
fetch PORT PATH: one download, as fast as it comes: `bytes` and `seconds`.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time
from collections import deque
from typing import Any

from .stream_service import EVENT_SIZE, LAST_CHUNK

_AT_A_TIME = 64  # connections being opened: fewer than any listener's backlog
_EVENT = re.compile(rb"data: ([0-9]{16}) ([0-9]{6})\n\n")
_PATIENCE = 60.0  # seconds without anything at all, which ends the measurement
_TURN = 0.25  # seconds between two reads of a slow download
_SLOW_BUFFER = 65536  # bytes that the kernel keeps for a slow reader: as of one far away
_FRAMINGS = (b"chunked", b"length", b"close")


def connect(
    port: int, path: bytes, field: bytes = b"", *, receive_buffer: int = 0
) -> socket.socket:
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(_PATIENCE)
    sock.connect(("127.0.0.1", port))
    sock.sendall(b"GET %b HTTP/1.1\r\nHost: app.test\r\n%b\r\n" % (path, field))
    return sock


class _Stream:
    __slots__ = ("events", "is_chunked", "length", "sock", "tail")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.tail = b""  # the head until it is whole; then what may begin an event, or the end
        self.events = -1  # seen so far; -1: the head has not come
        self.is_chunked = False
        self.length = -1  # bytes of the body still to come, where that is told


class Events:
    """`count` event streams in all framings, each of `events` events."""

    def __init__(self, port: int, path: bytes, count: int, events: int) -> None:
        self._port, self._path = port, path
        self._count, self._events = count, events
        self._epoll = select.epoll()
        self._streams: dict[int, _Stream] = {}
        self._opened = self._with_head = self._ended = self._delivered = self._wrong = 0
        self._all_open = 0  # when, in nanoseconds
        self._delays: list[int] = []
        self._start = time.monotonic()

    def open(self) -> dict[str, Any]:
        """Open all; those that are open already are read meanwhile."""
        while self._with_head < self._count:
            while self._opened < self._count and self._opened - self._with_head < _AT_A_TIME:
                framing = _FRAMINGS[self._opened % len(_FRAMINGS)]
                path = b"%bevents/%d/%b" % (self._path, self._events, framing)
                sock = connect(self._port, path)
                sock.setblocking(False)
                self._streams[sock.fileno()] = _Stream(sock)
                self._epoll.register(sock.fileno(), select.EPOLLIN)
                self._opened += 1
            self.read_some()
        self._all_open = time.monotonic_ns()
        return {"open": self._count, "seconds": time.monotonic() - self._start}

    def result(self) -> dict[str, Any]:
        """Wait until all have ended.

        expected, delivered: events. ended: streams that ended as they should, all events there.
        p50, p99, max: milliseconds from sending an event to reading it, once all were open."""
        while self._streams:
            self.read_some()
        delays = sorted(self._delays)
        return {
            "expected": self._count * self._events,
            "delivered": self._delivered,
            "ended": self._ended,
            "p50": delays[len(delays) // 2] / 1e6,
            "p99": delays[len(delays) * 99 // 100] / 1e6,
            "max": delays[-1] / 1e6,
        }

    def fileno(self) -> int:
        """Readable when `read_some` has something to read."""
        return self._epoll.fileno()

    def read_some(self) -> None:
        ready = self._epoll.poll(_PATIENCE)
        if not ready:
            raise SystemExit(f"silence: {self._with_head} of {self._count} streams are open")
        for fd, _ in ready:
            stream = self._streams[fd]
            try:
                data = stream.sock.recv(65536)
            except ConnectionError:
                data = b""
            if data:
                self._feed(stream, data)
            else:
                self._end(stream)

    def _feed(self, stream: _Stream, data: bytes) -> None:
        now = time.monotonic_ns()
        data = stream.tail + data
        if stream.events < 0:
            head, end, body = data.partition(b"\r\n\r\n")
            if not end:
                stream.tail = data
                return
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"no stream: {data[:300]!r}")
            stream.is_chunked = b"chunked" in head
            length = re.search(rb"Content-Length: ([0-9]+)", head)
            stream.length = int(length[1]) if length else -1
            stream.events = 0
            self._with_head += 1
            data, fresh = body, len(body)
        else:
            fresh = len(data) - len(stream.tail)
        if stream.length >= 0:
            stream.length -= fresh
        position = 0
        for event in _EVENT.finditer(data):
            if int(event[2]) != stream.events:
                raise SystemExit(f"event {event[2]!r} instead of {stream.events}")
            stream.events += 1
            self._delivered += 1
            if self._all_open and int(event[1]) > self._all_open:
                self._delays.append(now - int(event[1]))
            position = event.end()
        stream.tail = data[max(position, len(data) - EVENT_SIZE - len(LAST_CHUNK)) :]
        if stream.length == 0 or (stream.is_chunked and stream.tail.endswith(LAST_CHUNK)):
            self._end(stream)

    def _end(self, stream: _Stream) -> None:
        whole = stream.events == self._events
        if stream.is_chunked:
            whole = whole and stream.tail.endswith(b"\r\n" + LAST_CHUNK)
        self._ended += whole and stream.length <= 0
        self._epoll.unregister(stream.sock.fileno())
        del self._streams[stream.sock.fileno()]
        stream.sock.close()


class Downloads:
    """`count` downloads without end, read at `rate` bytes a second each."""

    def __init__(self, port: int, path: bytes, count: int, rate: int) -> None:
        self._port, self._path, self._count, self._rate = port, path, count, rate
        self._due: deque[tuple[float, socket.socket]] = deque()
        self._bytes: dict[int, int] = {}  # since all are open, by descriptor
        self._buffer = memoryview(bytearray(rate))
        self._all_open = 0.0

    def open(self) -> dict[str, Any]:
        start = time.monotonic()
        poll = select.poll()
        opening: dict[int, socket.socket] = {}
        while len(self._due) < self._count:
            while len(opening) < min(_AT_A_TIME, self._count - len(self._due)):
                sock = connect(self._port, self._path, receive_buffer=_SLOW_BUFFER)
                sock.setblocking(False)
                opening[sock.fileno()] = sock
                poll.register(sock, select.POLLIN)
            for fd, _ in poll.poll(20):
                poll.unregister(fd)
                sock = opening.pop(fd)
                self._bytes[fd] = 0
                # A place among the turns for each, so that they do not come all at once.
                self._due.append((time.monotonic() + _TURN * (fd % 100) / 100, sock))
            self.read_due()
        self._due = deque(sorted(self._due, key=lambda pair: pair[0]))
        self._bytes = dict.fromkeys(self._bytes, 0)
        self._all_open = time.monotonic()
        return {"open": self._count, "seconds": self._all_open - start}

    def read_due(self) -> float:
        """Read of all whose turn it is; seconds until the next."""
        share = int(self._rate * _TURN)
        while self._due:
            when, sock = self._due[0]
            if (wait := when - time.monotonic()) > 0:
                return wait
            self._due.popleft()
            position = 0
            try:
                while position < share:  # what is there may come in pieces
                    size = sock.recv_into(self._buffer[position:share])
                    if not size:
                        raise SystemExit("a download ended")
                    position += size
            except BlockingIOError:
                pass
            self._bytes[sock.fileno()] += position
            self._due.append((when + _TURN, sock))
        return 0.0

    def result(self) -> dict[str, Any]:
        """mean, least: of all downloads, bytes a second; and then they are closed."""
        seconds = time.monotonic() - self._all_open
        rates = [size / seconds for size in self._bytes.values()]
        for _, sock in self._due:
            sock.close()
        self._due.clear()
        return {"mean": sum(rates) / len(rates), "least": min(rates)}


def fetch(port: int, path: bytes) -> dict[str, Any]:
    """A download to the end of its connection, as fast as it comes."""
    buffer, size = bytearray(1 << 20), 0
    with connect(port, path, b"Connection: close\r\n") as sock:
        start = time.perf_counter()
        while count := sock.recv_into(buffer):
            size += count
        return {"bytes": size, "seconds": time.perf_counter() - start}


def main() -> None:
    print(json.dumps({"ready": True}), flush=True)
    held: Events | Downloads | None = None
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    while True:
        wait = held.read_due() * 1000 if isinstance(held, Downloads) else None
        ready = dict(poll.poll(wait))
        if isinstance(held, Events) and held.fileno() in ready:
            held.read_some()
        if sys.stdin.fileno() not in ready:
            continue
        line = sys.stdin.readline()
        if not line:
            return
        command, *words = line.split()
        if command == "fetch":
            answer = fetch(int(words[0]), words[1].encode())
        elif command == "result":
            assert held is not None
            if isinstance(held, Events):
                poll.unregister(held)
            answer, held = held.result(), None
        else:
            port, path, count, each = int(words[0]), words[1].encode(), int(words[2]), int(words[3])
            if command == "events":
                held = Events(port, path, count, each)
                poll.register(held, select.POLLIN)
            else:
                held = Downloads(port, path, count, each)
            answer = held.open()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
