"""The load: one process that holds many WebSockets and echoes on them, as plain as it can be.

One epoll loop over raw frames prepared once, no asyncio and no WebSocket library: a client that
costs more than the relay would hide what the relay costs. On every connection one message is under
way at a time; its echo sends the next. So the rate is that of the whole chain at full load, and the
latency is that of a message in a queue of all the others.

`python -m benchmarks.ws_client PORT PATH COUNT SIZE` opens COUNT connections, prints `{"open": n}`
with the seconds it took, and obeys a line of standard input each: `run SECONDS` echoes on all of
them and prints one line of JSON, see `Load.run`. It ends with its standard input.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

from .ws_service import frame, switching

_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
_AT_A_TIME = 64  # connections being opened: fewer than any listener's backlog
_COMPARED = 1000  # bytes: echoes shorter than that are compared, longer ones counted
_PATIENCE = 30  # seconds for any echo to come
_ACCEPT = switching(_KEY).split(b"Accept: ")[1].split(b"\r\n")[0]


class Connection:
    """One WebSocket. `wanted`: bytes of the echo to come; `out`: of the message to be sent."""

    __slots__ = ("out", "sent_at", "sock", "wanted")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.wanted = 0
        self.out: memoryview | None = None
        self.sent_at = 0.0


class Load:
    """`count` open WebSockets to 127.0.0.1:`port`, for messages of `size` bytes."""

    def __init__(self, port: int, path: str, count: int, size: int) -> None:
        self._message = memoryview(frame(payload(size), masked=True))
        self._echo = frame(payload(size), masked=False)
        self._buffer = memoryview(bytearray(max(len(self._echo), 65536)))
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        while len(self._connections) < count:
            self._open(port, path, min(_AT_A_TIME, count - len(self._connections)))

    def _open(self, port: int, path: str, count: int) -> None:
        """Open some at once: all handshakes go out before the first answer is read."""
        head = (
            f"GET {path} HTTP/1.1\r\nHost: app.test\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_KEY.decode()}\r\n\r\n"
        ).encode()
        opened = []
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port), timeout=30)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(head)
            opened.append(sock)
        for sock in opened:
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                data = sock.recv(4096)
                answer += data
                if not data:
                    break
            if not answer.startswith(b"HTTP/1.1 101") or _ACCEPT not in answer:
                raise SystemExit(f"no WebSocket: {answer[:300]!r}")
            sock.setblocking(False)
            self._connections[sock.fileno()] = Connection(sock)
            self._epoll.register(sock.fileno(), select.EPOLLIN)

    def run(self, seconds: float) -> dict[str, float]:
        """Echo on all connections for a time, then wait for the last echoes.

        messages: echoes in that time; all_messages: with the last ones; seconds: that time as
        measured; p50, p99: milliseconds from sending a message to its whole echo.
        """
        latencies: list[float] = []
        start = time.perf_counter()
        for connection in self._connections.values():
            self._start(connection)
        while (elapsed := time.perf_counter() - start) < seconds:
            self._handle_events(latencies, again=True)
        in_time = len(latencies)
        while len(latencies) < in_time + len(self._connections):
            self._handle_events(latencies, again=False)
        latencies.sort()
        return {
            "messages": in_time,
            "all_messages": len(latencies),
            "seconds": elapsed,
            "p50": latencies[len(latencies) // 2] * 1000,
            "p99": latencies[len(latencies) * 99 // 100] * 1000,
        }

    def _handle_events(self, latencies: list[float], *, again: bool) -> None:
        for fd, event in self._epoll.poll(_PATIENCE) or self._stuck():
            connection = self._connections[fd]
            if event & select.EPOLLOUT:
                self._send(connection, waited=True)
            elif self._read(connection):
                latencies.append(time.perf_counter() - connection.sent_at)
                if again:
                    self._start(connection)

    def _read(self, connection: Connection) -> bool:
        """Read once; whether the echo is complete with that."""
        # A long echo is read piece by piece to its place in the buffer; they are all the same.
        buffer, echo = self._buffer, self._echo
        position = len(echo) - connection.wanted
        size = connection.sock.recv_into(buffer[position : len(echo)])
        if not size:
            raise SystemExit("a WebSocket was closed")
        connection.wanted -= size
        if connection.wanted:
            return False
        if len(echo) < _COMPARED and buffer[: len(echo)].tobytes() != echo:
            raise SystemExit("an echo differs from its message")
        return True

    def _start(self, connection: Connection) -> None:
        connection.wanted = len(self._echo)
        connection.sent_at = time.perf_counter()
        connection.out = self._message
        self._send(connection, waited=False)

    def _send(self, connection: Connection, *, waited: bool) -> None:
        """Write what is left of the message; `waited` for that, which ends with the last of it."""
        assert connection.out is not None
        try:
            sent = connection.sock.send(connection.out)
        except BlockingIOError:
            sent = 0
        connection.out = connection.out[sent:]
        if connection.out and not waited:
            self._epoll.modify(connection.sock.fileno(), select.EPOLLOUT)
        elif waited and not connection.out:
            self._epoll.modify(connection.sock.fileno(), select.EPOLLIN)

    def _stuck(self) -> list[tuple[int, int]]:
        raise SystemExit(f"no echo within {_PATIENCE} seconds")


def payload(size: int) -> bytes:
    return bytes(range(256)) * (size // 256) + bytes(range(size % 256))


def main(kind: type[Load], arguments: list[str]) -> None:
    port, path, count, size = arguments
    start = time.perf_counter()
    load = kind(int(port), path, int(count), int(size))
    print(json.dumps({"open": int(count), "seconds": time.perf_counter() - start}), flush=True)
    for line in sys.stdin:
        print(json.dumps(load.run(float(line.split()[1]))), flush=True)


if __name__ == "__main__":
    main(Load, sys.argv[1:])
