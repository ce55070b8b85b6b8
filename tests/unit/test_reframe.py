"""The rest of a body, from the service's framing into the visitor's: bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wsgi_portproxy.tunnel.reframe import Reframer
from wsgi_portproxy.upstream.framing import (
    STEPS,
    ChunkedDecoder,
    CloseDecoder,
    Decoder,
    LengthDecoder,
    Malformed,
    Truncated,
)

from .given import table

CHUNKED, LENGTH, CLOSE = "chunked", "length", "close"
LAST = b"0\r\n\r\n"


def decoder(framing: str) -> Decoder:
    """That of a body of ten bytes, of which the thread has read `ab`."""
    decoders: dict[str, Decoder] = {
        CHUNKED: ChunkedDecoder(),
        LENGTH: LengthDecoder(10),
        CLOSE: CloseDecoder(),
    }
    made = decoders[framing]
    made.feed(b"2\r\nab\r\n" if framing == CHUNKED else b"ab")
    return made


def to_chunks(framing: str) -> Reframer:
    return Reframer(decoder(framing), chunked=True, needs_reset=False)


def as_is(framing: str) -> Reframer:
    return Reframer(decoder(framing), chunked=False, needs_reset=False)


# What the service still sends of its ten bytes, and whether it closes then.
REST = {
    CHUNKED: (b"8\r\ncdefghij\r\n0\r\nX-Trailer: dropped\r\n\r\n", False),
    LENGTH: (b"cdefghij", False),
    CLOSE: (b"cdefghij", True),
}
BY_SERVICE = pytest.mark.parametrize("framing", [CHUNKED, LENGTH, CLOSE])


def fed(stream: Reframer, data: bytes) -> bytes:
    return b"".join(stream.feed(memoryview(data)))


def carry(stream: Reframer, data: bytes, closes: bool, step: int) -> list[bytes]:
    """What goes out for `data` in pieces of `step` bytes; its sum is the visitor's body."""
    pieces = [fed(stream, data[i : i + step]) for i in range(0, len(data), step)]
    return [*pieces, *map(bytes, stream.eof())] if closes else pieces


@BY_SERVICE
@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_the_bytes_are_the_same_in_any_split(framing: str, step: int) -> None:
    stream = as_is(framing)
    assert b"".join(carry(stream, *REST[framing], step)) == b"cdefghij"
    assert (stream.complete, stream.passed) == (True, 8)
    stream = to_chunks(framing)
    read = ChunkedDecoder()
    assert read.feed(b"".join(carry(stream, *REST[framing], step))) == b"cdefghij"
    assert (read.complete, read.surplus, stream.passed) == (True, False, 8)
    if framing != CLOSE:
        stream.eof()  # an end behind the end is none, and raises nothing


@table(
    "framing, pieces, wire",
    {
        "a-part-of-a-chunk-at-once": (CHUNKED, [b"3\r\ncde"], b"3\r\ncde\r\n"),
        "two-as-one": (CHUNKED, [b"3\r\ncde\r\n3\r\nfgh\r\n"], b"6\r\ncdefgh\r\n"),
        "no-empty-chunk-for-a-size-line": (CHUNKED, [b"8", b"\r", b"\n"], b""),
        "the-end-alone": (CHUNKED, [b"0\r\n\r\n"], LAST),
        "the-end-with-bytes": (CHUNKED, [b"1\r\nc\r\n0\r\n\r\n"], b"1\r\nc\r\n" + LAST),
        "surplus-is-dropped": (CHUNKED, [b"0\r\n\r\nsurplus"], LAST),
        "of-a-length": (LENGTH, [b"cde"], b"3\r\ncde\r\n"),
        "of-a-length-to-its-end": (LENGTH, [b"cdefghijk"], b"8\r\ncdefghij\r\n" + LAST),
        "sizes-are-hexadecimal": (CLOSE, [b"x" * 16], b"10\r\n" + b"x" * 16 + b"\r\n"),
    },
)
def test_what_goes_out_as_chunks(framing: str, pieces: list[bytes], wire: bytes) -> None:
    stream = to_chunks(framing)
    assert b"".join(fed(stream, piece) for piece in pieces) == wire


def test_what_the_thread_had_read_goes_out_first() -> None:
    assert as_is(CLOSE).encode([b"xy"]) == [b"xy"]
    assert b"".join(to_chunks(CLOSE).encode([b"xy"])) == b"2\r\nxy\r\n"
    assert to_chunks(CLOSE).encode([]) == []


def test_the_end_of_a_close_delimited_body_is_the_last_chunk() -> None:
    stream = to_chunks(CLOSE)
    assert fed(stream, b"cd") == b"2\r\ncd\r\n"
    assert not stream.complete
    assert stream.eof() == [LAST]
    assert stream.complete


@table("make", {"chunks": to_chunks, "as-is": as_is})
@table(
    "framing, data",
    {
        "chunked-without-a-last-chunk": (CHUNKED, b""),
        "within-a-chunk": (CHUNKED, b"8\r\ncde"),
        "within-the-last-chunk": (CHUNKED, b"8\r\ncdefghij\r\n0"),
        "within-the-trailers": (CHUNKED, b"0\r\nX: 1\r\n"),
        "length-short-by-one": (LENGTH, b"cdefghi"),
    },
)
def test_an_end_that_comes_too_early_is_no_end(
    make: Callable[[str], Reframer], framing: str, data: bytes
) -> None:
    stream = make(framing)
    assert LAST not in fed(stream, data)
    with pytest.raises(Truncated):
        stream.eof()
    assert not stream.complete


@table("make", {"chunks": to_chunks, "as-is": as_is})
@pytest.mark.parametrize("data", [b"0x8\r\n", b"8\r\ncdefghijk\r\n", b"8\n", b"-1\r\n", b"\r\n"])
def test_a_malformed_chunk_is_refused(make: Callable[[str], Reframer], data: bytes) -> None:
    stream = make(CHUNKED)
    with pytest.raises(Malformed):
        fed(stream, data)
    assert not stream.complete


@pytest.mark.parametrize("end", [LAST, b"0\r\nX: 1\r\n\r\nsurplus"], ids=["alone", "more"])
def test_a_flood_of_tiny_chunks_is_passed_on_in_portions(end: bytes) -> None:
    """Decoding one takes a thousand times what it should, and all other streams wait meanwhile."""
    stream = to_chunks(CHUNKED)
    sent = [stream.feed(memoryview(b"1\r\nx\r\n" * 20_000 + end))]
    while stream.is_behind:
        assert not stream.complete
        sent.append(stream.feed(memoryview(b"")))
    assert max(map(len, sent)) <= STEPS < 1024  # the system writes no more at once (IOV_MAX)
    read = ChunkedDecoder()
    wire = b"".join(piece for pieces in sent for piece in pieces)
    assert b"".join(read.feed(wire[i : i + 30]) for i in range(0, len(wire), 30)) == b"x" * 20_000
    assert (stream.complete, read.complete, read.surplus) == (True, True, False)
    assert stream.passed == 20_000


@BY_SERVICE
def test_large_pieces_are_passed_on_at_once(framing: str) -> None:
    stream = as_is(framing)
    stream.feed(memoryview(REST[framing][0]))
    assert not stream.is_behind
