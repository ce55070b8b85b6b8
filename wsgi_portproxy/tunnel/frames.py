"""Where WebSocket frames end (RFC 6455 section 5.2), and nothing else of them."""

from __future__ import annotations

#: A whole unmasked close frame, status 1001: the endpoint is going away (section 7.4.1).
CLOSE_GOING_AWAY = b"\x88\x02\x03\xe9"

_EXTENDED = {126: 2, 127: 8}  # by the 7-bit length: further bytes that hold the real one


class FrameTracker:
    """Follows the frames of one direction in any split.

    `at_boundary`: the bytes so far end with a frame, so another may be put in here.
    """

    __slots__ = ("_header", "_payload")

    def __init__(self) -> None:
        self._payload = 0  # bytes of the present frame's payload still to come
        self._header = b""  # what has come of the next frame's header

    @property
    def at_boundary(self) -> bool:
        return not self._payload and not self._header

    def feed(self, data: memoryview) -> None:
        """Take note of bytes that went through."""
        size = len(data)
        if self._payload >= size:
            self._payload -= size
            return
        position = self._payload
        self._payload = 0
        while position < size:
            header = self._header + data[position : position + 14 - len(self._header)].tobytes()
            length = _header_length(header)
            if length < 0:
                self._header = header
                return
            position += length - len(self._header)
            self._header = b""
            payload = _payload_length(header)
            position += payload
        self._payload = position - size


def _header_length(header: bytes) -> int:
    """Bytes of the frame header that `header` begins with, or -1 if that has not all come."""
    if len(header) < 2:
        return -1
    length = 2 + _EXTENDED.get(header[1] & 0x7F, 0) + (4 if header[1] & 0x80 else 0)
    return length if len(header) >= length else -1


def _payload_length(header: bytes) -> int:
    length = header[1] & 0x7F
    extended = _EXTENDED.get(length, 0)
    return int.from_bytes(header[2 : 2 + extended], "big") if extended else length
