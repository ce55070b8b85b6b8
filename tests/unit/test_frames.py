"""Where frames end, told from any split of them."""

from __future__ import annotations

import itertools

import pytest

from tests.support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_frame,
    frame,
)
from wsgi_portproxy.tunnel.frames import CLOSE_GOING_AWAY, FrameTracker

MASK = b"\xff\x00\x80\x7e"

SAMPLES = [
    pytest.param([frame(TEXT, b"hello")], id="short"),
    pytest.param([frame(TEXT)], id="empty"),
    pytest.param([frame(TEXT, mask=MASK)], id="empty-masked"),
    pytest.param([frame(TEXT, b"hello", mask=MASK)], id="masked"),
    pytest.param([frame(BINARY, b"x" * 125)], id="125"),
    pytest.param([frame(BINARY, b"x" * 126)], id="126"),
    pytest.param([frame(BINARY, b"x" * 127, mask=MASK)], id="127-masked"),
    pytest.param([frame(PING), frame(PONG), frame(CLOSE)], id="three-empty"),
    pytest.param(
        [
            frame(TEXT, b"Hel", fin=False),
            frame(PING, b"?"),
            frame(CONTINUATION, b"lo"),
            close_frame(1000, "bye"),
        ],
        id="fragments-with-a-ping-between",
    ),
    pytest.param([b"\x82\x7e\x00\x05hello"], id="16-bit-length-of-a-short-one"),
    pytest.param([b"\x82\x7f" + bytes(7) + b"\x05hello"], id="64-bit-length-of-a-short-one"),
    pytest.param(
        [b"\x82\xff" + bytes(7) + b"\x01" + MASK + b"h", frame(PING)], id="longest-header"
    ),
    pytest.param([b"\x82\x7e\x00\x00", b"\x82\x7f" + bytes(8), frame(TEXT, b"x")], id="long-empty"),
]


def boundaries(frames: list[bytes]) -> set[int]:
    """The positions between frames in the joined sample."""
    return {0, *itertools.accumulate(map(len, frames))}


def fed(*pieces: bytes) -> FrameTracker:
    tracker = FrameTracker()
    for piece in pieces:
        tracker.feed(memoryview(piece))
    return tracker


@pytest.mark.parametrize("frames", SAMPLES)
def test_every_beginning_ends_at_a_boundary_or_not(frames: list[bytes]) -> None:
    data = b"".join(frames)
    at_boundary = {end for end in range(len(data) + 1) if fed(data[:end]).at_boundary}
    assert at_boundary == boundaries(frames)


@pytest.mark.parametrize("frames", SAMPLES)
def test_byte_by_byte(frames: list[bytes]) -> None:
    data = b"".join(frames)
    tracker = FrameTracker()
    at_boundary = {0}
    for end in range(1, len(data) + 1):
        tracker.feed(memoryview(data)[end - 1 : end])
        if tracker.at_boundary:
            at_boundary.add(end)
    assert at_boundary == boundaries(frames)


@pytest.mark.parametrize("frames", SAMPLES)
def test_every_split_in_three(frames: list[bytes]) -> None:
    data = b"".join(frames)
    ends = boundaries(frames)
    for first, second in itertools.combinations(range(len(data) + 1), 2):
        tracker = fed(data[:first], data[first:second])
        assert tracker.at_boundary == (second in ends), (first, second)
        tracker.feed(memoryview(data)[second:])
        assert tracker.at_boundary, (first, second)


@pytest.mark.parametrize("size", [65535, 65536, 262144], ids=str)
def test_a_long_frame_split_in_its_header_and_near_its_end(size: int) -> None:
    message = frame(BINARY, bytes(size))
    data = message + frame(PING)
    near_the_ends = [*range(16), *range(len(message) - 3, len(data))]
    for first in near_the_ends:
        tracker = fed(data[:first])
        assert tracker.at_boundary == (first in (0, len(message)))
        tracker.feed(memoryview(data)[first:])
        assert tracker.at_boundary


def test_a_length_of_63_bits_is_waited_for() -> None:
    tracker = fed(b"\x82\x7f\x7f" + b"\xff" * 7)
    for _ in range(3):
        assert not tracker.at_boundary
        tracker.feed(memoryview(bytes(1 << 20)))
    assert not tracker.at_boundary


def test_the_going_away_frame_is_a_whole_one() -> None:
    assert close_frame(1001) == CLOSE_GOING_AWAY
    assert fed(CLOSE_GOING_AWAY).at_boundary
