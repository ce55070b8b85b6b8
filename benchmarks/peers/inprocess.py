"""The rows of what is measured in process, by `calls`."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.processes import Program
from benchmarks.report import Row

from .contestants import Arena
from .plan import Plan


def rows(arena: Arena, plan: Plan) -> Iterator[Row]:
    with Program("peers.calls", arena.files, plan.batches, plan.batch) as program:
        found: dict[str, Any] = program.first
    ours = found["ours"]
    yield _ratio(found, "ours", "raw anew", "that connects for each request", ("at most", 1.5))
    yield _ratio(found, "ours", "raw", "that is kept", None)
    yield _ratio(found, "ours browser", "raw anew", "that connects, as a browser asks", None)
    for name in ("urllib3", "http.client"):
        yield _ratio(found, name, "raw", "that is kept", None)
    cpu = tuple(one / two for one, two in zip(ours["cpu"], found["raw"]["cpu"], strict=True))
    measured = f"{statistics.median(ours['cpu']):.0f} us, raw {_median(found, 'raw', 'cpu'):.0f}"
    yield Row("in process: CPU, to a raw socket that is kept", measured, statistics.median(cpu))
    for kind in ("curl", "browser"):
        name = f"not for us: added to an app's request ({kind})"
        yield _added(found, name, f"wrapped {kind}", f"app {kind}", 5.0)
    for kind in ("curl", "browser"):
        name = f"AskApp, verdict known: added to a lambda's ({kind})"
        yield _added(found, name, f"asking {kind}", f"knowing {kind}", 15.0)


def _median(found: dict[str, Any], name: str, clock: str) -> float:
    return float(statistics.median(found[name][clock]))


def _ratio(
    found: dict[str, Any], name: str, raw: str, which: str, target: tuple[str, float] | None
) -> Row:
    pairs = zip(found[name]["wall"], found[raw]["wall"], strict=True)
    ratios = tuple(one / two for one, two in pairs)
    one, two = (_median(found, each, "wall") for each in (name, raw))
    what = "wsgi_portproxy" if name.startswith("ours") else name
    title = f"in process: {what}, to a raw socket {which}"
    return Row(title, f"{one:.0f} us, {two:.0f}", statistics.median(ratios), target, "", ratios)


def _added(found: dict[str, Any], title: str, name: str, without: str, limit: float) -> Row:
    pairs = zip(found[name]["wall"], found[without]["wall"], strict=True)
    differences = tuple(one - two for one, two in pairs)
    one, two = (_median(found, each, "wall") for each in (name, without))
    measured = f"{one:.1f} us, without {two:.1f}"
    value = statistics.median(differences)
    return Row(title, measured, value, ("at most", limit), " us", differences)
