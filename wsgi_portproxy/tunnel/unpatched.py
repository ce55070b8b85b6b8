"""Finds the standard library's own functions, even if gevent has replaced them, for the relay."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def unpatched(module: str, name: str) -> Callable[..., Any]:
    """Python's original function `name` of `module`."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        original: Callable[..., Any] = monkey.get_original(module, name)
        return original
    found: Callable[..., Any] = getattr(sys.modules.get(module) or __import__(module), name)
    return found


def is_patched() -> bool:
    """Whether gevent has replaced the threads, so that a server's threads are greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
