"""The strict reading of HTTP/1 responses, without I/O: heads, framing and body decoders.

A service behind a port is somebody's code and what it sends is hostile input, so nothing is
repaired: what RFC 9112 does not allow is refused. Bytes become values here, and nothing else
happens; sockets and deadlines are `channel`'s. Every decoder is fed what arrived, in any split, so
that a worker thread and the relay's event loop can share it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Protocol

MAX_HEAD = 65536  # bytes; nginx and Apache accept less, browsers send far less
# 1xx responses before the final one. RFC 9110 section 15.2 sets no bound, and the deadline for the
# head does; but a flood of them would have a processor until then.
MAX_INTERIM = 10_000
MAX_HEADERS = 500  # Apache allows 100, and some services with generated headers send 150
MAX_CHUNK_LINE = 4096  # bytes of a chunk-size line, extensions included
_PIECE = 64  # bytes of a chunked body looked at for the end of a line at a time; most are shorter
MAX_TRAILERS = 16384  # bytes of a trailer section, which is read and dropped
# Lines and pieces of data that are decoded at a time, each some 2 us: a service that sends one byte
# in each chunk would else have the interpreter to itself for 250 ms with each 256 KiB.
STEPS = 32

_HTTP_1 = b"HTTP/1."
# RFC 9112 section 2.2: the only line end is CRLF. The last byte may be a CR whose LF is to come.
_BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")
# RFC 9112 section 4. The reason phrase may be empty and may hold obs-text, never CR or LF.
_STATUS_LINE = r"HTTP/1\.([0-9]) ([0-9]{3})(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n"
# RFC 9110 section 5.5 and RFC 9112 section 5: a token, no space before the colon, no line folding,
# no control characters (section 5.5 calls CR, LF and NUL dangerous and the others invalid).
_FIELD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*"
# All of a head is checked in one scan, after which it is cut where its parts are divided. No part
# matches what the next one begins with, so that nothing is tried twice: 64 KiB of spaces with a
# control character behind them would else be a matter of minutes. Spaces behind a value are not
# left out by the pattern for the same reason.
_HEAD = re.compile(rf"{_STATUS_LINE}(?:{_FIELD}\r\n)*\r\n")
# Of a head that was checked: each line that has a colon ends with the only CR and LF in it. `re`
# finds the end of `.*` several times as fast as that of a set of characters.
_CUT = re.compile(r"\n([^:]+):[\t ]*(.*)\r")
_CUT_OF_FRAMING = re.compile(r"\n(connection|content-length|transfer-encoding):[\t ]*(.*)\r")
_TRAILER = re.compile(_FIELD.encode("ascii"))
# RFC 9112 section 7.1: 1*HEXDIG, here at most 16 (64 bits), then optional extensions. Some embedded
# servers pad the size with spaces, and every client reads past them.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)  # below 2**63, so that every server can count it


_NOTHING = memoryview(b"")


class Malformed(ValueError):
    """The bytes are not what HTTP/1 allows; a constant text says which rule they break."""


class Truncated(ConnectionError):
    """The connection ended before the message did (RFC 9112 section 8)."""


@dataclass(slots=True)
class Head:
    """A response head: `minor` of HTTP/1.x, status, reason phrase, fields in their order.

    framing: the values of Connection, Content-Length and Transfer-Encoding by these names, all in
        lower case; those of repeated fields joined by commas (RFC 9110 section 5.2).
    """

    minor: int
    status: int
    reason: str
    headers: list[tuple[str, str]]
    framing: dict[str, str] = field(compare=False)


def find_head_end(buffer: bytes | bytearray, searched: int = 0) -> int:
    """The index just past the empty line that ends a head, or -1 if it has not arrived.

    `searched` is how much of the buffer an earlier call has looked at already. Raises `Malformed`
    as soon as the bytes cannot become a head of HTTP/1 (another protocol's greeting, other line
    ends, or too long), so that a peer which then says nothing more is not waited for.
    """
    if not buffer.startswith(_HTTP_1) and not _HTTP_1.startswith(bytes(buffer[:7])):
        raise Malformed("not an HTTP/1 status line")
    end = buffer.find(b"\r\n\r\n", max(0, searched - 3)) + 4
    if 4 <= end <= MAX_HEAD:
        return end
    if end > MAX_HEAD or len(buffer) >= MAX_HEAD:
        raise Malformed("head too long")
    if _BARE_LINE_END.search(buffer, max(0, searched - 1)):
        raise Malformed("line of a head not ended by CRLF")
    return -1


def parse_head(block: bytes | bytearray) -> Head:
    """Read a head, from the status line to the empty line included. Raises `Malformed`."""
    text = block.decode("latin-1")
    head = _HEAD.fullmatch(text)
    if head is None:
        is_status_line = re.match(_STATUS_LINE, text) is not None
        raise Malformed(f"malformed {'header field' if is_status_line else 'status line'}")
    minor, status, reason = head.groups()
    headers = _CUT.findall(text)
    if len(headers) > MAX_HEADERS:
        raise Malformed("too many header fields")
    of_framing = _CUT_OF_FRAMING.findall(text.lower())
    if " \r" in text or "\t\r" in text:
        headers = [(name, value.rstrip(" \t")) for name, value in headers]
        of_framing = [(name, value.rstrip(" \t")) for name, value in of_framing]
    framing = dict(of_framing)
    if len(framing) < len(of_framing):
        for name in framing:
            framing[name] = ",".join(value for other, value in of_framing if other == name)
    return Head(int(minor), int(status), reason or "", headers, framing)


class Decoder(Protocol):
    """Takes the bytes of a connection after a head, gives those of the body.

    `complete`: the body has ended. `surplus`: bytes came after its end; they belong to nothing, and
    the connection must not be used again. `feed` returns what of the body the bytes held, `split`
    the same as pieces of its argument, without a copy; they raise `Malformed`. `is_behind`: more of
    them is left than is decoded at a time; it is kept, and to go on is to feed nothing. `eof` is
    called when the peer closed, and all was decoded; it raises `Truncated` if the body was due.
    """

    complete: bool
    surplus: bool

    @property
    def is_behind(self) -> bool: ...

    def feed(self, data: bytes) -> bytes: ...
    def split(self, data: memoryview) -> list[memoryview]: ...
    def eof(self) -> None: ...


class _Decoder(ABC):
    """What the decoders have in common."""

    complete = False
    surplus = False
    is_behind = False

    @abstractmethod
    def split(self, data: memoryview) -> list[memoryview]: ...

    def feed(self, data: bytes) -> bytes:
        parts = self.split(memoryview(data))
        whole = len(parts) == 1 and len(parts[0]) == len(data)
        return data if whole else b"".join(parts)


class LengthDecoder(_Decoder):
    """A body of a known length in bytes, zero included (RFC 9112 section 6.2)."""

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.complete = length == 0

    def feed(self, data: bytes) -> bytes:
        if len(data) == self.remaining:  # as most come
            self.remaining = 0
            self.complete = True
            return data
        return data[: self._taken(len(data))]  # all of it is the same object, and no copy

    def split(self, data: memoryview) -> list[memoryview]:
        return [data[: self._taken(len(data))]]

    def _taken(self, size: int) -> int:
        """How many of `size` bytes are the body's."""
        taken = min(size, self.remaining)
        self.surplus = self.surplus or taken < size
        self.remaining -= taken
        self.complete = not self.remaining
        return taken

    def eof(self) -> None:
        if not self.complete:
            raise Truncated("body shorter than its Content-Length")


