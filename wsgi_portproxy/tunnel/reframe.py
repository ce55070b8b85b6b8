"""Re-frames the response of a request that left its thread.

Decodes the service's framing, and frames the body as its head told the visitor (`respond.wire`).
Does no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ..upstream.framing import Decoder, is_ended_by_reset

Buffer: TypeAlias = bytes | memoryview


class Reframer:
    """Turns bytes from the service's connection into bytes for the visitor's connection.

    decoder: the body's decoder, at its current position. chunked: whether the visitor is sent
    chunks; otherwise the bytes are unchanged, up to a length or until the connection closes.
    needs_reset: whether closing the connection would look like a proper end of the body.
    """

    __slots__ = ("_chunked", "_decoder", "needs_reset", "passed")

    def __init__(self, decoder: Decoder, *, chunked: bool, needs_reset: bool) -> None:
        self._decoder = decoder
        self._chunked = chunked
        self.needs_reset = needs_reset
        self.passed = 0  # bytes of the body passed on so far

    @property
    def complete(self) -> bool:
        """Whether the body has ended as it should."""
        return self._decoder.complete

    def is_ended_by_reset(self, *, is_sent: bool) -> bool:
        """Whether a reset of the service's connection is a proper end, see `framing`."""
        return is_ended_by_reset(self._decoder, is_sent=is_sent)

    @property
    def is_behind(self) -> bool:
        """Whether bytes that were fed still wait to be decoded; feeding nothing decodes more."""
        return self._decoder.is_behind

    def feed(self, data: memoryview) -> list[Buffer]:
        """Re-frame bytes from the service into a few pieces for the visitor. Raises `Malformed`."""
        return self.encode(self._decoder.split(data))

    def eof(self) -> list[Buffer]:
        """Do the same for the end of the service's connection. Raises `Truncated`."""
        self._decoder.eof()
        return self.encode([])

    def encode(self, body: Sequence[Buffer]) -> list[Buffer]:
        """Frame pieces of the body for the visitor, and add the end if the body is complete."""
        size = sum(map(len, body))
        self.passed += size
        if not self._chunked:
            return list(body)
        framed = [b"%x\r\n" % size, *body, b"\r\n"] if size else []
        return [*framed, b"0\r\n\r\n"] if self._decoder.complete else framed
