"""The service that takes uploads and says how many bytes came: `python -m benchmarks.peers.sink`.

A thread for each connection, which reads into one large buffer and looks at nothing. It prints its
port, and ends with its standard input.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sys
import threading

from tests.support.ports import bound_socket

_BUFFER = 1 << 20
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)


def _answer(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def serve(sock: socket.socket) -> None:
    """All requests of one connection."""
    buffer = memoryview(bytearray(_BUFFER))
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            data = b""
            while b"\r\n\r\n" not in data:
                received = sock.recv(65536)
                if not received:
                    return
                data += received
            head, _, begun = data.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            if length is None:
                sock.sendall(_answer(b"411 Length Required", b"{}"))
                return
            if _EXPECTS.search(head):
                sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            wanted, came = int(length[1]), len(begun)
            while came < wanted:
                size = sock.recv_into(buffer)
                if not size:
                    return
                came += size
            sock.sendall(_answer(b"200 OK", json.dumps({"bytes": came}).encode()))


def _serve(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # a contestant went away, at the end or with its own error
        serve(sock)


def main() -> None:
    listener = bound_socket()
    listener.listen(128)

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
