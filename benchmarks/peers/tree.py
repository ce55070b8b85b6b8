"""What Linux tells of a contestant: the processor time and memory of all its processes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from benchmarks.processes import cpu_seconds


def processes(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found += processes(int(child))
    return found


def cpu(pids: Iterable[int]) -> float:
    """Seconds of processor time so far. Servers of one kind keep their threads: none is missed."""
    return sum(cpu_seconds(pid) for pid in pids)


def confine(pids: Iterable[int], cores: set[int]) -> None:
    """Let all threads of these processes run on these cores only."""
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), cores)


def forget_peak(pids: Iterable[int]) -> None:
    """Let the peak begin anew (proc_pid_clear_refs(5))."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def resident_mib(pids: Iterable[int]) -> float:
    return _status(pids, "VmRSS")


def peak_mib(pids: Iterable[int]) -> float:
    """The most that was resident since `forget_peak`, of all processes together."""
    return _status(pids, "VmHWM")


def _status(pids: Iterable[int], name: str) -> float:
    kib = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        kib += int(next(line for line in lines if line.startswith(name + ":")).split()[1])
    return kib / 1024
