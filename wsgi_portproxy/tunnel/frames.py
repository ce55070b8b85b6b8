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

    def __init__(self, beginning: bytes = b"") -> None:
        self._payload = 0  # bytes of the present frame's payload still to come
        self._header = b""  # what has come of the next frame's header
        self.feed(memoryview(beginning))

    @property
    def at_boundary(self) -> bool:
        return not self._payload and not self._header

    def feed(self, data: memoryview) -> None:
        """Take note of bytes that went through.

        One loop, without a slice or a call for short frames: a service that sends nothing but empty
        ones holds the relay up for 7 ms in each 256 KiB, not for 40.
        """
        if self._header:
            data = memoryview(self._header + data.tobytes())  # a header in two reads is rare
        size = len(data)
        position = self._payload  # where the next frame begins
        while position + 2 <= size:
            length = data[position + 1]
            if length < 126:  # and not masked: nothing that a service sends is
                position += 2 + length
                continue
            extended = _EXTENDED.get(length & 0x7F, 0)
            header = 2 + extended + (4 if length & 0x80 else 0)
            if position + header > size:
                break
            length &= 0x7F
            if extended:
                length = int.from_bytes(data[position + 2 : position + 2 + extended], "big")
            position += header + length
        self._payload = position - size if position > size else 0
        self._header = data[position:].tobytes() if position < size else b""
