"""The file descriptors of this process: one budget for the server, the app and this package.

Linux assigns the lowest free number (open(2)). So the number of a new descriptor shows how many are
open at least, no matter who opened them, and nothing has to be counted.
"""

from __future__ import annotations

import os
import resource

# Left to the server and the app, for visitors, files and databases, if the limit allows.
_FOR_OTHERS = 256
_NO_LIMIT = 1 << 21  # if the system sets none
_FEW = 48  # lower numbers are never scarce: no server could work with so low a limit


def limit() -> int:
    """How many descriptors the process may have open (the soft RLIMIT_NOFILE)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _NO_LIMIT if soft == resource.RLIM_INFINITY else soft


def ours() -> int:
    """How many descriptors the process may have open before we leave the rest to others."""
    most = limit()
    return most - min(_FOR_OTHERS, most // 4)


def are_scarce(fd: int) -> bool:
    """Whether a descriptor that was just opened belongs to the share that we leave to others."""
    return fd >= _FEW and fd >= ours()


def in_use() -> int:
    """How many descriptors are open in the process, no matter who opened them; 0 if unknown."""
    try:
        # Linux 6.2 and later report the number as the size of the folder; before, that is 0.
        return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
