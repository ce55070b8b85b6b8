"""Whether a server answers yet: the probe with which each is started."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.client import Client

from .heads import CURL, SMALL, wire


def answers(path: str) -> Callable[[int], None]:
    """A probe for `tests.support.servers.running`: is the small file at `path`?"""

    def probe(port: int) -> None:
        with Client(port) as client:
            client.send(wire(port, path, CURL).encode("latin-1"))
            reply = client.reply()
        if reply.status != 200 or reply.body != SMALL:
            raise ConnectionError(f"{reply.status} {reply.body[:300]!r}")

    return probe
