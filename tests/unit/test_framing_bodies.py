"""The strict reading of HTTP/1 response bodies, and which framing a head announces.

Each sample is read in one piece, byte by byte, and cut in two at every position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from wsgi_portproxy.framing import (
    MAX_CHUNK_LINE,
    MAX_TRAILERS,
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

from .given import costs_little, splits


def decode(decoder: Decoder, pieces: Iterable[bytes]) -> bytes:
    return b"".join(decoder.feed(piece) for piece in pieces)


CHUNKED = [
    ("empty", b"0\r\n\r\n", b""),
    ("one", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    ("two", b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
    ("hexadecimal", b"1a\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n", b"x" * 26),
    ("upper-case", b"1A\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n", b"x" * 26),
    ("leading-zeros", b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
    ("sixteen-digits", b"0000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
    ("line-ends-in-the-data", b"6\r\n\r\n0\r\n\r\r\n0\r\n\r\n", b"\r\n0\r\n\r"),
    ("extension", b"5;name=value\r\nhello\r\n0;x\r\n\r\n", b"hello"),
    ("extension-with-quotes", b'5;a="b\tc"; d\r\nhello\r\n0\r\n\r\n', b"hello"),
    ("space-before-the-extension", b"5 \t;a\r\nhello\r\n0\r\n\r\n", b"hello"),
    ("trailers", b"5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n", b"hello"),
    ("trailers-that-speak-of-framing", b"0\r\nContent-Length: 9\r\n\r\n", b""),
    ("nothing-but-a-nul", b"1\r\n\0\r\n0\r\n\r\n", b"\0"),
]


@pytest.mark.parametrize(
    ("data", "body"), [row[1:] for row in CHUNKED], ids=[row[0] for row in CHUNKED]
)
def test_a_chunked_body_in_any_split(data: bytes, body: bytes) -> None:
    for pieces in splits(data):
        decoder = ChunkedDecoder()
        assert decode(decoder, pieces) == body
        assert (decoder.complete, decoder.surplus) == (True, False)
        decoder.eof()


@pytest.mark.parametrize("data", [row[1] for row in CHUNKED], ids=[row[0] for row in CHUNKED])
def test_a_chunked_body_that_ends_early(data: bytes) -> None:
    for length in range(len(data)):
        decoder = ChunkedDecoder()
        decoder.feed(data[:length])
        assert not decoder.complete
        with pytest.raises(Truncated):
            decoder.eof()


@pytest.mark.parametrize("data", [row[1] for row in CHUNKED], ids=[row[0] for row in CHUNKED])
@pytest.mark.parametrize("more", [b"x", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_bytes_behind_a_chunked_body(data: bytes, more: bytes) -> None:
    body = {row[1]: row[2] for row in CHUNKED}[data]
    for pieces in [*splits(data + more), [data, more]]:
        decoder = ChunkedDecoder()
        assert decode(decoder, pieces) == body
        assert (decoder.complete, decoder.surplus) == (True, True)


BAD_CHUNKS = [
    ("0x", b"0x3\r\nabc\r\n0\r\n\r\n"),
    ("plus", b"+3\r\nabc\r\n0\r\n\r\n"),
    ("minus", b"-3\r\nabc\r\n0\r\n\r\n"),
    ("underscore", b"3_0\r\n" + b"x" * 48 + b"\r\n0\r\n\r\n"),
    ("space-before", b" 3\r\nabc\r\n0\r\n\r\n"),
    ("space-behind", b"3 \r\nabc\r\n0\r\n\r\n"),
    ("tab-behind", b"3\t\r\nabc\r\n0\r\n\r\n"),
    ("space-within", b"1 0\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n"),
    ("empty", b"\r\nabc\r\n0\r\n\r\n"),
    ("only-an-extension", b";a=b\r\nabc\r\n0\r\n\r\n"),
    ("letter", b"g\r\nabc\r\n0\r\n\r\n"),
    ("h", b"3h\r\nabc\r\n0\r\n\r\n"),
    ("not-ascii", "٣\r\nabc\r\n0\r\n\r\n".encode()),
    ("seventeen-digits", b"00000000000000003\r\nabc\r\n0\r\n\r\n"),
    ("more-than-64-bits", b"10000000000000003\r\nabc\r\n0\r\n\r\n"),
    ("comma", b"3,3\r\nabc\r\n0\r\n\r\n"),
    ("lf", b"3\nabc\r\n0\r\n\r\n"),
    ("lf-behind-the-data", b"3\r\nabc\n0\r\n\r\n"),
    ("cr-behind-the-data", b"3\r\nabc\rx0\r\n\r\n"),
    ("nothing-behind-the-data", b"3\r\nabc0\r\n\r\n"),
    ("more-data-than-said", b"3\r\nabcd\r\n0\r\n\r\n"),
    ("cr-cr-lf", b"3\r\r\nabc\r\n0\r\n\r\n"),
    ("lf-in-the-extension", b"3;a\nb\r\nabc\r\n0\r\n\r\n"),
    ("cr-in-the-extension", b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
    ("nul-in-the-extension", b"3;a\0\r\nabc\r\n0\r\n\r\n"),
    ("lf-behind-the-last", b"0\n\r\n"),
    ("last-line-lf", b"0\r\n\n"),
    ("trailer-without-colon", b"0\r\nabc\r\n\r\n"),
    ("trailer-folded", b"0\r\nA: b\r\n c\r\n\r\n"),
    ("trailer-with-lf", b"0\r\nA: b\n\r\n"),
    ("trailer-with-nul", b"0\r\nA: b\0\r\n\r\n"),
    ("trailer-with-space-before-the-colon", b"0\r\nA : b\r\n\r\n"),
]


@pytest.mark.parametrize("data", [row[1] for row in BAD_CHUNKS], ids=[row[0] for row in BAD_CHUNKS])
def test_a_malformed_chunk_in_any_split(data: bytes) -> None:
    for pieces in splits(data):
        decoder = ChunkedDecoder()
        with pytest.raises(Malformed):
            decode(decoder, pieces)
        assert not decoder.complete


@pytest.mark.parametrize("block", [1, 1000, 10**6])
@pytest.mark.parametrize(
    "data",
    [
        b"1" * (MAX_CHUNK_LINE + 1),
        b"1;" + b"x" * MAX_CHUNK_LINE,
        b"0\r\nA: " + b"x" * (MAX_TRAILERS + 1),
        b"0\r\n" + b"A: b\r\n" * MAX_TRAILERS,
    ],
    ids=["size", "extension", "trailer", "trailers"],
)
def test_chunk_lines_and_trailers_are_bounded(data: bytes, block: int) -> None:
    with pytest.raises(Malformed):
        decode(ChunkedDecoder(), [data[i : i + block] for i in range(0, len(data), block)])


def test_many_small_chunks_cost_linear_time() -> None:
    data = b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"
    blocks = [data[i : i + 65536] for i in range(0, len(data), 65536)]
    decoder = ChunkedDecoder()
    with costs_little():
        assert decode(decoder, blocks) == b"x" * 50_000
    assert decoder.complete


def test_a_body_of_known_length_in_any_split() -> None:
    for pieces in splits(b"hello"):
        decoder = LengthDecoder(5)
        assert decode(decoder, pieces) == b"hello"
        assert (decoder.complete, decoder.surplus) == (True, False)
        decoder.eof()
    for pieces in [*splits(b"hello more"), [b"hello", b" more"]]:
        decoder = LengthDecoder(5)
        assert decode(decoder, pieces) == b"hello"
        assert (decoder.complete, decoder.surplus) == (True, True)
    for length in range(5):
        decoder = LengthDecoder(5)
        assert decoder.feed(b"hello"[:length]) == b"hello"[:length]
        assert not decoder.complete
        with pytest.raises(Truncated):
            decoder.eof()


def test_a_body_of_no_length() -> None:
    decoder = LengthDecoder(0)
    assert (decoder.complete, decoder.surplus) == (True, False)
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


# --- The choice of the framing -------------------------------------------------------------------


def a_head(minor: int, status: int, headers: list[tuple[str, str]]) -> Head:
    lines = [f"HTTP/1.{minor} {status} x", *(f"{name}: {value}" for name, value in headers)]
    return parse_head(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8"))


def framing(*fields: str, method: str = "GET", status: int = 200, minor: int = 1) -> Decoder:
    pairs = [field.partition(": ") for field in fields]
    headers = [(name, value) for name, _, value in pairs]
    return body_decoder(a_head(minor, status, headers), method)


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        (["Content-Length: 5"], 5),
        (["content-length: 0"], 0),
        (["Content-Length: 00005"], 5),
        (["Content-Length: 5", "CONTENT-LENGTH: 5"], 5),
        (["Content-Length: 5, 5"], 5),
        (["Content-Length: 5,5,\t5", "Content-Length: 5"], 5),
        (["Content-Length: 999999999999999999"], 999999999999999999),
    ],
)
def test_a_length(fields: list[str], length: int) -> None:
    decoder = framing(*fields)
    assert isinstance(decoder, LengthDecoder)
    assert decoder.remaining == length


@pytest.mark.parametrize("coding", ["chunked", "Chunked", "CHUNKED"])
def test_chunked(coding: str) -> None:
    assert isinstance(framing(f"Transfer-Encoding: {coding}"), ChunkedDecoder)


@pytest.mark.parametrize("minor", [0, 1])
def test_neither_ends_with_the_connection(minor: int) -> None:
    assert isinstance(framing(minor=minor), CloseDecoder)


LENGTHS = ["5,4", "+5", "-5", "0_5", "5;", "5.0", "0x5", "5e0", "²", "5a", "a5", "5,,", ",5", "5,"]
LENGTHS += ["\u0665", "\uff15", "1000000000000000000", "99999999999999999999"]
BAD_FRAMING = [
    *([f"Content-Length: {value}"] for value in LENGTHS),
    ["Content-Length: "],
    ["Content-Length: 5 5"],
    ["Content-Length: 5", "Content-Length: 4"],
    ["Content-Length: 5", "Content-Length: 05"],
    ["Content-Length: 5", "Content-Length: "],
    ["Content-Length: " + "1" * 10000],
    ["Transfer-Encoding: chunked", "Content-Length: 5"],
    ["Content-Length: 5", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: identity", "Content-Length: 5"],
    ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: chunked, chunked"],
    ["Transfer-Encoding: gzip, chunked"],
    ["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: chunked, gzip"],
    ["Transfer-Encoding: chunked,"],
    ["Transfer-Encoding: ,chunked"],
    ["Transfer-Encoding: chunked;q=1"],
    ["Transfer-Encoding: identity"],
    ["Transfer-Encoding: gzip"],
    ["Transfer-Encoding: xchunked"],
    ["Transfer-Encoding: "],
    ["Transfer-Encoding: \x0bchunked"],
    ["Transfer-Encoding: \xa0chunked"],
    ["Transfer-Encoding: \x85chunked"],
]


@pytest.mark.parametrize("fields", BAD_FRAMING, ids=lambda fields: " ".join(fields)[:50])
@pytest.mark.parametrize(
    ("method", "status"), [("GET", 200), ("HEAD", 200), ("GET", 204), ("GET", 304), ("POST", 500)]
)
def test_a_framing_that_two_readers_could_read_in_two_ways(
    fields: list[str], method: str, status: int
) -> None:
    with pytest.raises(Malformed):
        framing(*fields, method=method, status=status)


def test_chunked_in_http_1_0() -> None:
    with pytest.raises(Malformed):
        framing("Transfer-Encoding: chunked", minor=0)


@pytest.mark.parametrize("fields", [[], ["Content-Length: 5"], ["Transfer-Encoding: chunked"]])
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("POST", 304)])
def test_where_no_body_may_be_there_is_none(fields: list[str], method: str, status: int) -> None:
    decoder = framing(*fields, method=method, status=status)
    assert decoder.complete
    assert decoder.feed(b"bogus") == b""
    assert decoder.surplus


@pytest.mark.parametrize(
    ("minor", "values", "expected"),
    [
        (1, [], True),
        (1, ["keep-alive"], True),
        (1, ["close"], False),
        (1, ["Close"], False),
        (1, ["keep-alive, close"], False),
        (1, ["x", "CLOSE"], False),
        (1, ["closed"], True),
        (0, [], False),
        (0, ["keep-alive"], True),
        (0, ["Keep-Alive"], True),
        (0, ["keep-alive, close"], False),
    ],
)
def test_whether_the_connection_can_be_used_again(
    minor: int, values: list[str], expected: bool
) -> None:
    fields = [("Connection", value) for value in values]
    assert keeps_alive(a_head(minor, 200, fields)) is expected


@pytest.mark.parametrize("make", [ChunkedDecoder, CloseDecoder, lambda: LengthDecoder(10**9)])
def test_a_decoder_keeps_nothing_of_what_it_has_given_out(make: Callable[[], Decoder]) -> None:
    decoder = make()
    prefix = b"40000000\r\n" if isinstance(decoder, ChunkedDecoder) else b""
    decoder.feed(prefix)
    block = b"x" * 65536
    for _ in range(100):
        assert decoder.feed(block) is block or decoder.feed(block) == block
    kept = [value for value in vars(decoder).values() if isinstance(value, (bytes, bytearray))]
    assert sum(map(len, kept)) == 0
