"""Tunnels that are opened and aborted at every point of their lives, for the soak.

A tunnel's plan says where it ends (in the request's head, around the 101, between frames, in
mid-frame, in mid-message, with everything full), who ends it (visitor or service) and how (FIN,
RST, or a half-close that is answered). The other side reads to the end, slowly or not, and looks at
what it got: after a FIN that is all that was sent before, after a RST the beginning of it.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Protocol

from tests.support.endings import reset
from tests.support.service import Exchange, Service
from tests.support.websocket import BINARY, Frame, Visitor, frame, handshake, read_frame, switching

from .host import MOUNT

_PATIENCE = 20.0  # seconds; waited out only by what is stuck
_FULL = 0.05  # seconds without room after which a sender takes all for full
_SMALL_BUFFER = 16384  # bytes that the kernel keeps for a slow reader
_FAREWELL = b"farewell " * 400  # the answer to a half-close
_BLOCK = random.Random(6455).randbytes(65536)
_MIB = 1 << 20
_MORE_THAN_FITS = 128 * _MIB  # into four sockets: tcp_rmem and tcp_wmem may allow 37 MiB each
# The beginning of a message that never ends: masked with the key zero, which leaves it as it is.
_BEGINNING = {
    True: struct.pack("!BBQ4x", BINARY, 0x80 | 127, 1 << 40),
    False: struct.pack("!BBQ", BINARY, 127, 1 << 40),
}

# Where a tunnel ends: how often of 100, and how many bytes of a message go out before.
_POINTS = {
    "in the head": (8, (0, 0)),
    "before the 101": (14, (0, 0)),
    "after the 101": (14, (0, 0)),
    "between frames": (14, (0, 0)),
    "in mid-frame": (23, (1, 100)),
    "in mid-message": (23, (100, _MIB)),
    "with all full": (4, (0, 0)),
}


class Wrong(Exception):
    """A tunnel did not end as it should. The text says how."""


class _Connection(Protocol):
    """What a `Visitor` and a service's `Exchange` have in common."""

    sock: socket.socket
    buffer: bytes

    def read(self, size: int) -> bytes: ...
    def send(self, data: bytes) -> None: ...


