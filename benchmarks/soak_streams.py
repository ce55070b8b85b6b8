"""Streams that are opened and aborted at every point of their lives, for the soak.

A stream's plan says how service and visitor frame it, where it ends (around the head, at the first
block, while the response leaves its thread, between blocks, within one, with everything full), who
ends it (visitor or service) and how (FIN, RST, a half-close, or properly). The other side reads to
the end, slowly or not, and looks at what it got: all that was sent, or the beginning of it where a
RST may overtake the rest; and complete only if the service had ended the body.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import time
from dataclasses import dataclass, field

from tests.support.endings import reset
from tests.support.service import Exchange, Service
from tests.support.streams import CHUNKED, CLOSE, LENGTH, Framing, StreamVisitor

from .host import MOUNT
from .soak_tunnels import Wrong

_PATIENCE = 20.0  # seconds; waited out only by what is stuck
_FULL = 0.05  # seconds without room after which a sender takes all for full
_SMALL_BUFFER = 16384  # bytes that the kernel keeps for a slow reader, and for who fills all
_BLOCK = random.Random(9112).randbytes(65536)
_MIB = 1 << 20

# Where a stream ends: how often of 100, and how many bytes of a body go out before.
_POINTS = {
    "in the head": (8, (0, 0)),
    "with the head": (8, (0, 0)),
    "with the first block": (10, (1, 100)),
    "at the hand-over": (24, (1, 100)),
    "between blocks": (20, (100, _MIB)),
    "within a block": (20, (100, _MIB)),
    "with all full": (10, (0, 0)),
}


@dataclass
class Life:
    """The plan of one stream, and how many bytes of its body went out in fact."""

    number: int
    framing: Framing
    version: str
    point: str
    by_visitor: bool
    ending: str  # FIN, RST, half, or proper: the body comes to its end, and then the connection
    slow: bool  # the visitor reads slowly
    size: int
    rng: random.Random = field(repr=False)
    sent: int = 0

    @property
    def name(self) -> str:
        return f"{self.point}, {'visitor' if self.by_visitor else 'service'}, {self.ending}"

    @property
    def is_whole(self) -> bool:
        """Whether the body came to its end, as far as anybody can tell."""
        quiet_end = self.framing.close and self.ending != "RST"
        return not self.by_visitor and (quiet_end or self.ending == "proper")

    def body(self, size: int) -> bytes:
        return (_BLOCK * (size // len(_BLOCK) + 1))[:size]


def _life(number: int, rng: random.Random) -> Life:
    point = rng.choices(list(_POINTS), [often for often, _ in _POINTS.values()])[0]
    by_visitor = point == "with all full" or (point != "in the head" and rng.random() < 0.5)
    endings = ["FIN", "RST", "half"]
    if not by_visitor and point not in ("in the head", "with the head", "within a block"):
        endings += ["proper", "proper"]
    return Life(
        number,
        rng.choice([LENGTH, CHUNKED, CLOSE]),
        rng.choice(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]),
        point,
        by_visitor,
        ending=rng.choice(endings),
        slow=point == "with all full" or rng.random() < 0.15,
        size=rng.randint(*_POINTS[point][1]),
        rng=rng,
    )


class StreamLoad:
    """Event streams through the server on `port`, to a service in threads of this process."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lives: dict[int, Life] = {}
        self._numbers = itertools.count()
        self._service = Service(self._serve)

    def close(self) -> None:
        """End the service. Raises `Wrong` if it found anything so."""
        self._service.close()

    def once(self, rng: random.Random) -> str:
        """Open a stream and end it; what its plan was. Raises `Wrong`."""
        life = _life(next(self._numbers), rng)
        self._lives[life.number] = life
        buffer = _SMALL_BUFFER if life.slow else 0
        try:
            with StreamVisitor(self._port, receive_buffer=buffer) as visitor:
                visitor.sock.settimeout(_PATIENCE)
                visitor.ask(f"{MOUNT}/proxy/{self._service.port}/{life.number}", life.version)
                if life.by_visitor:
                    _leave(visitor, life)
                else:
                    _look(visitor, life)
        except OSError as error:
            raise Wrong(f"{life}, visitor: {error!r}") from error
        finally:
            del self._lives[life.number]
        return life.name

    def _serve(self, exchange: Exchange) -> None:
        head = exchange.read_head()
        life = self._lives.get(int(head.split(b" ")[1][1:])) if head else None
        if life is None:
            return  # the visitor has left
        exchange.sock.settimeout(_PATIENCE)
        try:
            with contextlib.suppress(ConnectionError):
                _send(exchange, life)
            if life.by_visitor:
                _see_the_visitor_leave(exchange, life)
            else:
                _end(exchange.sock, life)
        except OSError as error:
            raise Wrong(f"{life}, service: {error!r}") from error


