"""How a request's body is announced to the service, and that it comes out as announced."""

from __future__ import annotations

import io
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from wsgi_portproxy.errors import BadRequest, LengthRequired, NotImplementedHere, VisitorGone
from wsgi_portproxy.upstream.request_body import FIRST_BLOCK, LAST_BLOCK, Upload, upload_of

from .given import environ, table, words

METHODS = pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PROPFIND"])
CHUNKED: dict[str, Any] = {"HTTP_TRANSFER_ENCODING": "chunked"}


def announced(**fields: Any) -> tuple[str, str] | None:
    upload = upload_of(environ(**fields))
    return upload.header if upload is not None else None


def an_upload(**fields: Any) -> Upload:
    """That of a POST, whose input may be one of the readers below."""
    upload = upload_of(environ(method="POST", **fields))
    assert upload is not None
    return upload


def of_input(source: Any, **fields: Any) -> Upload:
    return an_upload(**{"wsgi.input": source, **fields})


def wire(upload: Upload) -> list[bytes]:
    """All blocks as they go onto the wire."""
    blocks = []
    while not upload.complete:
        blocks.append(bytes(upload.next_block()))
    return blocks


@METHODS
def test_what_came_is_announced(method: str) -> None:
    assert announced(method=method) is None
    assert announced(method=method, CONTENT_LENGTH="") is None
    assert announced(method=method, body=b"hello") == ("Content-Length", "5")
    for coding in ("chunked", " Chunked "):
        fields = {"HTTP_TRANSFER_ENCODING": coding}
        assert announced(method=method, **fields) == ("Transfer-Encoding", "chunked")


def test_a_length_of_zero_says_something_for_some_methods_only() -> None:
    for method in ("GET", "HEAD", "DELETE", "OPTIONS"):
        assert announced(method=method, CONTENT_LENGTH="0") is None
    for method in ("POST", "PUT", "PATCH", "X"):
        assert announced(method=method, CONTENT_LENGTH="0") == ("Content-Length", "0")


def test_a_length_has_eighteen_digits_at_most() -> None:
    assert announced(CONTENT_LENGTH="9" * 18) == ("Content-Length", "9" * 18)
    for length in ("9" * 19, "9" * 5000):
        with pytest.raises(BadRequest):
            announced(CONTENT_LENGTH=length)


@pytest.mark.parametrize(
    "length", ["5 ", " 5", *words("-1 +5 5.0 0x5 1_0 5,5 \u0665 ² abc")], ids=ascii
)
def test_what_is_no_length_is_refused(length: str) -> None:
    for method in ("GET", "POST"):
        with pytest.raises(BadRequest):
            announced(method=method, CONTENT_LENGTH=length)


@pytest.mark.parametrize(
    "coding", ["gzip, chunked", "chunked, chunked", "identity", "xchunked", "chunked;q=1"]
)
def test_another_coding_is_not_supported(coding: str) -> None:
    with pytest.raises(NotImplementedHere):
        announced(method="POST", HTTP_TRANSFER_ENCODING=coding)


@pytest.mark.parametrize("terminated", [None, False])
def test_a_chunked_body_that_the_server_does_not_decode_needs_a_length(terminated: Any) -> None:
    with pytest.raises(LengthRequired) as caught:
        announced(method="POST", **{**CHUNKED, "wsgi.input_terminated": terminated})
    assert caught.value.status == 411


def test_of_both_chunked_counts() -> None:
    """RFC 9112 section 6.3; servers refuse it or drop the length."""
    fields = {**CHUNKED, "CONTENT_LENGTH": "5"}
    assert announced(method="POST", **fields) == ("Transfer-Encoding", "chunked")


def test_the_body_with_its_length() -> None:
    upload = an_upload(body=b"hello")
    assert (upload.length, upload.complete) == (5, False)
    assert wire(upload) == [b"hello"]


def test_bytes_behind_the_length_are_not_read() -> None:
    source = io.BytesIO(b"hello and more")
    assert wire(of_input(source, CONTENT_LENGTH="5")) == [b"hello"]
    assert source.read() == b" and more"


@pytest.mark.parametrize("body", [b"", b"hell"])
def test_a_body_shorter_than_its_length_is_never_complete(body: bytes) -> None:
    upload = of_input(io.BytesIO(body), CONTENT_LENGTH="5")
    with pytest.raises(VisitorGone):
        wire(upload)
    assert not upload.complete


