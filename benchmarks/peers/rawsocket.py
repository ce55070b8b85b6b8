"""The least that a client of HTTP can do: fixed bytes out, and an answer of known length in."""

from __future__ import annotations

import re
import socket

_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n")


class RawSocket:
    """GETs of one path of 127.0.0.1:`port`. `keeps`: on one connection, else each on its own."""

    def __init__(self, port: int, path: str, *, keeps: bool = True) -> None:
        self._address = ("127.0.0.1", port)
        self._keeps = keeps
        connection = "" if keeps else "Connection: close\r\n"
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n{connection}\r\n".encode()
        )
        self._sock: socket.socket | None = None

    def get(self) -> bytes:
        if not self._keeps:
            with self._connected() as sock:
                return self._exchange(sock)
        if self._sock is None:
            self._sock = self._connected()
        return self._exchange(self._sock)

    def _connected(self) -> socket.socket:
        sock = socket.create_connection(self._address, timeout=30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _exchange(self, sock: socket.socket) -> bytes:
        sock.sendall(self._request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._received(sock)
        head, _, body = data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if length is None or not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"no such answer was expected: {head[:300]!r}")
        while len(body) < int(length[1]):
            body += self._received(sock)
        return body

    @staticmethod
    def _received(sock: socket.socket) -> bytes:
        data = sock.recv(65536)
        if not data:
            raise ConnectionError("the service closed the connection")
        return data

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
