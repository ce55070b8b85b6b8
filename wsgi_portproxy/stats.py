"""What a process holds now, as plain numbers: for metrics, and to see what goes on.

Cheap enough to be asked every second; the operator's dashboard is the reader.
"""

from __future__ import annotations

from dataclasses import dataclass

from .policy.concurrency import Caps
from .tunnel.shared import carried
from .upstream import descriptors
from .upstream.pool import idle


@dataclass(frozen=True, slots=True)
class Stats:
    """Of this process; with several workers each has its own.

    requests: requests for ports under way in threads of the server, of this `PortProxy`.
    waiting: requests that wait for a place at their port, likewise.
    websockets, streams: open, without a thread, of all `PortProxy` of the process.
    idle_connections: to services, kept for their next request, likewise; at most 64.
    descriptors: open in the process, whoever opened them; 0 where the system does not tell.
    descriptor_limit: how many there may be (RLIMIT_NOFILE).
    relay_longest_turn: seconds of processor time: the longest that one turn of the thread that
        carries WebSockets and streams took in the last one or two minutes. All of them waited for
        it. 0 if it does not run.
    """

    requests: int
    waiting: int
    websockets: int
    streams: int
    idle_connections: int
    descriptors: int
    descriptor_limit: int
    relay_longest_turn: float


def stats_of(caps: Caps) -> Stats:
    requests, waiting = caps.counts()
    tunnels, streams, longest_turn = carried()
    return Stats(
        requests=requests,
        waiting=waiting,
        websockets=tunnels - streams,
        streams=streams,
        idle_connections=len(idle),
        descriptors=descriptors.in_use(),
        descriptor_limit=descriptors.limit(),
        relay_longest_turn=longest_turn,
    )
