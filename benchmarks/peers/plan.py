"""How much is measured, and how often."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """`rounds` are of requests, `transfers` of large bodies, `events` of event streams."""

    rounds: int
    seconds: float  # of requests over 8 connections, for each contestant in a round
    alone: float  # seconds over one connection, likewise
    transfers: int
    gibibytes: int  # of the one download and the one upload that memory is measured over
    event_rounds: int
    event_count: int  # of each stream, a hundredth of a second apart
    first_bytes: int
    batches: int  # in process
    batch: int  # calls in one


FULL = Plan(
    rounds=20,
    seconds=0.6,
    alone=0.3,
    transfers=6,
    gibibytes=10,
    event_rounds=6,
    event_count=400,
    first_bytes=4000,
    batches=60,
    batch=100,
)
QUICK = Plan(
    rounds=5,
    seconds=0.5,
    alone=0.2,
    transfers=2,
    gibibytes=1,
    event_rounds=2,
    event_count=200,
    first_bytes=1000,
    batches=20,
    batch=100,
)
