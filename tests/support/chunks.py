"""The chunked coding, as lenient as a test may be: what is sent here is well-formed."""

from __future__ import annotations

import re

_SIZE = re.compile(rb"(?:\r\n)?([0-9A-Fa-f]+)[^\r]*\r\n")


def plain(data: bytes) -> bytes:
    """No coding: for tables with a column that says how a piece goes onto the wire."""
    return data


def chunk(data: bytes) -> bytes:
    """One chunk; of no data, the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Dechunker:
    """Takes a chunked body as it comes, gives what it holds. `complete`: the last chunk came."""

    def __init__(self) -> None:
        self.complete = False
        self._buffer = bytearray()
        self._remaining = 0

    def feed(self, data: bytes) -> bytes:
        self._buffer += data
        taken = []
        while not self.complete:
            part = bytes(self._buffer[: self._remaining])
            del self._buffer[: len(part)]
            self._remaining -= len(part)
            taken.append(part)
            # What is left now begins with the CRLF of this chunk or with the size of the next.
            size = _SIZE.match(self._buffer)
            if self._remaining or size is None:
                break
            self._remaining = int(size[1], 16)
            del self._buffer[: size.end()]
            self.complete = not self._remaining
        return b"".join(taken)
