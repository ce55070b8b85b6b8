"""A fault at every byte offset: several visitors at a time, each with its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

AT_A_TIME = 8


def at_every_offset(size: int, visit: Callable[[int], None]) -> None:
    """Call `visit` with every offset in `size` bytes, both ends included; tell which one failed."""

    def one(offset: int) -> None:
        try:
            visit(offset)
        except Exception as error:
            raise AssertionError(f"at byte {offset} of {size}: {error!r}") from error

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(one, range(size + 1)))
