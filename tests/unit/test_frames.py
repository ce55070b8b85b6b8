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

from .given import table

MASK = b"\xff\x00\x80\x7e"

SAMPLES = {
    "short": [frame(TEXT, b"hello")],
    "masked": [frame(TEXT, b"hello", mask=MASK), frame(TEXT, mask=MASK)],
    "125": [frame(BINARY, b"x" * 125)],
    "126": [frame(BINARY, b"x" * 126)],
    "127-masked": [frame(BINARY, b"x" * 127, mask=MASK)],
    "three-empty": [frame(PING), frame(PONG), frame(CLOSE)],
    "fragments-with-a-ping-between": [
        frame(TEXT, b"Hel", fin=False),
        frame(PING, b"?"),
        frame(CONTINUATION, b"lo"),
        close_frame(1000, "bye"),
    ],
    "16-bit-length-of-a-short-one": [b"\x82\x7e\x00\x05hello"],
    "64-bit-length-of-a-short-one": [b"\x82\x7f" + bytes(7) + b"\x05hello"],
    "longest-header": [b"\x82\xff" + bytes(7) + b"\x01" + MASK + b"h", frame(PING)],
    "long-empty": [b"\x82\x7e\x00\x00", b"\x82\x7f" + bytes(8), frame(TEXT, b"x")],
}


def boundaries(frames: list[bytes]) -> set[int]:
    """The positions between frames in the joined sample."""
    return {0, *itertools.accumulate(map(len, frames))}


def fed(*pieces: bytes) -> FrameTracker:
    tracker = FrameTracker()
    for piece in pieces:
        tracker.feed(memoryview(piece))
    return tracker


@table("frames", SAMPLES)
def test_every_split_in_three(frames: list[bytes]) -> None:
    data = b"".join(frames)
    ends = boundaries(frames)
    for first, second in itertools.combinations_with_replacement(range(len(data) + 1), 2):
        tracker = fed(data[:first], data[first:second])
        assert tracker.at_boundary == (second in ends), (first, second)
        tracker.feed(memoryview(data)[second:])
        assert tracker.at_boundary, (first, second)


@table("frames", SAMPLES)
def test_byte_by_byte(frames: list[bytes]) -> None:
    data = b"".join(frames)
    tracker = FrameTracker()
    for end in range(1, len(data) + 1):
        tracker.feed(memoryview(data)[end - 1 : end])
        assert tracker.at_boundary == (end in boundaries(frames)), end


@pytest.mark.parametrize("size", [65535, 65536], ids=str)
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


# --- Some at a time ------------------------------------------------------------------------------

EMPTY = frame(PONG)
MANY = 5000  # more than are followed at a time


def followed(tracker: FrameTracker, piece: bytes | bytearray) -> list[bytes]:
    """What of a piece goes through, as it does: some of it at a time."""
    gone = [bytes(tracker.feed(memoryview(piece)))]
    while tracker.is_behind:
        assert tracker.at_boundary  # of what has gone through
        gone.append(bytes(tracker.feed(memoryview(b""))))
    return gone


@table(
    "data, at_boundary",
    {
        "empty": (EMPTY * MANY, True),
        "half-a-header": (EMPTY * MANY + b"\x82", False),
        "half-a-frame": (EMPTY * MANY + frame(BINARY, b"xyz")[:-1], False),
        "a-long-one-among-them": (EMPTY * 3000 + frame(TEXT, b"x" * 9000) + EMPTY * 3000, True),
        "masked": (frame(TEXT, mask=MASK) * MANY, True),
        "long-headers": ((b"\x82\x7f" + bytes(8)) * MANY, True),
    },
)
@pytest.mark.parametrize("step", [1, 2, 4097, 10**6])
def test_a_flood_of_small_frames_goes_through_in_portions(
    data: bytes, at_boundary: bool, step: int
) -> None:
    tracker = FrameTracker()
    pieces = [data[i : i + step] for i in range(0, len(data), step)]
    gone = [part for piece in pieces for part in followed(tracker, piece)]
    assert b"".join(gone) == data
    assert tracker.at_boundary is at_boundary
    assert len(gone) > 2


def test_more_may_come_while_some_of_them_wait() -> None:
    tracker, data = FrameTracker(), EMPTY * MANY
    gone = [bytes(tracker.feed(memoryview(data))) for _ in range(2)]
    assert tracker.is_behind
    assert b"".join([*gone, *followed(tracker, b"")]) == data * 2


def test_frames_that_wait_are_no_longer_the_callers() -> None:
    tracker, data = FrameTracker(), frame(TEXT, b"ab") * MANY
    buffer = bytearray(data)
    gone = bytes(tracker.feed(memoryview(buffer)))
    buffer[:] = bytes(len(buffer))  # it is read into again
    assert b"".join([gone, *followed(tracker, b"")]) == data


def test_a_few_large_frames_go_through_at_once() -> None:
    tracker, data = FrameTracker(), frame(BINARY, bytes(65536)) * 4
    assert tracker.feed(memoryview(data)) == data
    assert not tracker.is_behind
