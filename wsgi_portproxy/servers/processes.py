"""Counts the processes that serve the application, for limits that they share."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_COUNTED_AGAIN = 60.0  # seconds after which workers are counted again


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
    parent = os.getppid()
    try:
        with open(f"/proc/{parent}/task/{parent}/children") as children:
            return max(1, len(children.read().split()))
    except OSError:
        return 1
