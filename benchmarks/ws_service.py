"""The service behind the tunnels: echoes WebSocket messages, with as little work as Python allows.

One epoll loop over raw frames, no asyncio and no WebSocket library: a service that costs more than
the relay would hide what the relay costs. What it leaves out it does not need against our own
client: it trusts the handshake, takes whole unfragmented binary frames only, and takes the mask to
be zero (a legal key, RFC 6455 section 5.3), so that the payload is echoed from the place where it
was read. Like a real service it answers a message when all of it has come.

`python -m benchmarks.ws_service` prints `{"port": n}`, and serves until its standard input ends. To
anything but a handshake it answers a small page, for the measurements of plain requests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import select
import socket
import struct
import sys

from tests.support.ports import bound_socket

PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\na small answer"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_BACKLOG = 4096
_FIRST_BUFFER = 2048  # bytes: a handshake's head, or many small frames; grows for a large one


class Connection:
    """One visitor: what was read is in `buffer[:filled]`; `out` is what is still to be written."""

    __slots__ = ("buffer", "filled", "out", "sock", "upgraded")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = memoryview(bytearray(_FIRST_BUFFER))
        self.filled = 0
        self.out: memoryview | None = None
        self.upgraded = False


class EchoService:
    def __init__(self) -> None:
        self._listener = bound_socket()
        self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}

    def serve(self, until: int) -> None:
        """Serve until the descriptor `until` is readable."""
        listener = self._listener.fileno()
        for fd in (listener, until):
            self._epoll.register(fd, select.EPOLLIN)
        while True:
            for fd, _ in self._epoll.poll():
                connection = self._connections.get(fd)
                if connection is not None:
                    try:
                        if connection.out is not None:
                            self._write(connection)
                        else:
                            self._read(connection)
                    except BlockingIOError:
                        pass
                    except OSError:
                        self._close(fd)
                elif fd == listener:
                    self._accept()
                else:
                    return

    def _accept(self) -> None:
        try:
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections[sock.fileno()] = Connection(sock)
                self._epoll.register(sock.fileno(), select.EPOLLIN)
        except BlockingIOError:
            pass

    def _close(self, fd: int) -> None:
        self._epoll.unregister(fd)
        self._connections.pop(fd).sock.close()

    def _read(self, connection: Connection) -> None:
        size = connection.sock.recv_into(connection.buffer[connection.filled :])
        if not size:
            self._close(connection.sock.fileno())
            return
        connection.filled += size
        if connection.upgraded:
            self._echo(connection)
        else:
            self._answer(connection)

    def _echo(self, connection: Connection) -> None:
        """Echo the one message that the client sends before it waits, once all of it is here."""
        buffer = connection.buffer
        if connection.filled < 14 and connection.filled < 6 + (buffer[1] & 0x7F):
            return
        header, length = 6, buffer[1] & 0x7F
        if length == 126:
            header, length = 8, int.from_bytes(buffer[2:4], "big")
        elif length == 127:
            header, length = 14, int.from_bytes(buffer[2:10], "big")
        if connection.filled < header + length:
            if header + length > len(buffer):
                connection.buffer = memoryview(bytearray(header + length))
                connection.buffer[: connection.filled] = buffer[: connection.filled]
            return
        # The answer's header lacks the 4 bytes of the mask: it ends where the payload begins.
        buffer[5] = buffer[1] & 0x7F
        buffer[6:header] = buffer[2 : header - 4].tobytes()  # the two overlap
        buffer[4] = buffer[0]
        connection.filled = 0
        self._send(connection, buffer[4 : header + length])

    def _send(self, connection: Connection, data: memoryview) -> None:
        """Write `data`; nothing more is read until all of it is written."""
        try:
            sent = connection.sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            connection.out = data[sent:]
            self._epoll.modify(connection.sock.fileno(), select.EPOLLOUT)

    def _write(self, connection: Connection) -> None:
        assert connection.out is not None
        sent = connection.sock.send(connection.out)
        if sent < len(connection.out):
            connection.out = connection.out[sent:]
            return
        connection.out = None
        self._epoll.modify(connection.sock.fileno(), select.EPOLLIN)

    def _answer(self, connection: Connection) -> None:
        head = connection.buffer[: connection.filled].tobytes()
        if not head.endswith(b"\r\n\r\n"):
            return
        connection.filled = 0
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        }
        key = fields.get(b"sec-websocket-key")
        connection.upgraded = key is not None
        connection.sock.send(PAGE if key is None else switching(key))


def switching(key: bytes) -> bytes:
    """The 101 that accepts a Sec-WebSocket-Key."""
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


def frame(payload: bytes, *, masked: bool) -> bytes:
    """A whole binary message in one frame; `masked` as a client has to, with the key zero."""
    bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        header = struct.pack("!BB", 0x82, bit | size)
    elif size < 65536:
        header = struct.pack("!BBH", 0x82, bit | 126, size)
    else:
        header = struct.pack("!BBQ", 0x82, bit | 127, size)
    return header + (bytes(4) if masked else b"") + payload


def main(kind: type[EchoService]) -> None:
    service = kind()
    print(json.dumps({"port": service.port}), flush=True)
    service.serve(sys.stdin.fileno())


if __name__ == "__main__":
    main(EchoService)
