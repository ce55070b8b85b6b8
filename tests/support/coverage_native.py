"""A plugin of coverage.py: threads that `threading` does not know are traced too.

The relay's thread is one: it is started by `_thread` itself, as Python has it under gevent.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable
from typing import Any

_start = _thread.start_new_thread


def coverage_init(registry: object, options: object) -> None:
    """What coverage.py calls in each process that it measures."""
    _thread.start_new_thread = _start_traced


def _start_traced(function: Callable[..., Any], args: Any, kwargs: Any = None) -> int:
    def run(*args: Any, **kwargs: Any) -> Any:
        sys.settrace(threading.gettrace())
        return function(*args, **kwargs)

    return _start(run, args, kwargs or {})
