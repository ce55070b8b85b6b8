"""Requests for the small file: how many a second, how long one takes, what it costs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.report import Row

from . import tree
from .contestants import (
    BARE,
    OURS,
    PEERS,
    RAW,
    WSGIPROXY2,
    Arena,
    Contestant,
    in_turns,
)
from .plan import Plan

CONNECTIONS = 8
_WARMING_SECONDS = 0.3


@dataclass(frozen=True)
class Sample:
    """One load on one contestant. rate: requests a second; cpu: microseconds a request; p50, p99:
    milliseconds."""

    rate: float
    cpu: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Pair:
    """One contestant in one round: over 8 connections, and over one alone."""

    crowd: Sample
    lone: Sample


#: By name, then by round.
Samples: TypeAlias = dict[str, list[Pair]]


#: `crowds` or `lones`.
Kind: TypeAlias = Callable[[Samples, str], list[Sample]]


def measure(arena: Arena, plan: Plan) -> Samples:
    """Raises RuntimeError if a contestant answers anything but the file."""
    found: Samples = {one.name: [] for one in arena.contestants}
    for one in arena.contestants:
        _load(arena, one, CONNECTIONS, _WARMING_SECONDS)
    for number in range(plan.rounds):
        for one in in_turns(arena.contestants, number):
            lone = _sample(arena, one, 1, plan.alone)
            found[one.name].append(Pair(_sample(arena, one, CONNECTIONS, plan.seconds), lone))
        told = (f"{name} {found[name][-1].crowd.rate:,.0f}/s" for name in (BARE, RAW, OURS, *PEERS))
        print(f"  round {number + 1}: {', '.join(told)}", flush=True)
    return found


def _sample(arena: Arena, one: Contestant, connections: int, seconds: float) -> Sample:
    before = tree.cpu(one.pids)
    done = _load(arena, one, connections, seconds)
    cpu = (tree.cpu(one.pids) - before) / done["requests"] * 1e6
    return Sample(done["requests"] / done["seconds"], cpu, done["p50"], done["p99"])


def _load(arena: Arena, one: Contestant, connections: int, seconds: float) -> dict[str, float]:
    request = one.request(one.small)
    answer = arena.ask(
        do="rate", port=one.port, request=request, connections=connections, seconds=seconds
    )
    if "error" in answer:
        raise RuntimeError(f"{one.name}: {answer['error']}")
    return answer


def crowds(samples: Samples, name: str) -> list[Sample]:
    return [pair.crowd for pair in samples[name]]


def lones(samples: Samples, name: str) -> list[Sample]:
    return [pair.lone for pair in samples[name]]


def added(samples: Samples, name: str, of: Kind = crowds) -> list[float]:
    """Microseconds of processor time that a request costs more than the bare app's, by round."""
    pairs = zip(of(samples, name), of(samples, BARE), strict=True)
    return [one.cpu - bare.cpu for one, bare in pairs]


def rows(samples: Samples) -> Iterator[Row]:
    for other, limit in ((WSGIPROXY2, 0.25), (RAW, 2.0)):
        yield _added(samples, other, crowds, "", ("at most", limit))
    for other in (WSGIPROXY2, RAW):
        yield _added(samples, other, lones, ", one connection", None)
    mine = [sample.rate for sample in crowds(samples, OURS)]
    peers = [[sample.rate for sample in crowds(samples, name)] for name in PEERS]
    best = [max(rates) for rates in zip(*peers, strict=True)]
    ratios = tuple(one / two for one, two in zip(mine, best, strict=True))
    measured = f"{statistics.median(mine):,.0f} /s, {statistics.median(best):,.0f}"
    name = "requests/s, to the best Python peer of the round"
    yield Row(name, measured, statistics.median(ratios), ("at least", 1.8), "", ratios)


def _added(
    samples: Samples, other: str, kind: Kind, when: str, target: tuple[str, float] | None
) -> Row:
    ours, theirs = added(samples, OURS, kind), added(samples, other, kind)
    ratios = tuple(one / two for one, two in zip(ours, theirs, strict=True))
    measured = f"{statistics.median(ours):.0f} us, {other} {statistics.median(theirs):.0f}"
    name = f"CPU added to a request{when}, to that of {other}"
    return Row(name, measured, statistics.median(ratios), target, "", ratios)
