"""The strict reading of HTTP/1 response bodies, and which framing a head announces.

Each sample is read in one piece, byte by byte, and cut in two at every position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from wsgi_portproxy.upstream.framing import (
    MAX_CHUNK_LINE,
    MAX_TRAILERS,
    STEPS,
    ChunkedDecoder,
    CloseDecoder,
    Decoder,
    Head,
    LengthDecoder,
    Malformed,
    Truncated,
    body_decoder,
    keeps_alive,
    parse_head,
)

from .given import costs_little, splits, table


def portions(decoder: Decoder, piece: bytes) -> list[bytes]:
    """What a piece holds of the body, as it is decoded: some of it at a time."""
    parts = [decoder.feed(piece)]
    while decoder.is_behind:
        parts.append(decoder.feed(b""))
    return parts


def decode(decoder: Decoder, pieces: Iterable[bytes]) -> bytes:
    return b"".join(part for piece in pieces for part in portions(decoder, piece))


CHUNKED = {
    "empty": (b"0\r\n\r\n", b""),
    "two": (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
    "hexadecimal": (b"1a\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n", b"x" * 26),
    "upper-case": (b"1A\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n", b"x" * 26),
    "sixteen-digits": (b"0000000000000005\r\nhello\r\n000\r\n\r\n", b"hello"),
    "odd-data": (b"7\r\n\r\n0\r\n\r\0\r\n0\r\n\r\n", b"\r\n0\r\n\r\0"),
    "extensions": (b'5 \t;a="b\tc"; d\r\nhello\r\n0;x\r\n\r\n', b"hello"),
    "trailers": (b"5\r\nhello\r\n0\r\nA: b\r\nContent-Length: 9\r\n\r\n", b"hello"),
}


@table("data, body", CHUNKED)
@pytest.mark.parametrize("more", [b"", b"x", b"\r\n"], ids=["alone", "byte", "line"])
def test_a_chunked_body_in_any_split(data: bytes, body: bytes, more: bytes) -> None:
    for pieces in [*splits(data + more), [data, more]]:
        decoder = ChunkedDecoder()
        assert decode(decoder, pieces) == body
        assert (decoder.complete, decoder.surplus) == (True, len(more))
        decoder.eof()
    for length in range(len(data)):
        decoder = ChunkedDecoder()
        decoder.feed(data[:length])
        assert not decoder.complete
        with pytest.raises(Truncated):
            decoder.eof()


END = b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        *(b"0x3\r\nabc" + END, b"+3\r\nabc" + END, b"3_0\r\n" + b"x" * 48 + END, b"g\r\nabc" + END),
        *(b" 3\r\nabc" + END, b"3 0\r\nabc" + END, b"\r\nabc" + END, b";a=b\r\nabc" + END),
        *("٣\r\nabc".encode() + END, b"00000000000000003\r\nabc" + END),
        # Other line ends, and none.
        *(b"3\nabc" + END, b"3\r\r\nabc" + END, b"3\r\nabc\n0\r\n\r\n", b"3\r\nabc\rx0\r\n\r\n"),
        *(b"3\r\nabc0\r\n\r\n", b"0\n\r\n", b"0\r\n\n"),
        *(b"3;a\nb\r\nabc" + END, b"3;a\rb\r\nabc" + END, b"3;a\0\r\nabc" + END),
        # Trailers.
        *(b"0\r\nabc\r\n\r\n", b"0\r\nA : b\r\n\r\n", b"0\r\nA: b\r\n c\r\n\r\n"),
        *(b"0\r\nA: b\n\r\n", b"0\r\nA: b\0\r\n\r\n"),
    ],
)
def test_a_malformed_chunk_in_any_split(data: bytes) -> None:
    for pieces in splits(data):
        decoder = ChunkedDecoder()
        with pytest.raises(Malformed):
            decode(decoder, pieces)
        assert not decoder.complete


@pytest.mark.parametrize("block", [1, 1000, 10**6])
@table(
    "begin, room",
    {
        "size-line": (b"1;", MAX_CHUNK_LINE - len(b"1;\r\n")),
        "trailer": (b"0\r\nA:", MAX_TRAILERS - len(b"A:\r\n")),
        "trailers": (b"0\r\n" + b"A: b\r\n" * (MAX_TRAILERS // 4 - 1) + b"A:", len(b" b")),
    },
)
def test_chunk_lines_and_trailers_are_bounded(begin: bytes, room: int, block: int) -> None:
    def read(data: bytes) -> None:
        decode(ChunkedDecoder(), [data[i : i + block] for i in range(0, len(data), block)])

    read(begin + b"x" * room + b"\r\n")
    for too_long in (b"x" * (room + 1) + b"\r\n", b"x" * 2 * MAX_TRAILERS):
        with pytest.raises(Malformed):
            read(begin + too_long)


def test_many_small_chunks_cost_linear_time() -> None:
    data = b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"
    blocks = [data[i : i + 65536] for i in range(0, len(data), 65536)]
    decoder = ChunkedDecoder()
    with costs_little():
        assert decode(decoder, blocks) == b"x" * 50_000
    assert decoder.complete


TINY = b"1\r\nx\r\n" * STEPS + b"0\r\n\r\n"


@table(
    "data, body, count",
    {
        "tiny-chunks": (TINY, b"x" * STEPS, 4),
        "surplus": (TINY + b"surplus", b"x" * STEPS, 4),
        "extensions": ((b"1;" + b"a" * 4000 + b"\r\nx\r\n") * 9 + b"0\r\n\r\n", b"x" * 9, 3),
        "trailers": (b"0\r\n" + b"A: b\r\n" * 2 * STEPS + b"\r\n", b"", 3),
    },
)
@pytest.mark.parametrize("step", [1, 1000, 10**6])
def test_what_makes_work_is_decoded_in_portions(
    data: bytes, body: bytes, count: int, step: int
) -> None:
    """Each costs about as much as any other, however much came at once."""
    decoder = ChunkedDecoder()
    blocks = [data[i : i + step] for i in range(0, len(data), step)]
    parts = [part for block in blocks for part in portions(decoder, block)]
    assert b"".join(parts) == body
    assert max(map(len, parts)) <= STEPS // 3 + 1
    surplus = len(b"surplus") if data.endswith(b"surplus") else 0
    assert (decoder.complete, decoder.surplus) == (True, surplus)
    assert len(parts) >= count


def test_more_may_come_while_some_of_it_waits() -> None:
    half = len(TINY) // 2
    decoder = ChunkedDecoder()
    body = decoder.feed(TINY[:half]) + decoder.feed(TINY[half:])
    assert (decoder.is_behind, decoder.complete, decoder.surplus) == (True, False, False)
    assert body + decode(decoder, [b""]) == b"x" * STEPS


def test_what_waits_is_no_longer_the_callers() -> None:
    buffer = bytearray(TINY)
    decoder = ChunkedDecoder()
    body = b"".join(decoder.split(memoryview(buffer)))
    buffer[:] = bytes(len(buffer))  # it is read into again
    assert body + decode(decoder, [b""]) == b"x" * STEPS


@pytest.mark.parametrize("bad", [b"x\r\n", b"1\r\nxy"])
def test_what_is_malformed_in_a_later_portion_is_refused_there(bad: bytes) -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(TINY[:-5] + bad)
    with pytest.raises(Malformed):
        decode(decoder, [b""])


def test_a_body_of_known_length_in_any_split() -> None:
    for more in (b"", b" more"):
        for pieces in [*splits(b"hello" + more), [b"hello", more]]:
            decoder = LengthDecoder(5)
            assert decode(decoder, pieces) == b"hello"
            assert (decoder.complete, decoder.surplus) == (True, len(more))
            decoder.eof()
    for length in range(5):
        decoder = LengthDecoder(5)
        assert decoder.feed(b"hello"[:length]) == b"hello"[:length]
        assert not decoder.complete
        with pytest.raises(Truncated):
            decoder.eof()


def test_a_body_of_no_length() -> None:
    decoder = LengthDecoder(0)
    assert (decoder.complete, decoder.surplus) == (True, 0)
    decoder.eof()
    assert decoder.feed(b"x") == b""
    assert decoder.surplus


def test_a_body_that_ends_with_the_connection() -> None:
    for pieces in splits(b"hello"):
        decoder = CloseDecoder()
        assert decode(decoder, pieces) == b"hello"
        assert (decoder.complete, decoder.surplus) == (False, False)
        decoder.eof()
        assert decoder.complete


@pytest.mark.parametrize("make", [ChunkedDecoder, CloseDecoder, lambda: LengthDecoder(10**9)])
def test_a_decoder_keeps_nothing_of_what_it_has_given_out(make: Callable[[], Decoder]) -> None:
    decoder = make()
    if isinstance(decoder, ChunkedDecoder):
        decoder.feed(b"40000000\r\n")
    block = b"x" * 65536
    for _ in range(3):
        assert decoder.feed(block) is block
        assert not decoder.is_behind
    kept = [value for value in vars(decoder).values() if isinstance(value, (bytes, bytearray))]
    assert not any(kept)


# --- The choice of the framing -------------------------------------------------------------------


def a_head(minor: int, status: int, fields: Iterable[str]) -> Head:
    lines = [f"HTTP/1.{minor} {status} x", *fields]
    return parse_head(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8"))


def framing(*fields: str, method: str = "GET", status: int = 200, minor: int = 1) -> Decoder:
    return body_decoder(a_head(minor, status, fields), method)


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        (["content-length: 0"], 0),
        (["Content-Length: 00005"], 5),
        (["Content-Length: 5, 5"], 5),
        (["Content-Length: 5,5,\t5", "CONTENT-LENGTH: 5"], 5),
        (["Content-Length: 999999999999999999"], 999999999999999999),
    ],
)
def test_a_length(fields: list[str], length: int) -> None:
    decoder = framing(*fields)
    assert isinstance(decoder, LengthDecoder)
    assert decoder.remaining == length


def test_the_other_framings() -> None:
    for coding in ("chunked", "CHUNKED"):
        assert isinstance(framing(f"Transfer-Encoding: {coding}"), ChunkedDecoder)
    for minor in (0, 1):
        assert isinstance(framing(minor=minor), CloseDecoder)
    assert isinstance(framing("Content-Length: 5", status=101), CloseDecoder)
    with pytest.raises(Malformed):
        framing("Transfer-Encoding: chunked", minor=0)


LENGTHS = ["", "5 5", "5,4", "+5", "-5", "0_5", "5.0", "0x5", "²", "5a", "5,,", ",5", "5,"]
LENGTHS += ["\u0665", "1000000000000000000"]
CODINGS = ["", "identity", "gzip", "xchunked", "chunked, chunked", "gzip, chunked", "chunked, gzip"]
CODINGS += ["chunked,", ",chunked", "chunked;q=1", "\x0bchunked", "\xa0chunked"]
BAD_FRAMING = [
    *([f"Content-Length: {value}"] for value in LENGTHS),
    ["Content-Length: 5", "Content-Length: 4"],
    ["Content-Length: 5", "Content-Length: 05"],
    ["Content-Length: 5", "Content-Length: "],
    *([f"Transfer-Encoding: {value}"] for value in CODINGS),
    ["Transfer-Encoding: chunked", "Content-Length: 5"],
    ["Content-Length: 5", "Transfer-Encoding: identity"],
    ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
]


@pytest.mark.parametrize("fields", BAD_FRAMING, ids=lambda fields: " ".join(fields)[:50])
@pytest.mark.parametrize(
    ("method", "status"), [("GET", 200), ("HEAD", 200), ("GET", 204), ("GET", 304)]
)
def test_a_framing_that_two_readers_could_read_in_two_ways(
    fields: list[str], method: str, status: int
) -> None:
    with pytest.raises(Malformed):
        framing(*fields, method=method, status=status)


@pytest.mark.parametrize("fields", [[], ["Content-Length: 5"], ["Transfer-Encoding: chunked"]])
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("POST", 304)])
def test_where_no_body_may_be_there_is_none(fields: list[str], method: str, status: int) -> None:
    decoder = framing(*fields, method=method, status=status)
    assert decoder.complete
    assert decoder.feed(b"bogus") == b""
    assert decoder.surplus


@pytest.mark.parametrize(
    ("minor", "status", "fields", "expected"),
    [
        (1, 200, [], True),
        (1, 200, ["Connection: closed, x"], True),
        (1, 200, ["Connection: Close"], False),
        (1, 200, ["Connection: keep-alive, close"], False),
        (1, 200, ["Connection: x", "Connection: CLOSE"], False),
        (0, 200, [], False),
        (0, 200, ["Connection: x, Keep-Alive"], True),
        (0, 200, ["Connection: keep-alive, close"], False),
        (1, 204, [], True),
        (1, 204, ["Content-Length: 0"], True),
        (1, 204, ["Content-Length: 5"], False),
        (1, 204, ["Transfer-Encoding: chunked"], False),
    ],
)
def test_whether_the_connection_can_be_used_again(
    minor: int, status: int, fields: list[str], expected: bool
) -> None:
    assert keeps_alive(a_head(minor, status, fields)) is expected