class Failing:
    """An input whose connection breaks after its first block."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self._read = False

    def read(self, size: int) -> bytes:
        if self._read:
            raise self._error
        self._read = True
        return b"hell"


@table("fields", {"length": {"CONTENT_LENGTH": "5"}, "chunked": CHUNKED})
@table(
    "error, told",
    {
        "reset": (ConnectionResetError(), VisitorGone),
        "time-out": (TimeoutError(), VisitorGone),
        "complaint": (ValueError("x"), ValueError),  # the server's own, of a malformed body
    },
)
def test_a_connection_that_breaks_is_never_complete(
    fields: Any, error: Exception, told: type[Exception]
) -> None:
    upload = of_input(Failing(error), **fields)
    with pytest.raises(told):
        wire(upload)
    assert not upload.complete


def test_a_chunked_body_is_framed_anew() -> None:
    upload = of_input(io.BytesIO(b"hello"), **CHUNKED)
    assert upload.length is None
    assert wire(upload) == [b"5\r\nhello\r\n", b"0\r\n\r\n"]
    assert wire(of_input(io.BytesIO(), **CHUNKED)) == [b"0\r\n\r\n"]


class Pieces:
    """An input that gives what it has, at most `size`; `read1` is what it is to be asked by."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.asked: list[int] = []

    def read1(self, size: int) -> bytes:
        self.asked.append(size)
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]

    def read(self, size: int) -> bytes:
        raise AssertionError("this would wait for all of it")


def test_pieces_go_on_as_they_come() -> None:
    chunks = [b"1\r\na\r\n", b"2\r\nbc\r\n", b"1\r\nd\r\n", b"0\r\n\r\n"]
    assert wire(of_input(Pieces(b"a", b"bc", b"d"), **CHUNKED)) == chunks
    source = Pieces(b"a", b"bc", b"d", b"not ours")
    assert wire(of_input(source, CONTENT_LENGTH="4")) == [b"a", b"bc", b"d"]


def test_blocks_grow_to_a_bound() -> None:
    size = LAST_BLOCK * 4
    source = Pieces(b"x" * size)
    assert b"".join(wire(of_input(source, CONTENT_LENGTH=str(size)))) == b"x" * size
    assert source.asked[:3] == [FIRST_BLOCK, 2 * FIRST_BLOCK, 4 * FIRST_BLOCK]
    assert max(source.asked) == LAST_BLOCK


class LengthReader:
    """gunicorn's, as far as we look at it: `length` bytes are due, some were read ahead."""

    def __init__(self, length: int, sock: socket.socket, ahead: bytes = b"") -> None:
        self.length = length
        self.unreader = SimpleNamespace(buf=io.BytesIO(), sock=sock)
        self.unreader.buf.write(ahead)

    def read(self, size: int) -> bytes:
        ahead: bytes = self.unreader.buf.getvalue()
        self.unreader.buf = io.BytesIO()
        self.unreader.buf.write(ahead[size:])
        self.length -= size
        return ahead[:size]


def from_gunicorn(reader: LengthReader, visitor: socket.socket) -> Upload:
    source, length = SimpleNamespace(reader=reader), str(reader.length)
    return of_input(source, CONTENT_LENGTH=length, **{"gunicorn.socket": visitor})


def test_gunicorns_body_ends_where_the_next_request_begins() -> None:
    """What was read ahead comes first; the rest is read from the socket, and counted."""
    visitor, server = socket.socketpair()
    with visitor, server:
        visitor.sendall(b"the rest, and GET /next")
        reader = LengthReader(14, server, b"ahead")
        assert wire(from_gunicorn(reader, server)) == [b"ahead", b"the rest,"]
        assert reader.length == 0
        assert server.recv(100) == b" and GET /next"


def test_what_somebody_else_reads_of_gunicorns_body_is_missed_and_not_made_up_for() -> None:
    """What comes behind it is another request's."""
    visitor, server = socket.socketpair()
    with visitor, server:
        visitor.sendall(b"begun")
        reader = LengthReader(9, server)
        upload = from_gunicorn(reader, server)
        assert upload.next_block() == b"begun"
        assert not upload.reader.buffered()  # more of it is to be waited for
        reader.length = 0
        assert upload.reader.buffered()  # its end is known at once
        visitor.sendall(b"GET /next")
        with pytest.raises(VisitorGone):
            upload.next_block()
        assert server.recv(100) == b"GET /next"
