"""A service whose every byte a test decides: a TCP server on 127.0.0.1 that follows a script."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from .ports import bound_socket

Script = Callable[["Exchange"], None]


@dataclass
class Exchange:
    """One accepted connection, as its script sees it."""

    sock: socket.socket
    number: int  # of the connection, from 0
    buffer: bytes = b""
    requests: list[bytes] = field(default_factory=list)  # heads read so far on this connection

    def read_head(self) -> bytes:
        """The next request head with its empty line; b"" if the peer closed instead."""
        while b"\r\n\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                return b""
            self.buffer += data
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.requests.append(head + b"\r\n\r\n")
        return self.requests[-1]

    def read(self, size: int) -> bytes:
        """Exactly `size` body bytes, or fewer if the peer closed."""
        while len(self.buffer) < size:
            data = self.sock.recv(65536)
            if not data:
                break
            self.buffer += data
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def peer_closed(self, timeout: float) -> bool:
        """Whether the proxy closed its end within `timeout` seconds."""
        self.sock.settimeout(timeout)
        try:
            return self.sock.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True


class Service:
    """Runs `script(exchange)` in a thread for each connection, and closes it afterwards.

    `connections` counts those accepted, `heads` are all request heads in order, `errors` what the
    scripts raised other than connection errors; `close` re-raises the first of them.
    """

    def __init__(self, script: Script, listener: socket.socket | None = None) -> None:
        self._script = script
        self._listener = listener or bound_socket()
        self._listener.listen(64)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.exchanges: list[Exchange] = []
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def heads(self) -> list[bytes]:
        return [head for exchange in self.exchanges for head in exchange.requests]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            exchange = Exchange(sock, self.connections)
            self.connections += 1
            self.exchanges.append(exchange)
            thread = threading.Thread(target=self._run, args=(exchange,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, exchange: Exchange) -> None:
        with exchange.sock:
            try:
                self._script(exchange)
            except OSError:
                pass  # the proxy hung up: what tests are about
            except BaseException as error:
                self.errors.append(error)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(5)
        for exchange in self.exchanges:
            with contextlib.suppress(OSError):
                exchange.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        if self.errors:
            raise self.errors[0]


def answers(*responses: bytes, keep_open: bool = True) -> Script:
    """A script that answers the n-th request with the n-th response, the last one repeatedly.

    Bodies of requests are not read. `keep_open=False` closes after the first answer.
    """

    def script(exchange: Exchange) -> None:
        number = 0
        while exchange.read_head():
            exchange.send(responses[min(number, len(responses) - 1)])
            number += 1
            if not keep_open:
                return

    return script
