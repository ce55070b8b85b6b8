"""Finds the processes that serve the application, for what they share: limits, and listeners."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_COUNTED_AGAIN = 60.0  # seconds after which workers are counted again
_LISTENING = "0A"  # proc_pid_net(5), linux/tcp_states.h


def server_processes(environ: WSGIEnvironment) -> int:
    """How many processes serve the application in parallel, this one included.

    PEP 3333 says whether there are several. Those of gunicorn and uWSGI are the children of one
    parent. 1 if they cannot be counted.
    """
    if not environ.get("wsgi.multiprocess"):
        return 1
    return _siblings(int(time.monotonic() / _COUNTED_AGAIN))


@lru_cache(maxsize=1)
def _siblings(moment: int) -> int:
    return max(1, len(_children()))


def _children() -> list[str]:
    """The process ids of the children of our parent, this process included; none if unknown."""
    parent = os.getppid()
    try:
        with open(f"/proc/{parent}/task/{parent}/children") as children:
            return children.read().split()
    except OSError:
        return []


def another_listens(environ: WSGIEnvironment, port: int) -> bool:
    """Whether another process of the same server listens on a TCP port. False if unknown."""
    if not environ.get("wsgi.multiprocess"):
        return False
    links = {f"socket:[{inode}]" for inode in _inodes(port)}
    return any(not links.isdisjoint(_open_files(pid)) for pid in _children())


def _inodes(port: int) -> Iterator[str]:
    """The sockets of this machine that listen on a port (proc_pid_net(5))."""
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/self/net/{table}") as rows:
            for row in map(str.split, rows):
                if row[3] == _LISTENING and row[1].endswith(f":{port:04X}"):
                    yield row[9]


def _open_files(pid: str) -> Iterator[str]:
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for fd in os.listdir(folder):
            with contextlib.suppress(OSError):  # closed since it was listed
                yield os.readlink(f"{folder}/{fd}")
