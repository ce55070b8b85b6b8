"""Re-frames a response that left its thread in mid-body: decodes the service's framing and goes on
with the framing that the server announced to the visitor. No I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ..upstream.framing import Decoder

Buffer: TypeAlias = bytes | memoryview


class Reframer:
    """Turns the bytes of a service's connection into those for the visitor's.

    decoder: the body's, at its current position. chunked: whether the server had begun to send
    chunks; otherwise it sends the bytes unchanged, up to a length or until the connection closes.
    needs_reset: whether closing the connection would look like a proper end of the body.
    """

    __slots__ = ("_chunked", "_decoder", "needs_reset", "passed")

    def __init__(self, decoder: Decoder, *, chunked: bool, needs_reset: bool) -> None:
        self._decoder = decoder
        self._chunked = chunked
        self.needs_reset = needs_reset
        self.passed = 0  # bytes of the body so far

    @property
    def complete(self) -> bool:
        """Whether the body has ended as it should."""
        return self._decoder.complete

    @property
    def is_behind(self) -> bool:
        """Whether bytes that were fed still wait to be decoded; feeding nothing goes on with
        them."""
        return self._decoder.is_behind

    def feed(self, data: memoryview) -> list[Buffer]:
        """What to send to the visitor for bytes from the service, in few pieces. Raises
        `Malformed`."""
        return self.encode(self._decoder.split(data))

    def eof(self) -> list[Buffer]:
        """The same for the end of the service's connection. Raises `Truncated`."""
        self._decoder.eof()
        return self.encode([])

    def encode(self, body: Sequence[Buffer]) -> list[Buffer]:
        """Pieces of a body in the visitor's framing, and its end if the body is complete."""
        size = sum(map(len, body))
        self.passed += size
        if not self._chunked:
            return list(body)
        framed = [b"%x\r\n" % size, *body, b"\r\n"] if size else []
        return [*framed, b"0\r\n\r\n"] if self._decoder.complete else framed
