"""Parses HTTP/1 responses strictly, without I/O: heads, framing and body decoders.

A service may be anybody's code, so its bytes are hostile input. Nothing is repaired: anything that
RFC 9112 does not allow is refused. Decoders accept data split at any point, so that a worker thread
and the relay's event loop can share them. `channel` handles sockets and deadlines.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Protocol

MAX_HEAD = 65536  # bytes; nginx and Apache accept less, browsers send far less
# 1xx responses before the final one. RFC 9110 section 15.2 sets no bound. The deadline for the
# head does, but until then a flood of them would occupy a processor.
MAX_INTERIM = 10_000
MAX_HEADERS = 500  # Apache allows 100, and some services with generated headers send 150
MAX_CHUNK_LINE = 4096  # bytes of a chunk-size line, extensions included
_PIECE = 64  # bytes of a chunked body searched for a line end at a time; most lines are shorter
MAX_TRAILERS = 16384  # bytes of a trailer section, which is read and dropped
# Lines and pieces of data that are decoded at a time, about 2 us each. Otherwise a service that
# sends one byte per chunk would keep the interpreter busy for 250 ms with each 256 KiB.
STEPS = 32

_HTTP_1 = b"HTTP/1."
# RFC 9112 section 2.2: the only line end is CRLF. If the last byte is a CR, its LF may still come.
_BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")
# RFC 9112 section 4. The reason phrase may be empty and may hold obs-text, never CR or LF.
_STATUS_LINE = r"HTTP/1\.([0-9]) ([0-9]{3})(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n"
# RFC 9110 section 5.5 and RFC 9112 section 5: a token, no space before the colon, no line folding,
# no control characters (section 5.5 calls CR, LF and NUL dangerous and the others invalid).
_FIELD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*"
# Checks a whole head in one scan; `_CUT` then splits it. No part of the pattern matches the start
# of the next part, so nothing is tried twice: otherwise 64 KiB of spaces before a control character
# would take minutes. For the same reason the pattern keeps the spaces after a value.
_HEAD = re.compile(rf"{_STATUS_LINE}(?:{_FIELD}\r\n)*\r\n")
# For a head that was checked: a header line has its only CR and LF at its end. `re` finds the end
# of `.*` several times as fast as the end of a set of characters.
_CUT = re.compile(r"\n([^:]+):[\t ]*(.*)\r")
_CUT_OF_FRAMING = re.compile(r"\n(connection|content-length|transfer-encoding):[\t ]*(.*)\r")
_TRAILER = re.compile(_FIELD.encode("ascii"))
# RFC 9112 section 7.1: 1*HEXDIG, here at most 16 (64 bits), then optional extensions. Some embedded
# servers pad the size with spaces, and every client ignores the spaces.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)  # below 2**63, so that every server can count it


_NOTHING = memoryview(b"")


class Malformed(ValueError):
    """The bytes are not valid HTTP/1; a constant text says which rule they break."""


class Truncated(ConnectionError):
    """The connection ended before the message did (RFC 9112 section 8)."""


@dataclass(slots=True)
class Head:
    """A response head: `minor` of HTTP/1.x, status, reason phrase, headers in their order.

    framing: Connection, Content-Length and Transfer-Encoding, names and values in lower case; the
        values of repeated headers are joined by commas (RFC 9110 section 5.2).
    """

    minor: int
    status: int
    reason: str
    headers: list[tuple[str, str]]
    framing: dict[str, str] = field(compare=False)


def find_head_end(buffer: bytes | bytearray, searched: int = 0) -> int:
    """The index just past the empty line that ends a head, or -1 if it has not arrived.

    `searched`: how much of the buffer an earlier call has searched. Raises `Malformed` as soon as
    the bytes cannot become an HTTP/1 head (another protocol's greeting, other line ends, too long),
    so that nobody waits for a service that then stays silent.
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
    """Parse a head, from the status line to the empty line inclusive. Raises `Malformed`."""
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
    """Extracts the body from the bytes that follow a head on a connection.

    complete: the body has ended.
    surplus: how many bytes came after its end. They belong to no message; do not reuse the
        connection.
    is_behind: the decoder keeps bytes that it has not decoded yet; to continue, feed nothing.

    `feed` returns the body bytes in its argument; `split` returns them as pieces of its argument,
    without a copy. Both raise `Malformed`. Call `eof` when the service has closed and everything is
    decoded; it raises `Truncated` if the body is incomplete.
    """

    complete: bool
    surplus: int

    @property
    def is_behind(self) -> bool: ...

    def feed(self, data: bytes) -> bytes: ...
    def split(self, data: memoryview) -> list[memoryview]: ...
    def eof(self) -> None: ...


class _Decoder(ABC):
    """The base of the decoders."""

    complete = False
    surplus = 0
    is_behind = False

    @abstractmethod
    def split(self, data: memoryview) -> list[memoryview]: ...

    def feed(self, data: bytes) -> bytes:
        has_rest = self.is_behind  # what `split` decodes then begins with bytes that came before
        parts = self.split(memoryview(data))
        whole = not has_rest and len(parts) == 1 and len(parts[0]) == len(data)
        return data if whole else b"".join(parts)


class LengthDecoder(_Decoder):
    """A body of a known length in bytes, zero included (RFC 9112 section 6.2)."""

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.complete = length == 0

    def feed(self, data: bytes) -> bytes:
        if len(data) == self.remaining:  # the usual case
            self.remaining = 0
            self.complete = True
            return data
        return data[: self._taken(len(data))]  # a slice of all is no copy

    def split(self, data: memoryview) -> list[memoryview]:
        return [data[: self._taken(len(data))]]

    def _taken(self, size: int) -> int:
        """How many of the next `size` bytes belong to the body."""
        taken = min(size, self.remaining)
        self.surplus += size - taken
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


def is_ended_by_reset(body: Decoder, *, is_sent: bool) -> bool:
    """Whether a reset is only how the kernel reports a close (RFC 9112 section 9.6): the service
    responded before it had read all of the request, and the close ends the body.

    is_sent: whether the service has taken the whole request.
    """
    return not is_sent and isinstance(body, CloseDecoder)


class ChunkedDecoder(_Decoder):
    """A chunked body (RFC 9112 section 7.1). Extensions and trailers are dropped."""

    def __init__(self) -> None:
        self._line = bytearray()  # part of a size line, of the CRLF after a chunk, or of a trailer
        self._remaining = 0  # bytes of the current chunk still due
        self._trailers = -1  # bytes of trailers read so far; -1: the last chunk has not come
        self._after_data = False  # the CRLF that ends a chunk's data is due
        self._rest = _NOTHING  # bytes that are not decoded yet

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
        if self.complete:
            self.surplus += len(data) - position
        self.is_behind = is_left and not self.complete
        if self.is_behind:  # copied only if the caller may overwrite it
            rest = data[position:]
            self._rest = rest if data.readonly else memoryview(rest.tobytes())
        else:
            self._rest = _NOTHING
        return parts

    def eof(self) -> None:
        if not self.complete:
            raise Truncated("chunked body without its last chunk")

    def _feed_line(self, data: memoryview, position: int) -> int:
        """Take one line, or the part of it that has come; return the position after it."""
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

    Follows RFC 9112 section 6.3 without the leniency that it permits: refuses Transfer-Encoding
    beside Content-Length, in HTTP/1.0, twice, or other than `chunked` alone, and Content-Lengths
    that differ or are not plain digits. Raises `Malformed`.
    """
    coding = head.framing.get("transfer-encoding")
    length = head.framing.get("content-length")
    if head.status == 101:
        return CloseDecoder()  # another protocol until the connection ends
    if coding is not None:
        if length is not None or head.minor == 0:
            raise Malformed("Transfer-Encoding with Content-Length or in HTTP/1.0")
        if coding != "chunked":
            raise Malformed("unknown Transfer-Encoding")
    elif length is not None and _DIGITS.fullmatch(length) is None:
        lengths = {one.strip(" \t") for one in length.split(",")}  # one value may be repeated
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

    False if it announces a body with a 204, which must have none (RFC 9110 section 8.6): it may
    still send that body.
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
