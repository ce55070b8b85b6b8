"""The standard library as it was before gevent replaced parts of it, for the relay's own thread."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def unpatched(module: str, name: str) -> Callable[..., Any]:
    """Python's own function `name` of `module`."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        original: Callable[..., Any] = monkey.get_original(module, name)
        return original
    found: Callable[..., Any] = getattr(sys.modules.get(module) or __import__(module), name)
    return found
