"""A plugin of coverage.py, for what it does not see by itself in the servers of the tests.

Threads that `threading` does not know: the relay's is started by `_thread`, as Python has it under
gevent. And greenlets, where a process has them; asking for the current one is too slow for others.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable
from typing import Any

from coverage import CoveragePlugin
from coverage.plugin_support import Plugins
from coverage.types import TConfigurable

_start = _thread.start_new_thread


class Greenlets(CoveragePlugin):
    def configure(self, config: TConfigurable) -> None:
        if any("gevent" in word for word in sys.orig_argv):
            config.set_option("run:concurrency", ["thread", "gevent"])


def coverage_init(registry: Plugins, options: object) -> None:
    """What coverage.py calls in each process that it measures."""
    registry.add_configurer(Greenlets())
    _thread.start_new_thread = _start_traced


def _start_traced(function: Callable[..., Any], args: Any, kwargs: Any = None) -> int:
    def run(*args: Any, **kwargs: Any) -> Any:
        sys.settrace(threading.gettrace())
        return function(*args, **kwargs)

    return _start(run, args, kwargs or {})
