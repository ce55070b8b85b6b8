"""The descriptors of this process: one budget for the server, the app and all that is opened here.

Linux gives out the lowest number that is free (open(2)). So the number of a new descriptor tells
how many there are at least, whoever has them, and nothing has to be counted.
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
    """How many of them may be in use for there to be room for more of ours."""
    most = limit()
    return most - min(_FOR_OTHERS, most // 4)


def are_scarce(fd: int) -> bool:
    """Whether a descriptor that was just opened is one of those left to others."""
    return fd >= _FEW and fd >= ours()


def in_use() -> int:
    """How many are open in the process, whoever opened them; 0 where the system does not tell."""
    try:
        # Linux 6.2 and later tell it as the size of the folder; before that it is 0.
        return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
