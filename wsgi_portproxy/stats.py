"""The current load of a process as plain numbers, for an operator's dashboard.

Cheap enough to be called every second.
"""

from __future__ import annotations

from dataclasses import dataclass

from .policy.concurrency import ConcurrencyLimits
from .tunnel.shared import carried
from .upstream import descriptors
from .upstream.pool import idle


@dataclass(frozen=True, slots=True)
class Stats:
    """The numbers of this process; each worker has its own.

    requests: requests of this `PortProxy` that hold a thread of the server.
    queued: requests of this `PortProxy` that wait for a slot of their port; they hold a thread too.
    waiting, streams, websockets: without a thread, for every `PortProxy` in the process: requests
        that wait for their service, responses that are being sent, and open WebSockets.
    idle_connections: kept for the next request, for every `PortProxy` in the process; at most 64.
    descriptors: open in the process, no matter who opened them; 0 if unknown.
    descriptor_limit: how many may be open (RLIMIT_NOFILE).
    relay_longest_turn: seconds of processor time that the relay's longest turn took in the last one
        or two minutes. All WebSockets and streams waited for it. 0 if no relay is running.
    """

    requests: int
    queued: int
    waiting: int
    streams: int
    websockets: int
    idle_connections: int
    descriptors: int
    descriptor_limit: int
    relay_longest_turn: float


def stats_of(limits: ConcurrencyLimits) -> Stats:
    requests, queued = limits.counts()
    places, waiting, streams, longest_turn = carried()
    return Stats(
        requests=requests,
        queued=queued,
        waiting=waiting,
        streams=streams,
        websockets=max(0, places - waiting - streams),
        idle_connections=len(idle),
        descriptors=descriptors.in_use(),
        descriptor_limit=descriptors.limit(),
        relay_longest_turn=longest_turn,
    )
