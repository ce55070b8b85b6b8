"""Finds where WebSocket frames end (RFC 6455 section 5.2), and parses nothing else."""

from __future__ import annotations

#: A complete unmasked close frame, status 1001: the endpoint is going away (section 7.4.1).
CLOSE_GOING_AWAY = b"\x88\x02\x03\xe9"
#: The same with status 1008: the visitor may no longer use the port.
CLOSE_POLICY_VIOLATION = b"\x88\x02\x03\xf0"

_EXTENDED = {126: 2, 127: 8}  # 7-bit length: number of bytes that hold the real length


# Frames followed per call, about 50 ns each. Without this limit, a service that sends only empty
# frames would hold up all tunnels for 7 ms with each 256 KiB.
_FRAMES = 512
_NOTHING = memoryview(b"")


class FrameTracker:
    """Follows the frames of one direction, however the bytes are split.

    `at_boundary`: the bytes so far end with a frame, so another one may be inserted. `is_behind`:
    more frames were fed than one call follows; the rest is kept, and feeding nothing follows it.
    """

    __slots__ = ("_header", "_payload", "_rest", "is_behind")

    def __init__(self) -> None:
        self._payload = 0  # bytes of the current frame's payload still to come
        self._header = b""  # the part of the next frame's header that has come
        self._rest = _NOTHING
        self.is_behind = False

    @property
    def at_boundary(self) -> bool:
        return not self._payload and not self._header

    def feed(self, data: memoryview) -> memoryview:
        """Follow the frames of `data`; returns the bytes to pass on now.

        A single loop, for speed: short frames cost no slice and no call.
        """
        if self.is_behind:
            data = memoryview(b"".join((self._rest, data))) if data else self._rest
        gone = len(self._header)
        if gone:
            data = memoryview(self._header + data.tobytes())  # a header in two reads is rare
        size = len(data)
        position = self._payload  # where the next frame begins
        frames = 0
        while position + 2 <= size and frames < _FRAMES:
            frames += 1
            length = data[position + 1]
            if length < 126:  # and not masked: a service's frames never are
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
        self.is_behind = frames == _FRAMES and position < size
        rest = data[position:] if position < size else _NOTHING
        if self.is_behind:
            self._header = b""
            self._rest = rest if data.readonly else memoryview(rest.tobytes())
            return data[gone:position]
        self._header, self._rest = rest.tobytes(), _NOTHING
        return data[gone:]
