"""Requests as a scripted service receives them, and scripts that read them whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .service import Exchange, Script
from .websocket import echoing

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"


@dataclass
class Received:
    """One request. `complete`: its framing says that the body ended properly."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    complete: bool = True

    def values(self, name: str) -> list[str]:
        """All values of the fields called `name`, in order."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    @property
    def names(self) -> set[str]:
        """The field names, in lower case."""
        return {name.lower() for name, _ in self.fields}


def parse_request(head: bytes) -> Received:
    """A head as `Exchange.read_head` returns it."""
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, version = first.split(" ")
    assert version == "HTTP/1.1"
    pairs = [line.partition(": ") for line in lines]
    assert all(colon for _, colon, _ in pairs)
    return Received(method, target, [(name, value) for name, _, value in pairs])


def read_request(exchange: Exchange) -> Received | None:
    """The next request with its body; None if the peer closed instead."""
    head = exchange.read_head()
    if not head:
        return None
    request = parse_request(head)
    if request.values("transfer-encoding"):
        assert request.values("transfer-encoding") == ["chunked"]
        assert not request.values("content-length")
        _read_chunked(exchange, request)
    elif lengths := request.values("content-length"):
        request.body = exchange.read(int(lengths[0]))
        request.complete = len(request.body) == int(lengths[0])
    return request


def _read_chunked(exchange: Exchange, request: Received) -> None:
    while True:
        line = b""
        while not line.endswith(b"\r\n"):
            byte = exchange.read(1)
            if not byte:
                request.complete = False
                return
            line += byte
        size = int(line, 16)
        data = exchange.read(size + 2)
        request.body += data[:size]
        if len(data) < size + 2:
            request.complete = False
            return
        if not size:
            return


def recording(into: list[Received], response: bytes = OK) -> Script:
    """A script that reads each request whole, keeps it in `into`, and answers `response`.

    To HEAD it answers with the head of it.
    """
    head = response.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    def script(exchange: Exchange) -> None:
        while (request := read_request(exchange)) is not None:
            into.append(request)
            exchange.send(head if request.method == "HEAD" else response)

    return script


def by_target(responses: Mapping[str, bytes], into: list[Received] | None = None) -> Script:
    """A script that answers by request target, and 404 to those that it does not know."""
    missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nmissing"

    def script(exchange: Exchange) -> None:
        while (request := read_request(exchange)) is not None:
            if into is not None:
                into.append(request)
            exchange.send(responses.get(request.target, missing))

    return script


def with_fields(*fields: str, status: str = "201 Created") -> Script:
    """A script whose answers hold `fields`, in which `{port}` is the service's port."""

    def script(exchange: Exchange) -> None:
        port = exchange.sock.getsockname()[1]
        while exchange.read_head():
            lines = [f"HTTP/1.1 {status}", *fields, "Content-Length: 2", "", "hi"]
            exchange.send("\r\n".join(lines).replace("{port}", str(port)).encode("latin-1"))

    return script


def pages_and_sockets(answer: bytes) -> Script:
    """A script that answers requests, and echoes on a WebSocket."""

    def script(exchange: Exchange) -> None:
        while request := exchange.read_head():
            if b"Upgrade: websocket" in request:
                exchange.requests.pop()
                exchange.buffer = request + exchange.buffer
                return echoing(exchange)
            exchange.send(answer)

    return script
