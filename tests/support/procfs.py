"""What Linux tells of a server's worker process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .servers import Server
from .waiting import until

_ESTABLISHED, _LISTENING = "01", "0A"  # proc_pid_net(5), linux/tcp_states.h


def worker_of(server: Server) -> int:
    """The process id of the one worker of a gunicorn."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    assert len(children) == 1, children
    return int(children[0])


def resident_mib(pid: int) -> float:
    """Memory that the process holds now, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(fields["VmRSS"].split()[0]) / 1024


def descriptors(pid: int) -> int:
    """How many descriptors the process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def settled_descriptors(pid: int) -> int:
    """How many descriptors a server's worker has open once no visitor is connected to it."""
    until(lambda: not visitors(pid), "all visitors' connections are closed")
    return descriptors(pid)


def visitors(pid: int) -> int:
    """How many connections the process has to ports that it listens on itself."""
    rows = _held(pid)
    listening = {_port(row[1]) for row in rows if row[3] == _LISTENING}
    return sum(_port(row[1]) in listening and row[3] != _LISTENING for row in rows)


@contextmanager
def nothing_left(pid: int, *, idle: int = 0) -> Iterator[None]:
    """What the worker of a gunicorn opens in this block, and what was under way before it, is soon
    closed.

    At rest it has no sockets but those it listens on, and `idle` connections to services; so
    nothing has to be counted, and no calm awaited, before the block. Only its other descriptors
    are, which requests do not change; those of the relay are there with its first tunnel.
    """
    listening = sum(row[3] == _LISTENING for row in _held(pid))
    before, _ = _held_open(pid)

    def is_at_rest() -> bool:
        others, sockets = _held_open(pid)
        return others == before and len(sockets) - listening <= idle

    yield
    until(is_at_rest, "the worker has closed what it had opened", 30)


def cpu_seconds(pid: int) -> float:
    """Processor time that the process has used so far, of all its threads, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])  # proc(5): utime, stime
    return (user + system) / os.sysconf("SC_CLK_TCK")


def _tcp_row(table: str, local_port: int, remote_port: int) -> list[str]:
    """The row of one side of the connection between two ports of 127.0.0.1."""
    # Searched as text: after a day's tests the table may have 30,000 rows.
    position = table.index(f" 0100007F:{local_port:04X} 0100007F:{remote_port:04X} ")
    return ["", *table[position : table.index("\n", position)].split()]


def keepalive_is_on(local_port: int, remote_port: int) -> bool:
    """Whether this side of the connection has TCP's keep-alive timer."""
    table = Path("/proc/self/net/tcp").read_text()
    return _tcp_row(table, local_port, remote_port)[5].partition(":")[0] == "02"


def queued(*connections: tuple[int, int]) -> list[tuple[int, int]]:
    """For sides of connections, each given as local and remote port, the bytes that the kernel
    holds: those not acknowledged by the other side, and those not read."""
    table = Path("/proc/self/net/tcp").read_text()
    pairs = [_tcp_row(table, *ports)[4].split(":") for ports in connections]
    return [(int(sending, 16), int(receiving, 16)) for sending, receiving in pairs]


def established(pid: int) -> set[tuple[int, int]]:
    """Local and remote port of each TCP connection that the process holds."""
    return {(_port(row[1]), _port(row[2])) for row in _held(pid) if row[3] == _ESTABLISHED}


def _held_open(pid: int) -> tuple[int, set[str]]:
    """How many descriptors are open of other things than sockets, and the inodes of the sockets."""
    others, inodes = 0, set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            kind, _, inode = os.readlink(entry).partition(":")
            if kind == "socket":
                inodes.add(inode.strip("[]"))
            else:
                others += 1
    return others, inodes


def _held(pid: int) -> list[list[str]]:
    """The rows of proc_pid_net(5)'s table of TCP sockets that are the process's own."""
    _, inodes = _held_open(pid)
    rows = (line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:])
    return [row for row in rows if row[9] in inodes]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def children(pid: int) -> set[int]:
    """The child processes of a process, such as the workers of a gunicorn."""
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def has_ended(pid: int) -> bool:
    """Whether the process is over, reaped or not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] in "ZX"