def _send(exchange: Exchange, life: Life) -> None:
    """What the service sends up to the planned point."""
    framing = life.framing
    whole = life.size if life.ending == "proper" else 1 << 40
    head = framing.head(whole, b"text/event-stream")
    body = framing.encode(life.body(life.size)) if life.size else b""
    if life.point == "in the head":
        exchange.send(head[: life.rng.randrange(len(head))])
        return
    if life.point == "with all full":
        exchange.send(head + (b"%x\r\n" % whole if framing is CHUNKED else b""))
        _fill(exchange.sock)
        return
    if life.point == "within a block":
        exchange.send(head + body[: life.rng.randrange(len(body))])
        return
    life.sent = life.size
    if life.point == "with the first block":
        exchange.send(head + body)
    else:
        exchange.send(head)
        if body:
            exchange.send(body)
    if life.point == "at the hand-over":
        time.sleep(life.rng.random() * 0.004)
    if life.ending == "proper" and framing.end:
        exchange.send(framing.end)


def _fill(sock: socket.socket) -> None:
    """Send until nothing takes any more."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL_BUFFER)
    sock.settimeout(_FULL)
    with contextlib.suppress(TimeoutError):
        while True:
            sock.send(_BLOCK)
    sock.settimeout(_PATIENCE)


def _end(sock: socket.socket, life: Life) -> None:
    if life.ending == "RST":
        reset(sock)
    elif life.ending == "half":
        sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while sock.recv(65536):
                pass


def _see_the_visitor_leave(exchange: Exchange, life: Life) -> None:
    """The proxy hangs up on the service once the visitor has left, silent or not."""
    start = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while exchange.sock.recv(65536):
            pass
    if time.monotonic() - start > _PATIENCE / 2:
        raise Wrong(f"{life}: the service heard late that the visitor left")


def _leave(visitor: StreamVisitor, life: Life) -> None:
    """The visitor's part where it is the one who ends the stream."""
    if life.point not in ("with the head", "in the head"):
        while b"\r\n\r\n" not in visitor.buffer and visitor.fill():
            pass
    if life.point == "with all full":
        time.sleep(4 * _FULL)
    elif life.point == "at the hand-over":
        time.sleep(life.rng.random() * 0.004)
    if life.ending == "RST":
        reset(visitor.sock)
    elif life.ending == "half":
        visitor.sock.shutdown(socket.SHUT_WR)
        while visitor.fill():
            visitor.buffer = b""


def _look(visitor: StreamVisitor, life: Life) -> None:
    """The visitor's part where the service ends the stream: what came, and how it ended."""
    if life.slow:
        time.sleep(4 * _FULL)
    try:
        reply = visitor.reply()
    except ConnectionError:
        if life.ending == "RST":
            return  # it overtook even the head
        raise
    if life.point == "in the head" or (reply.status == 502 and life.ending == "RST"):
        if reply.status != 502:
            raise Wrong(f"{life}: {reply.head!r}")
        return
    # In its thread a broken body just ends, and an HTTP/1.0 visitor takes that for a proper end.
    cannot_tell = life.version == "HTTP/1.0" and life.framing is not LENGTH
    wrong = reply.complete != life.is_whole and (life.is_whole or not cannot_tell)
    if reply.status != 200 or wrong:
        raise Wrong(f"{life}: {reply.head!r}, complete {reply.complete}")
    exact = life.ending != "RST" and not visitor.was_reset and life.point != "within a block"
    if exact and len(reply.body) != life.sent:
        raise Wrong(f"{life}: {len(reply.body)} bytes of {life.sent}")
    if reply.body != life.body(len(reply.body)):
        raise Wrong(f"{life}: other bytes")
