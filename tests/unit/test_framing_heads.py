"""The strict reading of HTTP/1 response heads: whatever RFC 9112 does not allow is refused.

Each sample is read in one piece, byte by byte, and cut in two at every position: how the bytes
happen to arrive must make no difference.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from wsgi_portproxy.framing import (
    MAX_FIELDS,
    MAX_HEAD,
    Head,
    Malformed,
    find_head_end,
    keeps_alive,
    parse_head,
)

from .given import costs_little, splits


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
GOOD_HEADS: list[tuple[str, bytes, Head]] = [
    ("no-fields", head(OK), a_head(1, 200, "OK", [])),
    ("one", head(OK, b"A: b"), a_head(1, 200, "OK", [("A", "b")])),
    ("http-1.0", head(b"HTTP/1.0 404 Not Found"), a_head(0, 404, "Not Found", [])),
    ("http-1.9", head(b"HTTP/1.9 200 OK"), a_head(9, 200, "OK", [])),
    ("no-reason", head(b"HTTP/1.1 200 "), a_head(1, 200, "", [])),
    ("no-reason-no-space", head(b"HTTP/1.1 200"), a_head(1, 200, "", [])),
    ("long-reason", head(b"HTTP/1.1 200 a b\tc  d"), a_head(1, 200, "a b\tc  d", [])),
    ("reason-in-bytes", head(b"HTTP/1.1 200 \xc3\xa4\xff"), a_head(1, 200, "Ã¤ÿ", [])),
    ("odd-status", head(b"HTTP/1.1 299 x"), a_head(1, 299, "x", [])),
    ("599", head(b"HTTP/1.1 599 x"), a_head(1, 599, "x", [])),
    ("999", head(b"HTTP/1.1 999 x"), a_head(1, 999, "x", [])),
    ("000", head(b"HTTP/1.1 000 x"), a_head(1, 0, "x", [])),
    ("no-space", head(OK, b"A:b"), a_head(1, 200, "OK", [("A", "b")])),
    ("spaces-around", head(OK, b"A: \t b c \t "), a_head(1, 200, "OK", [("A", "b c")])),
    ("tab-within", head(OK, b"A: b\tc"), a_head(1, 200, "OK", [("A", "b\tc")])),
    ("empty-value", head(OK, b"A:"), a_head(1, 200, "OK", [("A", "")])),
    ("value-of-spaces", head(OK, b"A: \t  "), a_head(1, 200, "OK", [("A", "")])),
    ("one-character", head(OK, b"A: b "), a_head(1, 200, "OK", [("A", "b")])),
    ("colons-in-the-value", head(OK, b"A: b: c:"), a_head(1, 200, "OK", [("A", "b: c:")])),
    ("bytes", head(OK, b"A: \xe4\xff"), a_head(1, 200, "OK", [("A", "äÿ")])),
    ("order", head(OK, b"B: 1", b"a: 2", b"B: 3"), a_head(1, 200, "OK", [*zip("BaB", "123")])),  # noqa: B905
    (
        "token-characters",
        head(OK, b"!#$%&'*+-.^_`|~09AZaz: 1"),
        a_head(1, 200, "OK", [("!#$%&'*+-.^_`|~09AZaz", "1")]),
    ),
]


@pytest.mark.parametrize(
    ("data", "expected"), [row[1:] for row in GOOD_HEADS], ids=[row[0] for row in GOOD_HEADS]
)
@pytest.mark.parametrize("rest", [b"", b"body", b"\r\n\r\n"], ids=["alone", "body", "lines"])
def test_a_head_in_any_split(data: bytes, expected: Head, rest: bytes) -> None:
    for pieces in splits(data + rest):
        result = read_head(pieces)
        assert result is not None
        assert result[0] == expected
        assert rest.startswith(result[1])
    for length in range(1, len(data)):
        assert read_head([data[:length]]) is None


BAD_HEADS = [
    ("no-colon", head(OK, b"Broken")),
    ("no-colon-first", head(OK, b"Broken", b"A: b")),
    ("space-before-the-colon", head(OK, b"A : b")),
    ("tab-before-the-colon", head(OK, b"A\t: b")),
    ("space-in-the-name", head(OK, b"A B: c")),
    ("space-before-the-name", head(OK, b" A: b")),
    ("empty-name", head(OK, b": b")),
    ("odd-name", head(OK, b"A(b): c")),
    ("name-not-ascii", head(OK, b"\xc3\xa4: b")),
    ("quoted-name", head(OK, b'"A": b')),
    ("folded", head(OK, b"A: b", b" c")),
    ("folded-with-tab", head(OK, b"A: b", b"\tc")),
    ("folded-first", head(OK, b" A: b")),
    ("nul", head(OK, b"A: b\0c")),
    ("nul-in-the-name", head(OK, b"A\0: b")),
    ("control-character", head(OK, b"A: b\x01")),
    ("escape", head(OK, b"A: \x1b[31m")),
    ("delete", head(OK, b"A: b\x7f")),
    ("vertical-tab", head(OK, b"A: b\x0b")),
    ("bare-cr", head(OK, b"A: b\rc: d")),
    ("bare-cr-at-the-end", head(OK, b"A: b\r")),
    ("bare-lf", head(OK, b"A: b\nC: d")),
    ("bare-lf-in-the-name", head(OK, b"A\nB: c")),
    ("only-lf", b"HTTP/1.1 200 OK\nA: b\n\n"),
    ("lf-lf-behind-crlf", b"HTTP/1.1 200 OK\r\nA: b\n\nbody\r\n\r\n"),
    ("cr-cr", b"HTTP/1.1 200 OK\rA: b\r\r"),
    ("cr-in-the-reason", head(b"HTTP/1.1 200 O\rK")),
    ("lf-in-the-reason", head(b"HTTP/1.1 200 O\nK")),
    ("nul-in-the-reason", head(b"HTTP/1.1 200 O\0K")),
    ("empty-status-line", b"\r\nHTTP/1.1 200 OK\r\n\r\n"),
    ("no-status", head(b"HTTP/1.1")),
    ("no-status-but-space", head(b"HTTP/1.1 ")),
    ("short-status", head(b"HTTP/1.1 20 OK")),
    ("long-status", head(b"HTTP/1.1 2000 OK")),
    ("status-not-ascii", head("HTTP/1.1 ٢٠٠ OK".encode())),
    ("negative-status", head(b"HTTP/1.1 -20 OK")),
    ("two-spaces", head(b"HTTP/1.1  200 OK")),
    ("tab-instead-of-space", head(b"HTTP/1.1\t200 OK")),
    ("reason-without-space", head(b"HTTP/1.1 200OK")),
    ("no-minor", head(b"HTTP/1. 200 OK")),
    ("two-digit-minor", head(b"HTTP/1.10 200 OK")),
    ("http-2", head(b"HTTP/2 200 OK")),
    ("http-2.0", head(b"HTTP/2.0 200 OK")),
    ("http-0.9", b"<html>hello</html>\r\n\r\n"),
    ("lower-case", head(b"http/1.1 200 OK")),
    ("space-first", head(b" HTTP/1.1 200 OK")),
    ("icy", head(b"ICY 200 OK")),
    ("ssh", b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    ("smtp", b"220 mail.example.com ESMTP\r\n\r\n"),
    ("redis", b"-ERR unknown command\r\n\r\n"),
    ("tls-alert", b"\x15\x03\x01\x00\x02\x02\x46"),
    ("http-2-frame", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"),
    ("a-request", head(b"GET / HTTP/1.1", b"Host: x")),
    ("nuls", b"\0\0\0\0\r\n\r\n"),
    ("spaces-and-a-control-character", head(OK, b"A:" + b" " * 50 + b"\x01")),
]


@pytest.mark.parametrize("data", [row[1] for row in BAD_HEADS], ids=[row[0] for row in BAD_HEADS])
def test_a_malformed_head_in_any_split(data: bytes) -> None:
    for pieces in splits(data):
        with pytest.raises(Malformed):
            read_head(pieces)  # neither a head nor one that is still to come


@pytest.mark.parametrize(
    "greeting",
    [b"SSH-2.0", b"220 mai", b"\x15\x03\x01", b"+", b"HTTP/2 ", b"HTTX", b"\r", b"\n", b" ", b"h"],
)
def test_what_cannot_become_a_head_is_not_waited_for(greeting: bytes) -> None:
    with pytest.raises(Malformed):
        find_head_end(bytearray(greeting))


@pytest.mark.parametrize(
    "begin", [b"HTTP/1.1 200 OK\nA", b"HTTP/1.1 200 OK\r\nA: b\nC", b"HTTP/1.1 200\rO"]
)
def test_other_line_ends_are_not_waited_for(begin: bytes) -> None:
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


@pytest.mark.parametrize("size", [MAX_HEAD + 1, MAX_HEAD + 100, MAX_HEAD * 4])
@pytest.mark.parametrize("block", [1460, 65536, 10**6])
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
    assert read_head([head(OK, *[b"A: b"] * 150)]) is not None
    assert read_head([head(OK, *[b"A: b"] * MAX_FIELDS)]) is not None
    with pytest.raises(Malformed, match="fields"):
        read_head([head(OK, *[b"A: b"] * (MAX_FIELDS + 1))])
    with pytest.raises(Malformed):
        read_head([head(OK, *[b"A: b"] * 5000)])


@pytest.mark.parametrize(
    "field",
    [
        b"A:" + b" " * 60000 + b"\x01",
        b"A: b" + b" " * 60000 + b"\x01",
        b"A:" + b" b" * 30000 + b"\x01",
        b"A:" + b"\t" * 30000 + b"b" + b"\t" * 30000 + b"\x01",
        b"a" * 60000,
        b"a" * 60000 + b" :",
        b":" * 60000 + b"\x01",
    ],
    ids=["spaces", "spaces-behind", "words", "tabs", "name", "name-and-space", "colons"],
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
