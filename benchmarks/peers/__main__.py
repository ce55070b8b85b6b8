"""wsgi_portproxy side by side with its peers, against the targets of the project: one command.

`make bench-peers`, which is `python -m benchmarks.peers` in .venv-peers. All contestants run at the
same time in front of the same nginx, and are asked in turns, in another order each round. Ratios
are those within a round, of which the median counts: what else the machine does meanwhile, and how
fast it is, hits both sides of a ratio.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from benchmarks.report import Row, save, table

from . import chart, events, inprocess, nginx, rates, transfers
from .contestants import Arena, arena, pinned
from .plan import FULL, QUICK, Plan
from .rates import Samples
from .signals import end_as_on_interrupt
from .transfers import Transfers
from .wide import table as wide_table
from .wide import wide

PARTS = ("rates", "transfers", "memory", "events", "inprocess")
PACKAGES = (
    "wsgi_portproxy",
    "WSGIProxy2",
    "werkzeug",
    "Django",
    "django-revproxy",
    "jupyter-server-proxy",
)
NOTES = """\
Above: medians over the rounds, of requests for 1 KiB over 8 kept connections, and (alone) over one;
of downloads and uploads of 512 MiB; of memory the most by which a contestant's processes grew over
these. `-`: it cannot do that, or it would say nothing. "CPU" is processor time of all processes of
a contestant, "added" what that is more than the bare app's, which answers by itself in the same
server. "raw socket" writes one fixed request to a kept connection and reads the answer: no proxy
can do less. wsgi_portproxy has everything switched on: an authorizer, a mount, a hook for metrics,
its log, all defaults. "nginx" has proxy_buffering and proxy_request_buffering off, as a proxy for
event streams and large uploads must. "browser" rows have the header fields that Chromium sends with
a script and four cookies, all others those of curl. MB are 10^6 bytes.

Below: ratios within one round, of which this is the median. Memory is what the worker held at its
peak beyond what it held before. Events, and first bytes on kept connections, go through the proxy
and straight to the service in turns. In process the same thread calls each in batches in turns;
"not for us" is a request that names no port, AskApp's verdict is a remembered one."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="two minutes, not saved")
    parser.add_argument("--only", choices=PARTS, help="one part, not saved")
    parser.add_argument("--pin", action="store_true", help="rates: contestants on a core of theirs")
    options = parser.parse_args()
    end_as_on_interrupt()
    plan = QUICK if options.quick else FULL
    parts = PARTS if options.only is None else (options.only,)
    print("Starting the contestants", flush=True)
    with arena() as running:
        samples, large, rows = measured(running, plan, parts, pin=options.pin)
    found = wide(running.contestants, samples, large)
    if samples or large:
        print(f"\n{wide_table(found)}")
    print(f"\n{table(rows)}\n")
    if options.only is None and not options.quick:
        settings = {**asdict(plan), "pinned": options.pin, **versions()}
        more = {
            "contestants": found,
            "samples": {name: [asdict(one) for one in each] for name, each in samples.items()},
            "transfers": {name: asdict(one) for name, one in large.items()},
        }
        notes = "\n\n".join([NOTES, *unable(large)])
        title = "Side by side"
        path = save("peers", title, rows, settings, notes, first=wide_table(found), more=more)
        chart.draw_saved()
        print(f"Saved to {path.parent} and {chart.FILE}")
    return 0 if all(row.reached is not False for row in rows) else 1


def measured(
    running: Arena, plan: Plan, parts: tuple[str, ...], *, pin: bool
) -> tuple[Samples, dict[str, Transfers], list[Row]]:
    samples: Samples = {}
    large: dict[str, Transfers] = {}
    rows: list[Row] = []
    for part in parts:
        print(f"Part: {part}", flush=True)
        if part == "rates":
            with pinned(running) if pin else nullcontext():
                samples = rates.measure(running, plan)
            rows += rates.rows(samples)
        elif part == "transfers":
            large = transfers.measure(running, plan)
            rows += transfers.rows(large)
        elif part == "memory":
            rows += transfers.memory_rows(running, plan)
        elif part == "events":
            rows += events.rows(running, plan)
        else:
            rows += inprocess.rows(running, plan)
    return samples, large, rows


def unable(large: dict[str, Transfers]) -> list[str]:
    """What contestants could not do, and why."""
    lines = [
        f"{name} could not do the {'download' if way == 'down' else 'upload'}: {error}."
        for name, transfers in large.items()
        for way, error in transfers.errors.items()
    ]
    return [" ".join(lines)] if lines else []


def versions() -> dict[str, Any]:
    return {"nginx": nginx.version(), **{name: version(name) for name in PACKAGES}}


if __name__ == "__main__":
    sys.exit(main())
