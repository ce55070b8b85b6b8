"""A fault at every byte offset: several visitors at a time, each with its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

AT_A_TIME = 8


def at_each(offsets: Iterable[T], visit: Callable[[T], None]) -> None:
    """Call `visit` with each of them; tell which one failed."""

    def one(offset: T) -> None:
        try:
            visit(offset)
        except Exception as error:
            raise AssertionError(f"at byte {offset}: {error!r}") from error

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(one, offsets))