@dataclass
class Life:
    """The plan of one tunnel, and how many bytes of the last message went out in fact."""

    number: int
    point: str
    by_visitor: bool
    ending: str  # FIN, RST or half
    slow: bool  # the other side reads slowly
    echoes: int  # messages before the last
    size: int
    rng: random.Random = field(repr=False)
    sent: int = 0
    is_full: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def name(self) -> str:
        return f"{self.point}, {'visitor' if self.by_visitor else 'service'}, {self.ending}"

    def message(self, size: int) -> bytes:
        """The first bytes of the message that is not ended."""
        return (_BEGINNING[self.by_visitor] + _BLOCK * (size // len(_BLOCK) + 1))[:size]


def _life(number: int, rng: random.Random) -> Life:
    point = rng.choices(list(_POINTS), [often for often, _ in _POINTS.values()])[0]
    return Life(
        number,
        point,
        by_visitor=point == "in the head" or rng.random() < 0.5,
        ending=rng.choice(["FIN", "RST", "half"]),
        slow=point == "with all full" or rng.random() < 0.15,
        echoes=0 if point.endswith(("head", "101")) else rng.randint(1, 3),
        size=rng.randint(*_POINTS[point][1]),
        rng=rng,
    )


class TunnelLoad:
    """Tunnels through the server on `port`, to a service in threads of this process."""

    name = "tunnels"

    def __init__(self, port: int) -> None:
        self._port = port
        self._lives: dict[int, Life] = {}
        self._numbers = itertools.count()
        self._service = Service(self._serve)

    def close(self) -> None:
        """End the service. Raises `Wrong` if it found anything so."""
        self._service.close()

    def once(self, rng: random.Random) -> str:
        """Open a tunnel and end it; what its plan was. Raises `Wrong`."""
        life = _life(next(self._numbers), rng)
        self._lives[life.number] = life
        buffer = _SMALL_BUFFER if life.slow and not life.by_visitor else 0
        try:
            with Visitor(self._port, timeout=_PATIENCE, receive_buffer=buffer) as visitor:
                self._visit(visitor, life)
        except OSError as error:
            raise Wrong(f"{life}, visitor: {error!r}") from error
        finally:
            del self._lives[life.number]
        return life.name

    def _visit(self, visitor: Visitor, life: Life) -> None:
        request = handshake(f"{MOUNT}/proxy/{self._service.port}/{life.number}")
        if life.point == "in the head":
            visitor.send(request[: life.rng.randrange(1, len(request))])
            _end(visitor, life)
            return
        visitor.send(request)
        if life.point == "before the 101" and life.by_visitor:
            _end(visitor, life)
            return
        head = visitor.read_head()
        if life.point == "before the 101":
            if not head.startswith(b"HTTP/1.1 502 "):
                raise Wrong(f"{life}: {head!r}")
            return
        if not head.startswith(b"HTTP/1.1 101 "):
            raise Wrong(f"{life}: {head!r}")
        _live(visitor, life, is_visitor=True)

    def _serve(self, exchange: Exchange) -> None:
        exchange.sock.settimeout(_PATIENCE)
        head = exchange.read_head()
        life = self._lives.get(int(head.split(b" ")[1][1:])) if head else None
        if life is None:
            return  # the visitor has left
        answer = switching(head)
        if life.point == "before the 101":
            time.sleep(life.rng.random() * 0.02)
            with contextlib.suppress(ConnectionError):
                if life.by_visitor:
                    exchange.send(answer)
                    _read_to_end(exchange, life)
                else:
                    exchange.send(answer[: life.rng.randrange(len(answer))])
                    _end(exchange, life)
            return
        if life.slow and life.by_visitor:
            exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        try:
            exchange.send(answer)
            _live(exchange, life, is_visitor=False)
        except OSError as error:
            raise Wrong(f"{life}, service: {error!r}") from error


def _live(connection: _Connection, life: Life, *, is_visitor: bool) -> None:
    """One side of a tunnel from the 101 to its end."""
    if is_visitor == life.by_visitor:
        for number in range(life.echoes):
            text = f"{life.number} {number}".encode()
            connection.send(frame(BINARY, text, mask=Visitor.MASK if is_visitor else b""))
            if read_frame(connection.read) != Frame(0x80 | BINARY, text):
                raise Wrong(f"{life}: no echo")
        if life.point == "with all full":
            life.sent = _fill(connection, life)
            life.is_full.set()
        else:
            connection.send(life.message(life.size))
            life.sent = life.size
        _end(connection, life)
        return
    for _ in range(life.echoes):
        received = read_frame(connection.read)
        if received is None:
            raise Wrong(f"{life}: no message")
        mask = Visitor.MASK if is_visitor else b""
        connection.send(frame(BINARY, received.payload, mask=mask))
    if life.point == "with all full" and not life.is_full.wait(_PATIENCE):
        raise Wrong(f"{life}: never full")
    got = _read_to_end(connection, life)
    if got != life.message(len(got)) or (life.ending != "RST" and len(got) != life.sent):
        raise Wrong(f"{life}: the other side got {len(got)} bytes")
    if life.ending == "half":
        connection.send(_FAREWELL)


def _fill(connection: _Connection, life: Life) -> int:
    """Send until nothing takes any more; how many bytes that were."""
    sock = connection.sock
    sock.settimeout(_FULL)
    # The message in pieces that follow one another; the first has the header.
    pieces, sent = memoryview(life.message(2 * len(_BLOCK))), 0
    with contextlib.suppress(TimeoutError):
        while sent < _MORE_THAN_FITS:
            position = sent if sent < len(_BLOCK) else len(_BLOCK) + sent % len(_BLOCK)
            sent += sock.send(pieces[position:])
        raise Wrong(f"{life}: somebody keeps {sent:,} bytes")
    sock.settimeout(_PATIENCE)
    return sent


def _end(connection: _Connection, life: Life) -> None:
    """End as planned; a half-close is answered by the other side once there is a tunnel."""
    if life.ending == "RST":
        reset(connection.sock)
    elif life.ending == "half":
        connection.sock.shutdown(socket.SHUT_WR)
        got = _read_to_end(connection, life)
        if not life.point.endswith(("head", "before the 101")) and got != _FAREWELL:
            raise Wrong(f"{life}: {len(got)} bytes instead of the farewell")
    connection.sock.close()


def _read_to_end(connection: _Connection, life: Life) -> bytes:
    """All that still comes until the end, which a RST is too; slowly if that is the plan."""
    got = [connection.buffer]
    pauses = 10 if life.slow else 0
    with contextlib.suppress(ConnectionError):
        while data := connection.sock.recv(65536):
            got.append(data)
            if len(got) < pauses:
                time.sleep(0.005)
    return b"".join(got)
