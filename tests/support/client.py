"""A client that sends exact bytes and shows exactly what came back."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from . import marks

_REQUEST = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r\n")
Self = TypeVar("Self", bound="Client")


@dataclass
class Reply:
    """A response as received. `complete`: its framing says that the body ended properly."""

    head: bytes
    body: bytes
    complete: bool
    interim: list[bytes]  # heads of 1xx responses that came before

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    @property
    def reason(self) -> str:
        return self.head.split(b"\r\n", 1)[0].split(b" ", 2)[2].decode("latin-1")

    def values(self, name: str) -> list[str]:
        """All values of the fields called `name`, in order."""
        fields = [line.partition(b":") for line in self.head.split(b"\r\n")[1:] if line]
        wanted = name.lower().encode()
        return [v.strip().decode("latin-1") for k, _, v in fields if k.lower() == wanted]

    def value(self, name: str) -> str | None:
        values = self.values(name)
        return values[0] if values else None

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Client:
    """One connection to a server."""

    def __init__(self, port: int, *, timeout: float = 10.0) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.buffer = b""
        self._port = port

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    _is_over = False  # the connection, after the last reply

    def send(self, data: bytes) -> None:
        """Over a new connection, if the last reply ended the old one: on a busy machine any request
        may take long enough to leave its thread."""
        if self._is_over and _REQUEST.match(data):
            self.reconnect()
        self.sock.sendall(data)

    def reconnect(self) -> None:
        """Go on with a new connection."""
        self._is_over, self.buffer = False, b""
        self.sock.close()
        self.sock = socket.create_connection(("127.0.0.1", self._port), self.sock.gettimeout())

    def fill(self) -> bool:
        """Receive more; False at the end of the stream."""
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            return False
        self.buffer += data
        return bool(data)

    def read_head(self) -> bytes:
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill():
                raise ConnectionError(f"closed before the end of the head: {self.buffer!r}")
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head

    def reply(self, *, method: str = "GET") -> Reply:
        """The next final response with its whole body."""
        interim = []
        head = self.read_head()
        while 100 <= int(head.split(b" ", 2)[1]) < 200:
            interim.append(head)
            head = self.read_head()
        reply = Reply(head, b"", True, interim)
        self._is_over = reply.value("Connection") == "close"
        if method == "HEAD" or reply.status in (204, 304):
            return reply
        if "chunked" in (reply.value("Transfer-Encoding") or ""):
            self._read_chunked(reply)
        elif (length := reply.value("Content-Length")) is not None:
            while len(self.buffer) < int(length) and self.fill():
                pass
            reply.body, self.buffer = self.buffer[: int(length)], self.buffer[int(length) :]
            reply.complete = len(reply.body) == int(length)
        else:
            while self.fill():
                pass
            reply.body, self.buffer = self.buffer, b""
        return reply

    def _read_chunked(self, reply: Reply) -> None:
        while True:
            while b"\r\n" not in self.buffer:
                if not self.fill():
                    reply.complete = False
                    return
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            size = int(line, 16)
            while len(self.buffer) < size + 2:
                if not self.fill():
                    reply.complete = False
                    reply.body += self.buffer[:size]
                    return
            reply.body += self.buffer[:size]
            self.buffer = self.buffer[size + 2 :]
            if not size:
                return


def without_copies(set_cookies: Iterable[str]) -> list[str]:
    """Set-Cookie values, less the copies of cookies that handshakes astray take along."""
    return [value for value in set_cookies if re.match(r"portproxy\.copy\d=", value) is None]


def request_bytes(
    method: str,
    target: str,
    *,
    headers: list[tuple[str, str]] | None = None,
    body: bytes = b"",
    cookie: str = "user=alice",
    host: str = "app.test",
) -> bytes:
    """A request as alice, whom the test app lets through."""
    fields = [("Host", host), (marks.FIELD, marks.current())]
    fields += [*([("Cookie", cookie)] if cookie else []), *(headers or [])]
    if body:
        fields.append(("Content-Length", str(len(body))))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def own_session() -> str:
    """The cookies of alice with a session that is this test's alone: how many cookies services set
    lately is counted for each visitor, by what their app knows them by."""
    return f"user=alice; sessionid={marks.current()}"


def ask(port: int, method: str, target: str, **kwargs: object) -> Reply:
    """One request on a connection of its own."""
    with Client(port) as client:
        client.send(request_bytes(method, target, **kwargs))  # type: ignore[arg-type]
        return client.reply(method=method)
