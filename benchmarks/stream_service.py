"""The service behind the streams: events and downloads, with as little work as Python allows.

One epoll loop, no asyncio and no framework: a service that costs more than the relay would hide
what the relay costs. `python -m benchmarks.stream_service [INTERVAL]` prints its port, and serves
until its standard input ends. What it answers, by the path:

/events/COUNT/FRAMING: COUNT events, the first at once with the head, the others every half second
    or INTERVAL (the times of many are spread evenly). Each says when it was sent, on the monotonic
    clock, which all processes of a machine share. FRAMING is chunked, length or close.
/bytes/SIZE/FRAMING: SIZE bytes, as fast as they are taken.
All else: a small page.
"""

from __future__ import annotations

import heapq
import json
import select
import socket
import sys
import time

from tests.support.ports import bound_socket

INTERVAL = 0.5  # seconds between events, unless another is asked for
EVENT = b"data: %016d %06d\n\n"  # nanoseconds of the monotonic clock, number
EVENT_SIZE = len(EVENT % (0, 0))
LAST_CHUNK = b"0\r\n\r\n"
_PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\na small answer"
_BACKLOG = 4096
_BLOCK = memoryview(bytes(1 << 20))
_CHUNK = memoryview(b"%x\r\n%b\r\n" % (65536, bytes(65536)))  # of a chunked download
_SPREAD = 0.381966  # of an interval, from one stream to the next: the golden ratio spreads evenly


class _Stream:
    """A connection with the rest of an answer: events (`count` of them), or bytes in `out`."""

    __slots__ = ("chunked", "closes", "count", "number", "out", "remaining", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.count = self.number = 0
        self.remaining = 0  # bytes of a download behind `out`
        self.out = memoryview(b"")
        self.chunked = self.closes = False


class StreamService:
    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._listener = bound_socket()
        self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._epoll = select.epoll()
        self._streams: dict[int, _Stream] = {}
        self._due: list[tuple[float, int]] = []  # heap of when, and the descriptor
        self._phase = 0.0

    def serve(self, until: int) -> None:
        """Serve until the descriptor `until` is readable."""
        listener = self._listener.fileno()
        for fd in (listener, until):
            self._epoll.register(fd, select.EPOLLIN)
        while True:
            timeout = max(0.0, self._due[0][0] - time.monotonic()) if self._due else -1
            for fd, event in self._epoll.poll(timeout):
                if fd == listener:
                    self._accept()
                elif fd == until:
                    return
                else:
                    try:
                        self._on_event(self._streams[fd], event)
                    except OSError:
                        self._close(fd)
            self._send_events()

    def _accept(self) -> None:
        try:
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._streams[sock.fileno()] = _Stream(sock)
                self._epoll.register(sock.fileno(), select.EPOLLIN)
        except BlockingIOError:
            pass

    def _close(self, fd: int) -> None:
        self._epoll.unregister(fd)
        self._streams.pop(fd).sock.close()

    def _on_event(self, stream: _Stream, event: int) -> None:
        if event & select.EPOLLOUT:
            self._send_bytes(stream)
            return
        head = stream.sock.recv(65536)
        if not head:
            self._close(stream.sock.fileno())
            return
        _, kind, *parts = head.split(b" ", 2)[1].split(b"/")
        if kind not in (b"events", b"bytes"):
            stream.sock.send(_PAGE)
            return
        framing = parts[1]
        stream.chunked, stream.closes = framing == b"chunked", framing == b"close"
        count = int(parts[0])
        length = count * EVENT_SIZE if kind == b"events" else count
        lines = [b"HTTP/1.1 200 OK", b"Content-Type: application/octet-stream"]
        if kind == b"events":
            lines[1] = b"Content-Type: text/event-stream"
        if framing == b"chunked":
            lines.append(b"Transfer-Encoding: chunked")
        elif framing == b"length":
            lines.append(b"Content-Length: %d" % length)
        else:
            lines.append(b"Connection: close")
        answer = b"\r\n".join(lines) + b"\r\n\r\n"
        if kind == b"events":
            stream.count = count
            self._send_event(stream, answer)
            self._phase = (self._phase + _SPREAD) % 1
            when = time.monotonic() + (0.5 + self._phase / 2) * self._interval
            heapq.heappush(self._due, (when, stream.sock.fileno()))
        else:
            stream.remaining = length
            stream.out = memoryview(answer)
            self._epoll.modify(stream.sock.fileno(), select.EPOLLOUT)

    def _send_events(self) -> None:
        due, now = self._due, time.monotonic()
        while due and due[0][0] <= now:
            when, fd = due[0]
            stream = self._streams.get(fd)
            if stream is None or not stream.count:
                heapq.heappop(due)  # it is gone, or its number is another's
                continue
            try:
                self._send_event(stream, b"")
            except OSError:
                heapq.heappop(due)
                self._close(fd)
                continue
            if stream.number < stream.count:
                heapq.heapreplace(due, (when + self._interval, fd))
            else:
                heapq.heappop(due)
                stream.count = 0
                if stream.closes:
                    self._close(fd)

    def _send_event(self, stream: _Stream, before: bytes) -> None:
        event = EVENT % (time.monotonic_ns(), stream.number)
        stream.number += 1
        if stream.chunked:
            event = b"%x\r\n%b\r\n" % (EVENT_SIZE, event)
            if stream.number == stream.count:
                event += LAST_CHUNK
        stream.sock.send(before + event)  # an event is little, and its reader quick

    def _send_bytes(self, stream: _Stream) -> None:
        """Write once, as much as is taken."""
        if not stream.out:
            if not stream.remaining:
                self._end_bytes(stream)
                return
            if stream.chunked:
                stream.out = _CHUNK
                stream.remaining -= 65536
            else:
                stream.out = _BLOCK[: stream.remaining]
                stream.remaining -= len(stream.out)
        stream.out = stream.out[stream.sock.send(stream.out) :]

    def _end_bytes(self, stream: _Stream) -> None:
        if stream.chunked:
            stream.sock.send(LAST_CHUNK)
        if stream.closes:
            self._close(stream.sock.fileno())
        else:
            self._epoll.modify(stream.sock.fileno(), select.EPOLLIN)


if __name__ == "__main__":
    service = StreamService(*map(float, sys.argv[1:]))
    print(json.dumps({"port": service.port}), flush=True)
    service.serve(sys.stdin.fileno())
