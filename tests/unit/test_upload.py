"""How a request's body is announced to the service, and that it comes out as announced."""

from __future__ import annotations

import io
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from wsgi_portproxy.errors import BadRequest, ClientGone, LengthRequired, NotImplementedHere
from wsgi_portproxy.upload import FIRST_BLOCK, LAST_BLOCK, Upload, upload_of

from .given import environ

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"]
CHUNKED: dict[str, Any] = {"HTTP_TRANSFER_ENCODING": "chunked"}


def announced(**fields: Any) -> tuple[str, str] | None:
    upload = upload_of(environ(**fields))
    return upload.header if upload is not None else None


def wire(upload: Upload) -> list[bytes]:
    """All blocks as they go onto the wire."""
    blocks = []
    while not upload.complete:
        blocks.append(bytes(upload.next_block()))
    return blocks


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("length", [None, ""], ids=["absent", "empty"])
def test_no_body_in_none_out(method: str, length: str | None) -> None:
    fields = {} if length is None else {"CONTENT_LENGTH": length}
    assert announced(method=method, **fields) is None


@pytest.mark.parametrize("method", METHODS)
def test_a_length_is_kept(method: str) -> None:
    assert announced(method=method, body=b"hello") == ("Content-Length", "5")


@pytest.mark.parametrize("method", METHODS)
def test_chunked_stays_chunked(method: str) -> None:
    for coding in ("chunked", "Chunked", " chunked "):
        fields = {"HTTP_TRANSFER_ENCODING": coding}
        assert announced(method=method, **fields) == ("Transfer-Encoding", "chunked")


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        *((method, None) for method in ("GET", "HEAD", "DELETE", "OPTIONS")),
        *((method, ("Content-Length", "0")) for method in ("POST", "PUT", "PATCH", "X")),
    ],
)
def test_a_length_of_zero_says_something_for_some_methods_only(
    method: str, expected: tuple[str, str] | None
) -> None:
    assert announced(method=method, CONTENT_LENGTH="0") == expected


@pytest.mark.parametrize(
    "length",
    [
        "-1",
        "+5",
        "5.0",
        "0x5",
        "5 ",
        " 5",
        "1_0",
        "5,5",
        "\u0665",
        "²",
        "abc",
        "9" * 19,
        "9" * 5000,
    ],
    ids=lambda length: length[:8],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_no_length_is_refused(length: str, method: str) -> None:
    with pytest.raises(BadRequest):
        announced(method=method, CONTENT_LENGTH=length)


@pytest.mark.parametrize(
    "coding", ["gzip", "gzip, chunked", "chunked, chunked", "identity", "xchunked", "chunked;q=1"]
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
    upload = upload_of(environ(method="POST", body=b"hello"))
    assert upload is not None
    assert (upload.length, upload.complete) == (5, False)
    assert wire(upload) == [b"hello"]


def test_bytes_behind_the_length_are_not_read() -> None:
    made = environ(method="POST", body=b"hello and more", CONTENT_LENGTH="5")
    upload = upload_of(made)
    assert upload is not None
    assert wire(upload) == [b"hello"]
    assert made["wsgi.input"].read() == b" and more"


@pytest.mark.parametrize("body", [b"", b"hell"])
def test_a_body_shorter_than_its_length_is_never_complete(body: bytes) -> None:
    made = environ(method="POST", body=body)
    made["CONTENT_LENGTH"] = "5"
    upload = upload_of(made)
    assert upload is not None
    with pytest.raises(ClientGone):
        wire(upload)
    assert not upload.complete


def chunked(source: Any) -> Upload:
    """The upload of a chunked body that is read from `source`."""
    upload = upload_of(environ(method="POST", **CHUNKED, **reading(source)))
    assert upload is not None
    return upload


def reading(source: Any) -> dict[str, Any]:
    return {"wsgi.input": source}


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


@pytest.mark.parametrize("fields", [{"CONTENT_LENGTH": "5"}, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("error", [ConnectionResetError(), TimeoutError(), OSError("gone")])
def test_a_connection_that_breaks_is_never_complete(fields: Any, error: OSError) -> None:
    upload = upload_of(environ(method="POST", **{**fields, "wsgi.input": Failing(error)}))
    assert upload is not None
    with pytest.raises(ClientGone):
        wire(upload)
    assert not upload.complete


def test_a_servers_own_complaint_of_a_malformed_body_is_passed_on() -> None:
    upload = upload_of(
        environ(method="POST", **{**CHUNKED, "wsgi.input": Failing(ValueError("x"))})
    )
    assert upload is not None
    with pytest.raises(ValueError, match="x"):
        wire(upload)
    assert not upload.complete


def test_a_chunked_body_is_framed_anew() -> None:
    upload = chunked(io.BytesIO(b"hello"))
    assert upload.length is None
    assert wire(upload) == [b"5\r\nhello\r\n", b"0\r\n\r\n"]


def test_an_empty_chunked_body() -> None:
    assert wire(chunked(io.BytesIO())) == [b"0\r\n\r\n"]


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
    assert wire(chunked(Pieces(b"a", b"bc", b"d"))) == [
        b"1\r\na\r\n",
        b"2\r\nbc\r\n",
        b"1\r\nd\r\n",
        b"0\r\n\r\n",
    ]
    source = Pieces(b"a", b"bc", b"d", b"not ours")
    upload = upload_of(environ(method="POST", CONTENT_LENGTH="4", **reading(source)))
    assert upload is not None
    assert wire(upload) == [b"a", b"bc", b"d"]


def test_blocks_grow_to_a_bound() -> None:
    size = LAST_BLOCK * 4
    source = Pieces(b"x" * size)
    upload = upload_of(environ(method="POST", CONTENT_LENGTH=str(size), **reading(source)))
    assert upload is not None
    assert b"".join(wire(upload)) == b"x" * size
    assert source.asked[0] == FIRST_BLOCK
    assert max(source.asked) == LAST_BLOCK
    assert source.asked[:3] == [FIRST_BLOCK, 2 * FIRST_BLOCK, 4 * FIRST_BLOCK]


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


def from_gunicorn(reader: LengthReader, visitor: socket.socket, length: int) -> Upload:
    fields: dict[str, Any] = {
        "wsgi.input": SimpleNamespace(reader=reader),
        "gunicorn.socket": visitor,
    }
    upload = upload_of(environ(method="POST", CONTENT_LENGTH=str(length), **fields))
    assert upload is not None
    return upload


def test_gunicorns_body_ends_where_the_next_request_begins() -> None:
    """What was read ahead comes first; the rest is read from the socket, and counted."""
    visitor, server = socket.socketpair()
    with visitor, server:
        visitor.sendall(b"the rest, and GET /next")
        reader = LengthReader(14, server, b"ahead")
        assert wire(from_gunicorn(reader, server, 14)) == [b"ahead", b"the rest,"]
        assert reader.length == 0
        assert server.recv(100) == b" and GET /next"


def test_what_somebody_else_reads_of_gunicorns_body_is_missed_and_not_made_up_for() -> None:
    """What comes behind it is another request's."""
    visitor, server = socket.socketpair()
    with visitor, server:
        visitor.sendall(b"begun")
        reader = LengthReader(9, server)
        upload = from_gunicorn(reader, server, 9)
        assert upload.next_block() == b"begun"
        assert not upload.reader.buffered()  # more of it is to be waited for
        reader.length = 0
        assert upload.reader.buffered()  # its end is known at once
        visitor.sendall(b"GET /next")
        with pytest.raises(ClientGone):
            upload.next_block()
        assert server.recv(100) == b"GET /next"