class CloseDecoder(_Decoder):
    """A body that ends with the connection (RFC 9112 section 6.3, item 8)."""

    def split(self, data: memoryview) -> list[memoryview]:
        return [data]

    def eof(self) -> None:
        self.complete = True


class ChunkedDecoder(_Decoder):
    """A chunked body (RFC 9112 section 7.1). Extensions and trailers are dropped."""

    def __init__(self) -> None:
        self._line = bytearray()  # what has come of a size line, a chunk's CRLF, or the trailers
        self._remaining = 0  # bytes of the current chunk still due
        self._trailers = -1  # bytes of trailers read so far; -1: the last chunk has not come
        self._after_data = False  # the CRLF that ends a chunk's data is due
        self._rest = _NOTHING  # what has come and is not decoded yet

    def split(self, data: memoryview) -> list[memoryview]:
        if self.is_behind:
            data = memoryview(b"".join((self._rest, data))) if data else self._rest
        parts = []
        position = steps = 0
        while position < len(data) and not self.complete and steps < STEPS:
            steps += 1
            if self._remaining:
                part = data[position : position + self._remaining]
                self._remaining -= len(part)
                self._after_data = not self._remaining
                position += len(part)
                parts.append(part)
            else:
                position = self._feed_line(data, position)
        is_left = position < len(data)
        self.surplus = self.surplus or (is_left and self.complete)
        self.is_behind = is_left and not self.complete
        if self.is_behind:  # a copy of what the caller may write over, and of that only
            rest = data[position:]
            self._rest = rest if data.readonly else memoryview(rest.tobytes())
        else:
            self._rest = _NOTHING
        return parts

    def eof(self) -> None:
        if not self.complete:
            raise Truncated("chunked body without its last chunk")

    def _feed_line(self, data: memoryview, position: int) -> int:
        """Take one line, or what has come of it, and return the position behind it."""
        piece = bytes(data[position : position + _PIECE])
        newline = piece.find(b"\n")
        if newline >= 0:
            piece = piece[: newline + 1]
        searched = max(0, len(self._line) - 1)
        self._line += piece
        limit = MAX_TRAILERS if self._trailers >= 0 else MAX_CHUNK_LINE
        if len(self._line) > limit:
            raise Malformed("chunk-size line or trailers too long")
        if self._after_data and not b"\r\n".startswith(bytes(self._line)):
            raise Malformed("chunk data not followed by CRLF")
        if _BARE_LINE_END.search(self._line, searched):
            raise Malformed("line of a chunked body not ended by CRLF")
        if newline >= 0:
            line, self._line = bytes(self._line), bytearray()
            self._end_line(line)
        return position + len(piece)

    def _end_line(self, line: bytes) -> None:
        line = line[:-2]
        if self._after_data:
            self._after_data = False
        elif self._trailers < 0:
            size = _CHUNK_LINE.fullmatch(line)
            if size is None:
                raise Malformed("malformed chunk size")
            self._remaining = int(size[1], 16)
            if not self._remaining:
                self._trailers = 0
        elif not line:
            self.complete = True
        else:
            self._trailers += len(line)
            if self._trailers > MAX_TRAILERS or _TRAILER.fullmatch(line) is None:
                raise Malformed("malformed trailer")


