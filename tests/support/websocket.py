"""WebSockets byte by byte (RFC 6455): handshakes, frames, and the two ends that exchange them."""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from . import marks
from .client import Client
from .service import Exchange, Script

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # that of section 1.3
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

Fields = Iterable[tuple[str, str]]
# What a handshake has beside Host and Cookie; a test replaces single ones.
STANDARD = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def handshake(
    target: str,
    fields: Fields = (),
    *,
    method: str = "GET",
    version: str = "HTTP/1.1",
    host: str = "app.test",
    cookie: str = "user=alice",
    without: Iterable[str] = (),
    **replaced: str,
) -> bytes:
    """The request for a WebSocket. `fields` are added; `replaced` is by name, as `upgrade="x"` or
    `sec_websocket_key="x"`; the standard ones named in `without` are left out."""
    standard = {
        name: replaced.get(name.lower().replace("-", "_"), value)
        for name, value in STANDARD.items()
        if name not in set(without)
    }
    lines = [f"{method} {target} {version}", f"Host: {host}", f"{marks.FIELD}: {marks.current()}"]
    lines += [f"Cookie: {cookie}"] if cookie else []
    lines += [f"{name}: {value}" for name, value in [*standard.items(), *fields]]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def accept_value(key: str) -> str:
    """Section 4.2.2, item 5.4."""
    digest = hashlib.sha1((key + _GUID).encode("ascii"), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def switching(request: bytes, fields: Fields = ()) -> bytes:
    """The 101 that accepts the handshake whose head is `request`."""
    lines = [line.partition(b":") for line in request.split(b"\r\n")]
    keys = [value.strip() for name, _, value in lines if name.lower() == b"sec-websocket-key"]
    answer = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_value(keys[0].decode("ascii"))),
        *fields,
    ]
    text = "\r\n".join(f"{name}: {value}" for name, value in answer)
    return f"HTTP/1.1 101 Switching Protocols\r\n{text}\r\n\r\n".encode("latin-1")


@dataclass(frozen=True)
class Frame:
    """Section 5.2. `head` is the first byte: FIN, the reserved bits and the opcode."""

    head: int
    payload: bytes

    @property
    def opcode(self) -> int:
        return self.head & 0x0F

    @property
    def code(self) -> int:
        """The status of a close frame."""
        assert self.opcode == CLOSE
        (code,) = struct.unpack("!H", self.payload[:2])
        assert isinstance(code, int)
        return code


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes = b"") -> bytes:
    """A frame as it goes onto the wire, masked where `mask` has its four bytes (visitors must)."""
    head = bytes([(0x80 if fin else 0) | opcode])
    bit, size = (0x80 if mask else 0), len(payload)
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", size)
    return head + mask + (masked(payload, mask) if mask else payload)


def close_frame(code: int, reason: str = "", *, mask: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason.encode(), mask=mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    """Section 5.3; its own inverse."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def read_frame(read: Callable[[int], bytes]) -> Frame | None:
    """The next frame, unmasked; None at the end of the stream, within a frame too.

    `read(n)` returns n bytes, or fewer at the end.
    """
    start = read(2)
    if len(start) < 2:
        return None
    size = start[1] & 0x7F
    if size > 125:
        extended = read(2 if size == 126 else 8)
        size = int.from_bytes(extended, "big")
    mask = read(4) if start[1] & 0x80 else b""
    payload = read(size)
    if len(payload) < size:
        return None
    return Frame(start[0], masked(payload, mask) if mask else payload)


class Visitor(Client):
    """A visitor's connection: first a handshake, then frames."""

    MASK = b"\x01\x9a\xf0\x7f"

    def __init__(
        self,
        port: int,
        *,
        timeout: float = 30.0,
        receive_buffer: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`receive_buffer`: bytes that the kernel keeps for us while we do not read; 0: its own.
        `tls`: to speak TLS with."""
        self.sock = socket.socket()
        self.sock.settimeout(timeout)
        if receive_buffer:  # has to be set before the connection is made (tcp(7))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.buffer = b""
        try:
            self.sock.connect(("127.0.0.1", port))
            if tls is not None:
                self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        except BaseException:
            self.sock.close()
            raise

    def open(self, target: str, fields: Fields = ()) -> bytes:
        """Ask for a WebSocket; the head of the 101."""
        self.send(handshake(target, fields))
        return self.switched()

    def switched(self) -> bytes:
        """The head of the answer, which has to be a 101."""
        head = self.read_head()
        if not head.startswith(b"HTTP/1.1 101 "):
            while self.fill():
                pass
            raise AssertionError(f"no 101: {head!r} {self.buffer!r}")
        return head

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, or fewer at the end of the stream."""
        while len(self.buffer) < size and self.fill():
            pass
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def send_frame(self, opcode: int, payload: bytes = b"", *, fin: bool = True) -> None:
        self.send(frame(opcode, payload, fin=fin, mask=self.MASK))

    def send_close(self, code: int = 1000, reason: str = "") -> None:
        self.send(close_frame(code, reason, mask=self.MASK))

    def frame(self) -> Frame | None:
        """The next frame; None at the end of the stream."""
        return read_frame(self.read)

    def says_and_hears(self, text: bytes = b"hello") -> None:
        """Send a text to an echoing service and get it back."""
        self.send_frame(TEXT, text)
        assert self.frame() == Frame(0x80 | TEXT, text)


def accepting(then: Script, fields: Fields = ()) -> Script:
    """A script that accepts a handshake and goes on with `then`."""

    def script(exchange: Exchange) -> None:
        request = exchange.read_head()
        if request:
            exchange.send(switching(request, fields))
            then(exchange)

    return script


def echo(exchange: Exchange) -> None:
    """Send back every message as one frame, pongs to pings, and a close frame as it came."""
    while (received := read_frame(exchange.read)) is not None:
        opcode = PONG if received.opcode == PING else received.opcode
        exchange.send(frame(opcode, received.payload))
        if opcode == CLOSE:
            return


echoing = accepting(echo)
