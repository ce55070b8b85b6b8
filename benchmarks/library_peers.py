"""The same client and service with a real WebSocket library between them and the wire.

What `ws_client` and `ws_service` leave out, a service that people run does: it parses frames,
unmasks, and makes objects of them. Here the library `websockets` does so, by its core without I/O,
in the same epoll loops. Run as those are: `python -m benchmarks.library_peers service`, or
`client PORT PATH COUNT SIZE`.
"""

from __future__ import annotations

import socket
import sys
import time

from websockets.frames import Frame
from websockets.protocol import Protocol, Side

from . import ws_client, ws_service


class Service(ws_service.EchoService):
    def __init__(self) -> None:
        super().__init__()
        self._protocols: dict[socket.socket, Protocol] = {}

    def _read(self, connection: ws_service.Connection) -> None:
        if not connection.upgraded:
            super()._read(connection)
            return
        protocol = self._protocols.get(connection.sock)
        if protocol is None:
            protocol = self._protocols[connection.sock] = Protocol(Side.SERVER, max_size=None)
        data = connection.sock.recv(65536)
        if not data:
            del self._protocols[connection.sock]
            self._close(connection.sock.fileno())
            return
        protocol.receive_data(data)
        for event in protocol.events_received():
            assert isinstance(event, Frame)
            protocol.send_binary(event.data)
        out = b"".join(protocol.data_to_send())
        if out:
            self._send(connection, memoryview(out))


class Load(ws_client.Load):
    def __init__(self, port: int, path: str, count: int, size: int) -> None:
        super().__init__(port, path, count, size)
        self._payload = ws_client.payload(size)
        self._protocols = {fd: Protocol(Side.CLIENT, max_size=None) for fd in self._connections}

    def _read(self, connection: ws_client.Connection) -> bool:
        protocol = self._protocols[connection.sock.fileno()]
        protocol.receive_data(connection.sock.recv(65536))
        for event in protocol.events_received():
            if not isinstance(event, Frame) or event.data != self._payload:
                raise SystemExit("an echo differs from its message")
            return True
        return False

    def _start(self, connection: ws_client.Connection) -> None:
        protocol = self._protocols[connection.sock.fileno()]
        connection.sent_at = time.perf_counter()
        protocol.send_binary(self._payload)
        connection.out = memoryview(b"".join(protocol.data_to_send()))
        self._send(connection, waited=False)


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    if role == "service":
        ws_service.main(Service)
    else:
        ws_client.main(Load, arguments)
