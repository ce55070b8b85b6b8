"""The file descriptors of this process: one budget for the server, the app and this package.

Linux assigns the lowest free number (open(2)). So at least as many descriptors are open as the
number of a new one, whoever opened them, and nothing has to be counted.
"""

from __future__ import annotations

import os
import resource

# Left to the server and the app, where the limit allows: for visitors, files, databases.
_FOR_OTHERS = 256
_NO_LIMIT = 1 << 21  # where the system sets none
_FEW = 48  # below that number no limit is asked for, since no server could work with it


def limit() -> int:
    """How many descriptors the process may have open (RLIMIT_NOFILE, the soft one)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _NO_LIMIT if soft == resource.RLIM_INFINITY else soft


def ours() -> int:
    """How many may be in use in the process before we leave the rest to others."""
    most = limit()
    return most - min(_FOR_OTHERS, most // 4)


def are_scarce(fd: int) -> bool:
    """Whether a descriptor that was just opened is one of those that we leave to others."""
    return fd >= _FEW and fd >= ours()


def in_use() -> int:
    """How many are open in the process, whoever opened them; 0 where that is not known."""
    try:
        # Linux 6.2 and later report it as the size of the folder; before, the size is 0.
        return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
