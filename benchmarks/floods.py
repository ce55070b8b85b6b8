"""Hostile services and their visitors, in one process: what they send costs the relay most.

`python -m benchmarks.floods PORT` prints `{}`, and obeys a line of standard input each: `start KIND
COUNT` has that many visitors ask the server on PORT for their service, `stop` ends them. KIND:

chunks: a stream without end, of chunks of one byte.
sizes: the same, each chunk's size followed by a kilobyte of extension.
restarts: 64 KiB of such chunks, at whose end the visitor asks anew, again and again.
frames: a WebSocket without end, of empty frames.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading

from tests.support.ports import bound_socket

from .ws_service import switching

_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
_CHUNKS = b"1\r\nx\r\n" * 10_922  # 64 KiB
_SIZES = (b"1;" + b"e" * 1024 + b"\r\nx\r\n") * 64
_FRAMES = b"\x82\x00" * 32_768
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_BLOCKS = {b"chunks": _CHUNKS, b"sizes": _SIZES, b"frames": _FRAMES}


class Floods:
    """Those of one server, on `port`, whose service listens on a port of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = bound_socket()
        self._listener.listen(256)
        self._open: list[socket.socket] = []
        self._is_on = False
        threading.Thread(target=self._accept, daemon=True).start()

    def start(self, kind: str, count: int) -> None:
        self._is_on = True
        for _ in range(count):
            threading.Thread(target=self._visit, args=(kind,), daemon=True).start()

    def stop(self) -> None:
        self._is_on = False
        while self._open:
            with contextlib.suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            while head := sock.recv(65536):
                kind = head.split(b" ", 2)[1].rpartition(b"/")[2]
                if kind == b"restarts":
                    sock.sendall(_HEAD + _CHUNKS + b"0\r\n\r\n")
                    continue
                sock.sendall(switching(_KEY) if kind == b"frames" else _HEAD)
                while True:
                    sock.sendall(_BLOCKS[kind])

    def _visit(self, kind: str) -> None:
        service = self._listener.getsockname()[1]
        lines = [f"GET /alice/vision/proxy/{service}/{kind} HTTP/1.1", "Host: app.test"]
        if kind == "frames":
            lines += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
            lines += [f"Sec-WebSocket-Key: {_KEY.decode()}"]
        request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        while self._is_on:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self._port), timeout=30) as sock,
            ):
                self._open.append(sock)
                sock.sendall(request)
                end = b""
                while not end.endswith(b"0\r\n\r\n") and (data := sock.recv(1 << 18)):
                    end = end[-4:] + data[-5:]


def main() -> None:
    floods = Floods(int(sys.argv[1]))
    print("{}", flush=True)
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "start":
            floods.start(rest[0], int(rest[1]))
        else:
            floods.stop()
        print(json.dumps({}), flush=True)


if __name__ == "__main__":
    main()
