"""How many descriptors the process may have, and how many of them are left to others."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from wsgi_portproxy.upstream import descriptors


@pytest.mark.parametrize(
    ("soft", "most", "ours"),
    [
        (1024, 1024, 768),
        (65536, 65536, 65280),
        (300, 300, 225),  # of few descriptors a quarter is left
        (resource.RLIM_INFINITY, 2097152, 2096896),
    ],
)
def test_of_all_that_there_may_be_some_are_left(
    monkeypatch: pytest.MonkeyPatch, soft: int, most: int, ours: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (soft, resource.RLIM_INFINITY))
    assert (descriptors.limit(), descriptors.ours()) == (most, ours)
    # The system gives out the lowest number that is free.
    assert [descriptors.are_scarce(fd) for fd in (ours - 1, ours, most)] == [False, True, True]


def test_those_in_use_are_counted_whoever_opened_them(tmp_path: Path) -> None:
    before = descriptors.in_use()
    first, second = (os.open(tmp_path, os.O_RDONLY) for _ in range(2))
    assert descriptors.in_use() == before + 2
    os.close(first)
    os.close(second)
    assert descriptors.in_use() == before


def test_a_kernel_that_does_not_tell_the_folders_size(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = os.stat_result([0] * 10)
    monkeypatch.setattr(os, "stat", lambda path: nothing)
    monkeypatch.setattr(os, "listdir", lambda path: ["0", "1", "2"])
    assert descriptors.in_use() == 3


def test_a_system_that_does_not_tell_them_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: str) -> None:
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "stat", fails)
    assert descriptors.in_use() == 0


def test_the_first_ones_are_never_scarce(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server works with fewer, and the system need not be asked."""
    monkeypatch.setattr(resource, "getrlimit", lambda what: pytest.fail("it was asked"))
    assert not descriptors.are_scarce(47)
