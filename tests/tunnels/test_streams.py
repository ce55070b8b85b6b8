"""Bodies across the hand-over: byte for byte, to a proper end, and broken where they break."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import product

import pytest

from tests.conftest import ServiceFactory
from tests.support.endings import close, half_close, reset
from tests.support.servers import Server
from tests.support.service import Exchange, Script, Service
from tests.support.streamapp import AFTER
from tests.support.streams import (
    CHUNKED,
    CLOSE,
    FRAMINGS,
    LENGTH,
    Framing,
    StreamVisitor,
    leaving,
    stream_target,
)
from tests.support.waiting import PATIENCE, Steps

from .conftest import clean

Ending = Callable[[socket.socket], None]


@pytest.fixture(scope="module")
def host() -> Iterator[Server]:
    with clean("tests.support.streamapp:application", threads=4) as server:
        yield server


@pytest.fixture(scope="module")
def sync() -> Iterator[Server]:
    with clean("tests.support.streamapp:application", worker="sync", threads=1) as server:
        yield server


# --- Bodies arrive as they are -------------------------------------------------------------------

VISITORS = [
    pytest.param("HTTP/1.1", id="to-http-1.1"),
    pytest.param("HTTP/1.0", id="to-http-1.0"),
    pytest.param("HTTP/1.0\r\nConnection: keep-alive", id="to-http-1.0-keep-alive"),
]
BEFORE = (b"with the head", bytes(range(256)), b"x")
BEHIND = (b"y", random.Random(7).randbytes(300_000), b"\r\n0\r\n\r\n", bytes(70_000), b"z")
WHOLE = b"".join(BEFORE + BEHIND)


@pytest.mark.parametrize("version", VISITORS)
@pytest.mark.parametrize("framing", FRAMINGS, ids=repr)
def test_a_body_is_the_same_across_the_hand_over_and_the_connection_closes_behind_it(
    host: Server, service: ServiceFactory, framing: Framing, version: str
) -> None:
    first, *others = map(framing.encode, BEFORE)
    steps = Steps(framing.head(len(WHOLE)) + first, *others, *map(framing.encode, BEHIND))
    upstream = service(ending_with(steps, framing.end))
    target = stream_target(upstream.port)
    with StreamVisitor(host.port) as visitor:
        visitor.ask(target, version)
        steps.go(len(BEFORE))
        leaving(host, target)
        steps.go(len(BEHIND) + 1)
        reply = visitor.reply()
        assert (reply.status, reply.complete) == (200, True)
        assert reply.body == WHOLE
        assert visitor.is_closed()
    assert upstream.connections == 1


def ending_with(steps: Steps, end: bytes = b"", ending: Ending = close) -> Script:
    """The steps, `end` instead of the last, and the ending."""

    def script(exchange: Exchange) -> None:
        steps(exchange)
        exchange.send(end)
        ending(exchange.sock)
        if ending is half_close:
            exchange.peer_closed(PATIENCE)

    return script


def test_a_body_is_whole_whenever_it_ends_around_the_hand_over(
    host: Server, sync: Server, service: ServiceFactory
) -> None:
    """The worst moment is the one in which the response leaves: it is aimed at from both sides."""
    rest = bytes(range(256)) * 300

    def upstream_for(framing: Framing, offset: float) -> Service:
        def script(exchange: Exchange) -> None:
            exchange.read_head()
            exchange.send(framing.head(len(rest) + 1) + framing.encode(b"f"))
            time.sleep(AFTER + offset)
            exchange.send(framing.encode(rest) + framing.end)

        return service(script)

    for server, framing in product((host, sync), (LENGTH, CHUNKED, CLOSE)):
        # One after the other on a sync worker: it is late then by a little more each time.
        offsets = [-0.003 + 0.001 * number for number in range(8)]
        ports = [upstream_for(framing, offset).port for offset in offsets]
        visitors = [StreamVisitor(server.port) for _ in ports]
        for visitor, port in zip(visitors, ports, strict=True):
            visitor.ask(stream_target(port))
        for visitor, offset in zip(visitors, offsets, strict=True):
            reply = visitor.reply()
            assert reply.complete, offset
            assert reply.body == b"f" + rest, offset
            visitor.close()


def test_each_byte_of_a_chunk_arrives_before_the_next_is_sent(
    host: Server, service: ServiceFactory
) -> None:
    pieces = [b"a", b"b", b"c", b"\r", b"\n2;x=", b"y\r\nd", b"e\r\n0\r\nX-Trailer: 1\r\n", b"\r\n"]
    steps = Steps(CHUNKED.head(0) + b"3\r\n", *pieces)
    upstream = service(steps)
    target = stream_target(upstream.port)
    with StreamVisitor(host.port) as visitor:
        visitor.ask(target)
        steps.go(2)
        visitor.read_head()
        visitor.read_until(b"1\r\na\r\n")
        leaving(host, target)
        for piece in pieces[1:]:
            steps.go()
            if (letter := piece.strip(b"\r\n")[-1:]) in (b"b", b"c", b"d", b"e"):
                visitor.read_until(b"1\r\n%c\r\n" % letter)
        visitor.read_until(b"0\r\n\r\n")
        assert visitor.is_closed()


def test_a_chunk_size_without_its_chunk_does_not_keep_the_thread(
    host: Server, service: ServiceFactory
) -> None:
    # The bytes that had come were taken for news of the body, and reading then waited for ever.
    steps = Steps(CHUNKED.head(0), b"5\r\n", b"hello\r\n0\r\n\r\n")
    upstream = service(steps)
    target = stream_target(upstream.port)
    with StreamVisitor(host.port) as visitor:
        visitor.ask(target)
        steps.go(2)  # before the response is due to leave
        leaving(host, target)
        steps.go()
        visitor.read_until(b"5\r\nhello\r\n0\r\n\r\n")
        assert visitor.is_closed()


@pytest.mark.parametrize(
    ("framing", "end", "surplus"),
    [
        pytest.param(LENGTH, b"", b"HTTP/1.1 200 OK\r\n\r\nanother", id="after-the-length"),
        pytest.param(CHUNKED, CHUNKED.end, b"5\r\nstray\r\n", id="after-the-last-chunk"),
        pytest.param(CHUNKED, b"0\r\nX: 1\r\n\r\n", b"0\r\n\r\n", id="after-the-trailers"),
    ],
)
@pytest.mark.parametrize("split", ["one-packet", "two-packets"])
def test_bytes_after_the_end_are_dropped(
    host: Server, service: ServiceFactory, framing: Framing, end: bytes, surplus: bytes, split: str
) -> None:
    pieces = [framing.encode(b"fghij") + end, surplus]
    if split == "one-packet":
        pieces = [b"".join(pieces)]
    steps = Steps(framing.head(10) + framing.encode(b"abcde"), *pieces)
    target = stream_target(service(steps).port)
    with StreamVisitor(host.port) as visitor:
        visitor.ask(target)
        steps.go()
        leaving(host, target)
        steps.go(len(pieces))
        reply = visitor.reply()
        assert (reply.body, reply.complete) == (b"abcdefghij", True)
        assert visitor.buffer == b""
        assert visitor.is_closed()


# --- What breaks looks broken --------------------------------------------------------------------

ENDINGS = pytest.mark.parametrize("ending", [close, reset, half_close])


@ENDINGS
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"], ids=["nothing", "half"])
@pytest.mark.parametrize("when", ["in-time", "after-the-hand-over"])
def test_an_end_before_the_head_is_an_error_page(
    host: Server, service: ServiceFactory, ending: Ending, sent: bytes, when: str
) -> None:
    steps = Steps(sent)
    target = stream_target(service(ending_with(steps, ending=ending)).port)
    with StreamVisitor(host.port) as visitor:
        visitor.ask(target)
        if when == "after-the-hand-over":
            leaving(host, target)
        steps.go(2)
        reply = visitor.reply()
        assert (reply.status, reply.complete) == (502, True)
        if when == "after-the-hand-over":
            assert visitor.is_closed()


@ENDINGS
@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, CLOSE], ids=repr)
@pytest.mark.parametrize(
    ("version", "behind"),
    [("HTTP/1.1", b""), ("HTTP/1.1", b"more"), ("HTTP/1.0", b"more")],
    ids=["at-the-hand-over", "after-it", "after-it-to-http-1.0"],
)
def test_an_end_after_the_hand_over_is_what_it_is(
    host: Server,
    service: ServiceFactory,
    framing: Framing,
    ending: Ending,
    version: str,
    behind: bytes,
) -> None:
    """Proper only where the end of the connection ends the body; else visibly broken."""
    pieces = [framing.encode(behind)] if behind else []
    steps = Steps(framing.head(100) + framing.encode(b"begin"), *pieces)
    target = stream_target(service(ending_with(steps, ending=ending)).port)
    with StreamVisitor(host.port) as visitor:
        visitor.ask(target, version)
        steps.go()
        leaving(host, target)
        steps.go(len(pieces) + 1)
        reply = visitor.reply()
        assert reply.status == 200
        assert reply.complete == (framing.close and ending is not reset)
        if not visitor.was_reset:  # a reset overtakes what was sent before it
            assert reply.body == b"begin" + behind
            assert visitor.is_closed()


@ENDINGS
@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, CLOSE], ids=repr)
@pytest.mark.parametrize("point", ["with-the-head", "at-the-first-block"])
def test_an_end_before_the_hand_over_is_what_it_is(
    host: Server, service: ServiceFactory, framing: Framing, ending: Ending, point: str
) -> None:
    pieces = [framing.head(100), framing.encode(b"begin")]
    steps = Steps(*([b"".join(pieces)] if point == "with-the-head" else pieces))
    with StreamVisitor(host.port) as visitor:
        visitor.ask(stream_target(service(ending_with(steps, ending=ending)).port))
        steps.go(3)
        reply = visitor.reply()
        if reply.status == 502:
            assert ending is reset  # it overtook the head
        else:
            assert reply.complete == (framing.close and ending is not reset)
            assert reply.body in (b"begin", b"" if ending is reset else b"begin")


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"0x3\r\nabc\r\n", id="bad-size"),
        pytest.param(b"3\r\nabcd\r\n", id="too-much-data"),
        pytest.param(b"3;" + b"x" * 5000, id="endless-extension"),
        pytest.param(b"0\r\nno trailer\r\n\r\n", id="bad-trailer"),
    ],
)
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_a_malformed_chunk_after_the_hand_over_breaks_the_transfer(
    host: Server, service: ServiceFactory, bad: bytes, version: str
) -> None:
    closed = threading.Event()
    steps = Steps(CHUNKED.head(0) + CHUNKED.encode(b"begin"), bad)

    def script(exchange: Exchange) -> None:
        steps(exchange)
        if exchange.peer_closed(PATIENCE):
            closed.set()

    target = stream_target(service(script).port)
    with StreamVisitor(host.port) as visitor:
        visitor.ask(target, version)
        steps.go()
        leaving(host, target)
        steps.go(2)
        reply = visitor.reply()
        assert (reply.status, reply.complete) == (200, False)
        assert b"begin".startswith(reply.body.removesuffix(b"abc"))
    assert closed.wait(PATIENCE)
