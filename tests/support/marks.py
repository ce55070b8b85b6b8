"""Which test a request is of, for what an app under test notes of the requests that it gets.

A server is shared by many tests, and what the request of one does late may happen during the next.
So each request says whose it is, in a field that no proxy passes on (hop-by-hop, RFC 9110, section
7.6.1): services never see it.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

FIELD = "Keep-Alive"
UNMARKED = "-"  # a request that no helper made, such as one that was smuggled in

_numbers = itertools.count(1)
_current = UNMARKED


def begin_test() -> None:
    """Give the requests from now on a mark that no others have."""
    global _current
    _current = f"test-{next(_numbers)}"


def current() -> str:
    """The mark of the test that runs."""
    return _current


def mark_of(environ: WSGIEnvironment) -> str:
    """The mark of a request, as an app sees it."""
    return str(environ.get("HTTP_KEEP_ALIVE", UNMARKED))
