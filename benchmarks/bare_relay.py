"""A relay with nothing to it, to compare ours with: what the kernel and Python cost any relay.

It knows no HTTP, no WebSockets, no limits and no errors; it joins each connection to one of its own
to the service and carries the bytes both ways as `wsgi_portproxy.tunnel.relay` does, by epoll.
`python -m benchmarks.bare_relay SERVICE_PORT` prints its port, and ends with its standard input.
"""

from __future__ import annotations

import json
import select
import socket
import sys

_BUFFER = 262144  # bytes, as ours


class BareRelay:
    def __init__(self, service_port: int) -> None:
        self._service_port = service_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self._epoll = select.epoll()
        self._peers: dict[int, tuple[socket.socket, socket.socket]] = {}
        self._pending: dict[int, memoryview] = {}

    def serve(self, until: int) -> None:
        """Serve until the descriptor `until` is readable."""
        listener = self._listener.fileno()
        buffer = memoryview(bytearray(_BUFFER))
        for fd in (listener, until):
            self._epoll.register(fd, select.EPOLLIN)
        while True:
            for fd, event in self._epoll.poll():
                if fd == listener:
                    self._accept()
                elif fd == until:
                    return
                elif fd in self._peers:
                    sock, peer = self._peers[fd]
                    if event & select.EPOLLOUT:
                        self._send(sock, peer, self._pending.pop(fd), waited=True)
                    elif size := sock.recv_into(buffer):
                        self._send(peer, sock, buffer[:size], waited=False)
                    else:
                        self._close(sock, peer)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        service = socket.create_connection(("127.0.0.1", self._service_port))
        for sock, peer in ((client, service), (service, client)):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[sock.fileno()] = sock, peer
            self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _send(
        self, to: socket.socket, source: socket.socket, data: memoryview, *, waited: bool
    ) -> None:
        """Write `data`, and read nothing more while some of it waits; `waited` if it did."""
        try:
            sent = to.send(data)
        except BlockingIOError:
            sent = 0
        waits = sent < len(data)
        if waits:
            self._pending[to.fileno()] = memoryview(data[sent:].tobytes())
        if waits != waited:
            self._epoll.modify(to.fileno(), select.EPOLLOUT if waits else select.EPOLLIN)
            self._epoll.modify(source.fileno(), 0 if waits else select.EPOLLIN)

    def _close(self, *socks: socket.socket) -> None:
        for sock in socks:
            del self._peers[sock.fileno()]
            sock.close()


if __name__ == "__main__":
    relay = BareRelay(int(sys.argv[1]))
    print(json.dumps({"port": relay.port}), flush=True)
    relay.serve(sys.stdin.fileno())
