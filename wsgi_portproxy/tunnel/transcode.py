"""The framing of a response that left its thread in mid-body: decoded as a thread would, and
framed on as the server had announced it to the visitor. No I/O.
"""

from __future__ import annotations

from ..framing import Decoder


class Transcoder:
    """From the bytes on a service's connection to the bytes on the visitor's.

    decoder: the body's, as far as it was read. chunked: whether the server had begun to send
    chunks; else it sends the bytes as they are, to a length or until the connection closes.
    needs_reset: whether a closed connection would look like a proper end of the body.
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

    def feed(self, data: bytes) -> bytes:
        """What the visitor is sent for bytes of the service. Raises `Malformed`."""
        return self.encode(self._decoder.feed(data))

    def eof(self) -> bytes:
        """The same for the end of the service's connection. Raises `Truncated`."""
        self._decoder.eof()
        return self.encode(b"")

    def encode(self, body: bytes) -> bytes:
        """Body bytes in the visitor's framing, with its end if the body is complete."""
        self.passed += len(body)
        if not self._chunked:
            return body
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return chunk + b"0\r\n\r\n" if self._decoder.complete else chunk
