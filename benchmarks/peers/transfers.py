"""Large bodies: how fast they pass, and how much memory they take meanwhile."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.processes import Program
from benchmarks.report import Row

from . import tree
from .contestants import NGINX, OURS, WSGIPROXY2, Arena, Contestant, in_turns
from .heads import MOUNT, wire
from .nginx import LARGE
from .plan import Plan

_GIB = 1 << 30
# Before memory is looked at, each thread gets its buffers (they grow to 1 MiB) and its part of the
# allocator's memory, once: eight threads, some of which may get two.
_WARMING, _WARMINGS = 64 << 20, 24  # bytes, and how often each way
_ROUGHLY = {"down": "download", "up": "upload"}


@dataclass
class Transfers:
    """Of one contestant. down, up: MB/s by round. peaks: MiB by which its memory grew at most,
    errors: why there is nothing, both by direction."""

    down: list[float] = field(default_factory=list)
    up: list[float] = field(default_factory=list)
    peaks: dict[str, float] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def rates(self, way: str) -> list[float]:
        return self.down if way == "down" else self.up


def measure(arena: Arena, plan: Plan) -> dict[str, Transfers]:
    contestants = [one for one in arena.contestants if one.large is not None]
    found = {one.name: Transfers() for one in contestants}
    for number in range(plan.transfers):
        for way in ("down", "up") if number % 2 else ("up", "down"):
            for one in in_turns(contestants, number):
                _transfer(arena, one, way, found[one.name])
        print(f"  round {number + 1} of {plan.transfers}", flush=True)
    for name, transfers in found.items():
        for way, error in transfers.errors.items():
            print(f"  {name} cannot do the {_ROUGHLY[way]}: {error}")
    return found


def _transfer(arena: Arena, one: Contestant, way: str, found: Transfers) -> None:
    if way in found.errors:  # it may be in a bad state already
        return
    assert one.large is not None
    assert one.sink is not None
    if way == "down":
        request = one.request(one.large)
    else:
        request = one.request(one.sink, "POST", upload_fields(LARGE))
    tree.forget_peak(one.pids)
    before = tree.resident_mib(one.pids)
    answer = arena.ask(do=way, port=one.port, request=request, size=LARGE)
    if "error" in answer:
        found.errors[way] = answer["error"]
        return
    grown = tree.peak_mib(one.pids) - before
    found.peaks[way] = max(found.peaks.get(way, 0.0), grown)
    found.rates(way).append(LARGE / 1e6 / answer["seconds"])


def upload_fields(size: int) -> tuple[tuple[str, str], ...]:
    return (("Content-Type", "application/octet-stream"), ("Content-Length", str(size)))


def rows(found: dict[str, Transfers]) -> Iterator[Row]:
    for way, other, limit in (("down", NGINX, 1.5), ("down", WSGIPROXY2, 1.0), ("up", NGINX, 1.0)):
        mine, theirs = found[OURS].rates(way), found[other].rates(way)
        if not mine or not theirs:
            raise RuntimeError(f"no {_ROUGHLY[way]}: {found[OURS].errors} {found[other].errors}")
        ratios = tuple(one / two for one, two in zip(mine, theirs, strict=True))
        measured = f"{statistics.median(mine):,.0f} MB/s, {statistics.median(theirs):,.0f}"
        unbuffered = " (proxy_buffering off)" if other == NGINX else ""
        name = f"{_ROUGHLY[way]} of 512 MiB, to {other}{unbuffered}"
        yield Row(name, measured, statistics.median(ratios), ("at least", limit), "", ratios)


def memory_rows(arena: Arena, plan: Plan) -> Iterator[Row]:
    """What one very long download and upload leave in our worker, and hold at most meanwhile."""
    one = arena[OURS]
    size = plan.gibibytes * _GIB
    with Program("stream_service") as service:

        def transfer(way: str, size: int) -> float:
            path = f"{MOUNT}/proxy/{service.first['port']}/bytes/{size}/length"
            request = wire(one.port, path, one.fields)
            if way == "up":
                path = f"{MOUNT}/proxy/{arena.sink}/"
                request = wire(one.port, path, one.fields + upload_fields(size), "POST")
            answer = arena.ask(do=way, port=one.port, request=request, size=size)
            if "error" in answer:
                raise RuntimeError(f"{_ROUGHLY[way]}: {answer['error']}")
            return size / 1e6 / float(answer["seconds"])

        for number in range(2 * _WARMINGS):
            transfer("up" if number % 2 else "down", _WARMING)
        for way in ("down", "up"):
            tree.forget_peak(one.pids)
            before = tree.resident_mib(one.pids)
            rate = transfer(way, size)
            after, peak = tree.resident_mib(one.pids), tree.peak_mib(one.pids)
            measured = f"{before:.1f} to {after:.1f} MiB, at most {peak:.1f}; {rate:,.0f} MB/s"
            name = f"memory over {plan.gibibytes} GiB {way}, at its peak"
            yield Row(name, measured, peak - before, ("at most", 8.0), " MiB")
