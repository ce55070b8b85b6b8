"""The strict reading of HTTP/1 response heads: whatever RFC 9112 does not allow is refused.

Each sample is read in one piece, byte by byte, and cut in two at every position: how the bytes
happen to arrive must make no difference.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from wsgi_portproxy.upstream.framing import (
    MAX_HEAD,
    MAX_HEADERS,
    Head,
    Malformed,
    find_head_end,
    keeps_alive,
    parse_head,
)

from .given import costs_little, splits, table


def a_head(minor: int, status: int, reason: str, headers: list[tuple[str, str]]) -> Head:
    return Head(minor, status, reason, headers, framing={})  # which is not compared


def read_head(pieces: Iterable[bytes]) -> tuple[Head, bytes] | None:
    """The head and what came behind it, as `upstream` reads them; None if it has not all come."""
    buffer = bytearray()
    searched = 0
    for piece in pieces:
        buffer += piece
        end = find_head_end(buffer, searched)
        if end >= 0:
            rest = piece[len(piece) - (len(buffer) - end) :] if len(buffer) > end else b""
            return parse_head(buffer[:end]), rest
        searched = len(buffer)
    return None


def head(text: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([text, *fields, b"", b""])


# --- Heads ---------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK"
GOOD_HEADS = {
    "http-1.0": (head(b"HTTP/1.0 404 Not Found"), a_head(0, 404, "Not Found", [])),
    "http-1.9": (head(b"HTTP/1.9 200 OK"), a_head(9, 200, "OK", [])),
    "no-reason": (head(b"HTTP/1.1 200 "), a_head(1, 200, "", [])),
    "no-reason-no-space": (head(b"HTTP/1.1 200"), a_head(1, 200, "", [])),
    "long-reason": (head(b"HTTP/1.1 000 a b\tc  d"), a_head(1, 0, "a b\tc  d", [])),
    "reason-in-bytes": (head(b"HTTP/1.1 999 \xc3\xa4\xff"), a_head(1, 999, "Ã¤ÿ", [])),
    "spaces-around": (
        head(OK, b"A:b", b"B: \t b c \t ", b"C:\tb\tc\t", b"D:", b"E: \t  "),
        a_head(1, 200, "OK", [("A", "b"), ("B", "b c"), ("C", "b\tc"), ("D", ""), ("E", "")]),
    ),
    "order": (
        head(OK, b"B: 1", b"a: 2:", b"B: \xe4\xff"),
        a_head(1, 200, "OK", [("B", "1"), ("a", "2:"), ("B", "äÿ")]),
    ),
    "token-characters": (
        head(OK, b"!#$%&'*+-.^_`|~09AZaz: 1"),
        a_head(1, 200, "OK", [("!#$%&'*+-.^_`|~09AZaz", "1")]),
    ),
}


@table("data, expected", GOOD_HEADS)
@pytest.mark.parametrize("rest", [b"", b"body", b"\r\n\r\n"], ids=["alone", "body", "lines"])
def test_a_head_in_any_split(data: bytes, expected: Head, rest: bytes) -> None:
    for pieces in splits(data + rest):
        result = read_head(pieces)
        assert result is not None
        assert result[0] == expected
        assert rest.startswith(result[1])
    for length in range(1, len(data)):
        assert read_head([data[:length]]) is None


BAD_FIELDS = [
    *(b"Broken", b"A : b", b"A B: c", b": b", b"A(b): c", b"\xc3\xa4: b", b"A\0: b", b" A: b"),
    *(b"A: b\r\n c", b"A: b\r\n\tc", b"Broken\r\nA: b"),
    *(b"A: b\0c", b"A: b\x1f", b"A: b\x7f", b"A: b\x0b"),
    *(b"A: b\rc: d", b"A: b\r", b"A: b\nC: d", b"A\nB: c"),
]
BAD_STATUS_LINES = [
    *(b"HTTP/1.1", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", "HTTP/1.1 ٢٠٠ OK".encode()),
    *(b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b"HTTP/1.1 200OK", b"HTTP/1. 200 OK"),
    *(b"HTTP/1.10 200 OK", b"HTTP/2.0 200 OK", b"http/1.1 200 OK", b" HTTP/1.1 200 OK"),
    *(b"HTTP/1.1 200 O\rK", b"HTTP/1.1 200 O\nK", b"HTTP/1.1 200 O\0K", b"GET / HTTP/1.1"),
]


@pytest.mark.parametrize(
    "data",
    [
        *(head(OK, field) for field in BAD_FIELDS),
        *map(head, BAD_STATUS_LINES),
        *(b"HTTP/1.1 200 OK\nA: b\n\n", b"HTTP/1.1 200 OK\r\nA: b\n\nbody\r\n\r\n"),
        *(b"HTTP/1.1 200 OK\rA: b\r\r", b"\r\nHTTP/1.1 200 OK\r\n\r\n"),
        *(b"<html>hello</html>\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
        b"\x15\x03\x01\x00\x02\x02\x46",  # an alert of TLS
    ],
)
def test_a_malformed_head_in_any_split(data: bytes) -> None:
    for pieces in splits(data):
        with pytest.raises(Malformed):
            read_head(pieces)  # neither a head nor one that is still to come


@pytest.mark.parametrize(
    "begin",
    [
        *(b"SSH-2.0", b"\x15\x03\x01", b"+", b"HTTP/2 ", b"HTTX", b"\r", b"\n", b" ", b"h"),
        *(b"HTTP/1.1 200 OK\nA", b"HTTP/1.1 200 OK\r\nA: b\nC", b"HTTP/1.1 200\rO"),
    ],
)
def test_what_cannot_become_a_head_is_not_waited_for(begin: bytes) -> None:
    for pieces in splits(begin):
        with pytest.raises(Malformed):
            read_head(pieces)


def filled(size: int) -> bytes:
    """A valid head of `size` bytes."""
    begin = OK + b"\r\nA: "
    return begin + b"x" * (size - len(begin) - 4) + b"\r\n\r\n"


def test_the_largest_head() -> None:
    assert len(filled(MAX_HEAD)) == MAX_HEAD == 65536
    result = read_head([filled(MAX_HEAD) + b"body"])
    assert result is not None
    assert result[1] == b"body"
    assert read_head([filled(MAX_HEAD)[:40000], filled(MAX_HEAD)[40000:]]) is not None


@pytest.mark.parametrize("size", [MAX_HEAD + 1, MAX_HEAD * 4])
@pytest.mark.parametrize("block", [1460, 10**6])
def test_a_head_that_is_larger(size: int, block: int) -> None:
    data = filled(size)
    with pytest.raises(Malformed, match="too long"):
        read_head([data[i : i + block] for i in range(0, size, block)])


def test_a_head_without_end_is_refused_as_soon_as_it_is_too_long() -> None:
    data = OK + b"\r\nA: " + b"x" * MAX_HEAD
    assert read_head([data[: MAX_HEAD - 1]]) is None
    with pytest.raises(Malformed, match="too long"):
        read_head([data[:MAX_HEAD]])


def test_the_number_of_fields() -> None:
    assert read_head([head(OK, *[b"A: b"] * MAX_HEADERS)]) is not None
    with pytest.raises(Malformed, match="fields"):
        read_head([head(OK, *[b"A: b"] * (MAX_HEADERS + 1))])


@table(
    "field",
    {
        "spaces": b"A:" + b" " * 60000 + b"\x01",
        "spaces-behind": b"A: b" + b" " * 60000 + b"\x01",
        "words": b"A:" + b" b" * 30000 + b"\x01",
        "name": b"a" * 60000,
        "colons": b":" * 60000 + b"\x01",
    },
)
def test_a_malformed_field_costs_linear_time(field: bytes) -> None:
    with costs_little(), pytest.raises(Malformed):
        read_head([head(OK, field)])


def test_a_head_byte_by_byte_costs_linear_time() -> None:
    with costs_little():
        data = filled(MAX_HEAD)
        assert read_head(data[i : i + 1] for i in range(MAX_HEAD)) is not None


def test_the_fields_that_frame_a_message_are_kept_by_name() -> None:
    lines = [
        b"Connection: Keep-Alive, x ",
        b"A: 1",
        b"connection:\t ,CLOSE\t,",
        b"CONTENT-Length: 5",
    ]
    read = read_head([head(OK, *lines)])
    assert read is not None
    assert read[0].framing == {"connection": "keep-alive, x,,close\t,", "content-length": "5"}
    assert not keeps_alive(read[0])
