"""One tunnel's bytes never keep the others waiting: the relay's work goes round.

The relay is in this process, and takes its turns when the test has it: what counts is how much is
done in one, not how long that takes.
"""

from __future__ import annotations

import _socket
import atexit
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.websocket import BINARY, frame
from wsgi_portproxy.tunnel import relay as relay_module
from wsgi_portproxy.tunnel.records import NewTunnel
from wsgi_portproxy.tunnel.reframe import Reframer
from wsgi_portproxy.tunnel.relay import Relay
from wsgi_portproxy.tunnel.unpatched import unpatched as unpatched_really
from wsgi_portproxy.upstream.framing import STEPS, ChunkedDecoder, CloseDecoder

Ends = tuple[socket.socket, socket.socket]
SIZE = 1 << 18  # bytes: as much as the relay reads at once
ONE_BYTE_CHUNKS = b"1\r\nx\r\n" * (SIZE // 6)
EMPTY_FRAME = frame(BINARY, b"")
EMPTY_FRAMES = EMPTY_FRAME * (SIZE // 2)
LONG_SIZES = b"0000000000000001;" + b"e" * 1000 + b"\r\nx\r\n"
LONG_SIZES = LONG_SIZES * (SIZE // len(LONG_SIZES))


def plain(sock: socket.socket) -> _socket.socket:
    """The same socket as the relay has it."""
    return _socket.socket(fileno=sock.detach())


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """One without a thread: the test has it take its turns."""

    def unpatched(module: str, name: str) -> Callable[..., object]:
        return (lambda *_: None) if name == "start_new_thread" else unpatched_really(module, name)

    monkeypatch.setattr(relay_module, "unpatched", unpatched)
    one = Relay()
    one.start()
    yield one
    atexit.unregister(one.drain)
    for tunnel in list(one._carrier.tunnels.values()):
        one._carrier.close(tunnel)
    one.abandon()


@pytest.fixture
def joined(relay: Relay) -> Iterator[Callable[..., Ends]]:
    """`joined(stream)`: the visitor's and the service's end of a tunnel, or of a stream."""
    with ExitStack() as stack:

        def join(stream: Reframer | None = None, *, room: int = 4 * SIZE) -> Ends:
            visitor, client = socket.socketpair()
            far, service = socket.socketpair()
            dummy, _ = socket.socketpair()
            _.close()
            for sock in (visitor, far):
                sock.settimeout(30)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * SIZE)
                stack.enter_context(sock)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
            assert relay.places.take(1, limit=100, limit_of_port=100)
            relay.add(
                NewTunnel(
                    port=1,
                    visitor=plain(client),
                    service=plain(service),
                    to_visitor=b"",
                    to_service=b"",
                    dummy=plain(dummy),
                    idle_timeout=3600.0,
                    stream=stream,
                )
            )
            return visitor, far

        yield join


def a_stream() -> Reframer:
    return Reframer(ChunkedDecoder(), chunked=True, needs_reset=False)


@pytest.mark.promise("One service's bytes do not stop the others' WebSockets")
@pytest.mark.case("floods of small pieces beside others' tunnels")
@pytest.mark.parametrize(
    ("stream", "sent", "piece", "most"),
    [
        (True, ONE_BYTE_CHUNKS, b"x", STEPS // 2),
        (True, LONG_SIZES, b"x", STEPS // 2),
        (False, EMPTY_FRAMES, EMPTY_FRAME, 512),
    ],
    ids=["chunks of a byte", "long chunk sizes", "empty frames"],
)
@pytest.mark.parametrize("hostile", [1, 6, 40])
def test_a_flood_has_a_small_part_of_each_turn(
    relay: Relay,
    joined: Callable[..., Ends],
    stream: bool,
    sent: bytes,
    piece: bytes,
    most: int,
    hostile: int,
) -> None:
    floods = [joined(a_stream() if stream else None) for _ in range(hostile)]
    honest, service = joined()
    for _, source in floods:
        source.sendall(sent)
    turns(relay, hostile)  # they all are in the queue
    begun = [take(visitor).count(piece) for visitor, _ in floods]
    assert max(begun) <= 6 * most
    for number in range(1, 2 * hostile + 1):
        honest.sendall(b"ping")
        turns(relay, 1)
        assert take(service) == b"ping", "in the next turn, whatever the floods are"
        if number % hostile == 0:
            arrived = [take(visitor).count(piece) for visitor, _ in floods]
            assert 0 < max(arrived) <= 2 * most  # what has come, and its turn
            assert min(arrived) > 0, "each had its turn"


def turns(relay: Relay, count: int) -> None:
    for _ in range(count):
        os.eventfd_write(relay._wake_fd, 1)  # so that none waits for something to come
        relay._turn()


def take(sock: socket.socket) -> bytes:
    """What has come."""
    sock.settimeout(0)
    try:
        return sock.recv(1 << 20)
    except BlockingIOError:
        return b""


def test_a_visitor_who_takes_nothing_stops_the_work_for_their_own_flood(
    relay: Relay, joined: Callable[..., Ends]
) -> None:
    visitor, source = joined(a_stream(), room=4096)
    turns(relay, 1)
    (tunnel,) = relay._carrier.tunnels.values()
    source.sendall(ONE_BYTE_CHUNKS)
    while not tunnel.visitor.pending:
        turns(relay, 1)
    turns(relay, 5)
    assert tunnel.is_behind(tunnel.service)
    assert not relay._carrier.behind, "nothing is done that nobody takes"
    while not relay._carrier.behind:
        assert take(visitor)
        turns(relay, 1)


def test_a_flood_whose_visitor_leaves_is_over(relay: Relay, joined: Callable[..., Ends]) -> None:
    visitor, source = joined(a_stream())
    source.sendall(ONE_BYTE_CHUNKS)
    turns(relay, 2)
    assert relay._carrier.behind
    visitor.close()
    turns(relay, 2)
    assert not relay.places.taken
    assert not relay._carrier.behind


def test_the_end_behind_a_flood_comes_last(relay: Relay, joined: Callable[..., Ends]) -> None:
    visitor, source = joined(a_stream())
    source.sendall(ONE_BYTE_CHUNKS + b"0\r\n\r\n")
    source.close()
    data = b""
    while not data.endswith(b"0\r\n\r\n"):
        turns(relay, 1)
        data += take(visitor)
    assert data.count(b"x") == SIZE // 6


@pytest.mark.promise("One service's bytes do not stop the others' WebSockets")
@pytest.mark.case("floods of small pieces beside others' tunnels")
def test_many_that_begin_at_once_are_begun_in_turns(
    relay: Relay, joined: Callable[..., Ends]
) -> None:
    for _ in range(40):
        joined()
    begun = []
    while relay._new:
        turns(relay, 1)
        begun.append(len(relay._carrier.tunnels))
    assert begun == [*range(4, 41, 4)]


def test_the_longest_turn_is_measured(relay: Relay, joined: Callable[..., Ends]) -> None:
    assert relay.turns.longest == 0
    _, source = joined(Reframer(CloseDecoder(), chunked=False, needs_reset=False))
    source.sendall(b"x" * SIZE)
    turns(relay, 2)
    assert relay.turns.longest > 0