def body_decoder(head: Head, method: str) -> Decoder:
    """Choose the framing of the body that follows `head`, the response to a `method` request.

    RFC 9112 section 6.3, with its permissions to be lenient not taken: Transfer-Encoding beside
    Content-Length, in HTTP/1.0, twice, or other than `chunked` alone is refused, and so are
    Content-Lengths that differ or are not plain digits. Raises `Malformed`.
    """
    coding = head.framing.get("transfer-encoding")
    length = head.framing.get("content-length")
    if head.status == 101:
        return CloseDecoder()  # another protocol from here on, until the end
    if coding is not None:
        if length is not None or head.minor == 0:
            raise Malformed("Transfer-Encoding beside Content-Length or in HTTP/1.0")
        if coding != "chunked":
            raise Malformed("unknown Transfer-Encoding")
    elif length is not None and _DIGITS.fullmatch(length) is None:
        lengths = {one.strip(" \t") for one in length.split(",")}  # the same one, repeated
        length = lengths.pop()
        if lengths or _DIGITS.fullmatch(length) is None:
            raise Malformed("invalid Content-Length")
    if method == "HEAD" or head.status in (204, 304):
        return LengthDecoder(0)
    if coding is not None:
        return ChunkedDecoder()
    return CloseDecoder() if length is None else LengthDecoder(int(length))


def keeps_alive(head: Head) -> bool:
    """Whether the service will take another request on the connection (RFC 9112 section 9.3).

    Not believed of one that announces a body with a 204, where none may be (RFC 9110 section 8.6):
    it may still send it.
    """
    options = head.framing.get("connection", "")
    if head.minor == 0 or "close" in options:
        named = [option.strip(" \t") for option in options.split(",")]
        if "close" in named or (head.minor == 0 and "keep-alive" not in named):
            return False
    if head.status != 204:
        return True
    return (
        "transfer-encoding" not in head.framing and head.framing.get("content-length", "0") == "0"
    )
