"""One line for each contestant: medians over the rounds, for reading and for the chart."""

from __future__ import annotations

import statistics
from typing import TypeAlias

from benchmarks.report import aligned

from .contestants import Contestant
from .rates import Samples, added, crowds, lones
from .transfers import Transfers

#: By contestant, then by column; a column that says nothing of it is None.
Wide: TypeAlias = dict[str, dict[str, float | None]]

COLUMNS = {  # with how each is written
    "req/s": ",.0f",
    "CPU us": ".0f",
    "added CPU us": ".0f",
    "p50 ms": ".2f",
    "p99 ms": ".2f",
    "alone: req/s": ",.0f",
    "alone: CPU us": ".0f",
    "alone: added CPU us": ".0f",
    "alone: p50 ms": ".2f",
    "alone: p99 ms": ".2f",
    "MB/s down": ",.0f",
    "MB/s up": ",.0f",
    "peak MiB down": ".1f",
    "peak MiB up": ".1f",
}


def wide(contestants: list[Contestant], samples: Samples, transfers: dict[str, Transfers]) -> Wide:
    return {one.name: _columns(one, samples, transfers) for one in contestants}


def _columns(
    one: Contestant, samples: Samples, transfers: dict[str, Transfers]
) -> dict[str, float | None]:
    found: dict[str, float | None] = dict.fromkeys(COLUMNS)
    if one.name in samples:
        for kind, when in ((crowds, ""), (lones, "alone: ")):
            rounds = kind(samples, one.name)
            found |= {
                f"{when}req/s": statistics.median(sample.rate for sample in rounds),
                f"{when}CPU us": statistics.median(sample.cpu for sample in rounds),
                f"{when}p50 ms": statistics.median(sample.p50 for sample in rounds),
                f"{when}p99 ms": statistics.median(sample.p99 for sample in rounds),
            }
            if one.is_added:
                taken = added(samples, one.name, kind)
                found[f"{when}added CPU us"] = statistics.median(taken)
    large = transfers.get(one.name)
    if large is not None:
        for way in ("down", "up"):
            rates = large.rates(way)
            found[f"MB/s {way}"] = statistics.median(rates) if rates else None
            found[f"peak MiB {way}"] = large.peaks.get(way)
    return found


def table(found: Wide) -> str:
    lines = [["", *COLUMNS]]
    for name, columns in found.items():
        if not any(columns.values()):
            continue
        values = [(columns[column], how) for column, how in COLUMNS.items()]
        lines.append([name, *("-" if value is None else f"{value:{how}}" for value, how in values)])
    return aligned(lines)
