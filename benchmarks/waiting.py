"""What waiting for slow services costs, against the targets of the project: one command.

`python benchmarks/waiting.py`, or `--quick` for a first look. Everything runs on 127.0.0.1: a
server with four threads (gunicorn's sync worker: one), a service that answers late, and visitors
who wait, each a process of its own.

What counts are ratios and differences within this run. The app's own page is asked of two like
servers in turns, one with the requests that wait and one without, so that the service and the
visitors, which share the cores, hit both; the two change places each round.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a file

import wsgi_portproxy
from benchmarks import streams
from benchmarks.host import MOUNT
from benchmarks.plain import plain_requests
from benchmarks.processes import ROOT, Program, memory_kib, set_descriptor_limit
from benchmarks.report import Row, save, table
from benchmarks.waiting_quick import quick_rows
from benchmarks.waiting_servers import THREADS, complaints, serving
from tests.support.servers import Server

DESCRIPTORS = 20_000  # of the server, the visitors and the service
REQUESTS = 1000
SECONDS = 2.0  # that the service takes for each of them
PROMPT = 3.0  # seconds from the last that comes to the last answer
POLLS = 500
UPLOADS, SIZE, RATE = 200, 100 * 1024, 50_000  # bytes of each, and a second
STREAMING = ("waitress", "cheroot")  # benchmarks/streams.py has gunicorn's
PATIENCE = 60.0  # seconds for a page: where threads are held, it comes late, if it comes
HELD = 55  # seconds that requests wait while memory is measured: less than `Timeouts.head`
WARM = 200  # requests that wait before anything is measured, and that do while memory is


@dataclass(frozen=True)
class Plan:
    """How long and how often. `rounds` is even, so that both servers are as often the crowded."""

    rounds: int
    upload_rounds: int
    poll: float  # seconds
    polling: float  # seconds in which those who are answered poll again
    memory_rounds: int
    turns: int  # of quick requests
    streams: streams.Plan


FULL = Plan(4, 2, 20, 120, 1, 300, streams.Plan(REQUESTS, 0, 4, 24, 25, 10, 0))
QUICK = Plan(2, 2, 5, 15, 1, 40, streams.Plan(REQUESTS, 0, 2, 12, 20, 5, 0))


def percentile(values: list[float], percent: int) -> float:
    return sorted(values)[len(values) * percent // 100]


@dataclass
class Pages:
    """Seconds of the app's own page: of the crowded server and of the empty one, in turns."""

    beside: list[float] = field(default_factory=list)
    without: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)  # of the p99, by round
    first: list[float] = field(default_factory=list)  # of each round, of the crowded server
    is_stuck = False  # one did not come at all

    def ask(self, crowded: Server, empty: Server, visitors: Program, pause: float) -> None:
        """Ask for it again and again, as one visitor would, until no other visitor waits."""
        beside: list[float] = []
        without: list[float] = []
        number = 0
        while not self.is_stuck and (number % 20 or visitors.ask("left")["left"]):
            turns = [(crowded, beside), (empty, without)]
            for server, times in turns[:: -1 if number % 2 else 1]:
                times.append(self._seconds(server))
            number += 1
            time.sleep(pause)
        if beside and without:
            self.ratios.append(percentile(beside, 99) / percentile(without, 99))
            self.first.append(beside[0])
        self.beside += beside
        self.without += without

    def _seconds(self, server: Server) -> float:
        try:
            return plain_requests(server.port, "/", 1, timeout=PATIENCE)[0]
        except OSError:
            self.is_stuck = True
            return PATIENCE

    def row(self, name: str, target: tuple[str, float] | None) -> Row:
        beside, without = (percentile(times, 99) for times in (self.beside, self.without))
        measured = f"p99 {beside * 1000:.2f} ms, without {without * 1000:.2f}, "
        measured += f"longest {max(self.beside) * 1000:,.0f}, {max(self.without) * 1000:,.0f}"
        ratio = beside / without
        return Row(f"{name}: an app page beside", measured, ratio, target, "", tuple(self.ratios))


class Bench:
    """Two like servers of a kind, a service and the visitors."""

    def __init__(self, name: str, stack: ExitStack) -> None:
        self.both = [stack.enter_context(serving(name)) for _ in range(2)]
        self.service = stack.enter_context(Program("waiting_service"))
        self.visitors = stack.enter_context(Program("waiting_client"))
        self.prefix = f"{MOUNT}/proxy/{self.service.first['port']}"
        for server in self.both:  # as many threads, buffers and pooled connections as later
            plain_requests(server.port, "/", 100)
            plain_requests(server.port, f"{self.prefix}/", 100)
            self.visitors.ask(f"ask warm {server.port} {self.prefix} {WARM} 0.3 0 0")
            self.visitors.ask("result")
        self.service.ask("news")

    def queue(self) -> float:
        """Seconds of a page that comes together with as many quick requests: what the server's
        queue alone costs it."""
        found = []
        for server in self.both * 2:
            self.visitors.ask(f"ask quick {server.port} {self.prefix} {REQUESTS} 0 0 0")
            found += plain_requests(server.port, "/", 1, timeout=PATIENCE)
            self.visitors.ask("result")
        self.service.ask("news")
        return statistics.median(found)

    def direct(self) -> float:
        """Seconds from the last of as many requests, sent to the service itself, to the last
        answer."""
        port = self.service.first["port"]
        self.visitors.ask(f"ask direct {port} - {REQUESTS} {SECONDS} 0 0")
        found = self.visitors.ask("result")["direct"]
        self.service.ask("news")
        return float(found["last_answer"] - found["last_sent"])


def answers_row(name: str, found: list[dict[str, Any]], more: str = "") -> Row:
    """How many of all rounds got the answer that was due."""
    asked, answered = (sum(one[key] for one in found) for key in ("asked", "answered"))
    measured = f"{answered:,} of {asked:,} answers are right{more}"
    wrong = sorted({word for one in found for word in one["wrong"]})
    if wrong:
        measured += f"; others: {', '.join(wrong)}"
    return Row(name, measured, answered / asked, ("at least", 1.0))


# Many requests at once, alone and beside uploads


def burst_rows(name: str, plan: Plan) -> Iterator[Row]:
    with ExitStack() as stack:
        bench = Bench(name, stack)
        direct, queue = bench.direct(), bench.queue()
        found, last, pages = bursts(bench, plan.rounds, uploads=False)
    title = f"{REQUESTS:,} of {SECONDS:g} s, {name}"
    waits = [one["waits"] for one in found]
    yield answers_row(f"{title}: answers", waits)
    yield from last_rows(title, waits, last, direct)
    yield pages.row(title, ("at most", 1.5))
    first = statistics.median(pages.first)
    measured = f"{first * 1000:,.0f} ms, beside as many quick requests {queue * 1000:,.0f}"
    name_of = f"{title}: a page that comes with them"
    yield Row(name_of, measured, first / queue, None, "", tuple(pages.first))


def upload_rows(name: str, plan: Plan) -> Iterator[Row]:
    with ExitStack() as stack:
        bench = Bench(name, stack)
        found, _, pages = bursts(bench, plan.upload_rounds, uploads=True)
    title = f"{UPLOADS} slow uploads, {name}"
    sent = [one["uploads"] for one in found]
    waits = [one["waits"] for one in found]
    yield answers_row(f"{title}: answers", sent, ", with length and hash")
    yield answers_row(f"{title}: {REQUESTS:,} requests beside", waits)
    later = [one["last_answer"] - one["last_sent"] for one in sent]
    measured = f"each takes {SIZE / RATE:.1f} s, p99 {max(one['p99'] for one in sent):.1f} s more"
    name_of = f"{title}: all done after the last byte"
    yield Row(name_of, measured, max(later), None, " s", tuple(later))
    yield pages.row(title, None)


def bursts(
    bench: Bench, rounds: int, *, uploads: bool
) -> tuple[list[dict[str, Any]], list[float], Pages]:
    """What the visitors found in each round, how many seconds after the last request was sent the
    last came to the service, and pages meanwhile."""
    found, last, pages = [], [], Pages()
    for number in range(rounds):
        if pages.is_stuck:
            break  # the next round would find the same
        crowded, empty = bench.both[:: -1 if number % 2 else 1]
        to = f"{crowded.port} {bench.prefix}"
        if uploads:
            bench.visitors.ask(f"upload uploads {to} {UPLOADS} {SIZE} {RATE}")
        bench.visitors.ask(f"ask waits {to} {REQUESTS} {SECONDS} 0 0")
        pages.ask(crowded, empty, bench.visitors, 0.005)
        found.append(bench.visitors.ask("result"))
        last.append(bench.service.ask("news")["last"] - found[-1]["waits"]["last_sent"])
    return found, last, pages


def last_rows(
    title: str, waits: list[dict[str, Any]], last: list[float], direct: float
) -> Iterator[Row]:
    """last: when the last came to the service, in seconds after it was sent, by round."""
    sent = tuple(one["last_answer"] - one["last_sent"] for one in waits)
    came = tuple(one - before for one, before in zip(sent, last, strict=True))
    measured = f"the slowest round; at the service after {max(last):.2f} s"
    name = f"{title}: all done after the last came"
    yield Row(name, measured, max(came), ("at most", PROMPT), " s", came)
    measured = f"the slowest round; straight from the service {direct:.2f} s"
    name = f"{title}: all done after the last was sent"
    yield Row(name, measured, max(sent), ("at most", SECONDS + PROMPT), " s", sent)


# Long polls


def poll_rows(name: str, plan: Plan) -> Iterator[Row]:
    pages = Pages()
    with ExitStack() as stack:
        bench = Bench(name, stack)
        crowded, empty = bench.both
        to = f"{crowded.port} {bench.prefix}"
        # Evenly over the time of one poll: visitors come when they like.
        bench.visitors.ask(f"ask polls {to} {POLLS} {plan.poll} {plan.poll} {plan.polling}")
        pages.ask(crowded, empty, bench.visitors, 0.02)
        found = bench.visitors.ask("result")["polls"]
        most = bench.service.ask("news")["most"]
    title = f"{POLLS} polls of {plan.poll:g} s, {name}"
    yield answers_row(f"{title}: answers", [found], f", {most} at a time")
    measured = f"p50 {found['p50'] * 1000:.1f} ms"
    yield Row(f"{title}: p99 of answers later", measured, found["p99"] * 1000, None, " ms")
    yield pages.row(title, ("at most", 1.5))


# Memory


def memory_rows(name: str, plan: Plan) -> Iterator[Row]:
    found = [memory_of_each(name) for _ in range(plan.memory_rounds)]
    samples = tuple(pss for pss, _, _ in found)
    pss, rss, left = (max(one[which] for one in found) for which in range(3))
    measured = f"Pss; Rss {rss:.2f}; {left:.2f} are left when all have left"
    title = f"{REQUESTS:,} that wait, {name}: memory of each"
    yield Row(title, measured, pss, ("at most", 8.0), " KiB", samples)


def memory_of_each(name: str) -> tuple[float, float, float]:
    """KiB by which the server grows for each request that comes to wait while `WARM` others do:
    Pss, Rss, and the Pss that is left afterwards."""
    with ExitStack() as stack:
        bench = Bench(name, stack)
        server = bench.both[0]
        to = f"{server.port} {bench.prefix}"
        # What those who come first need stays taken: nothing that was freed is used again.
        bench.visitors.ask(f"ask first {to} {WARM} {HELD} 2 0")
        wait_for(WARM, bench.service)
        before = memory_kib(server.pid)
        bench.visitors.ask(f"ask more {to} {REQUESTS} {HELD} 6 0")
        wait_for(WARM + REQUESTS, bench.service)
        crowded = memory_kib(server.pid)
        bench.visitors.ask("leave")
        wait_for(0, bench.service)
        after = memory_kib(server.pid)
    grown = [(crowded[key] - before[key]) / REQUESTS for key in ("Pss", "Rss")]
    return grown[0], grown[1], (after["Pss"] - before["Pss"]) / REQUESTS


def wait_for(count: int, service: Program) -> None:
    """Wait until so many requests wait at the service, and all that went with it is over."""
    deadline = time.monotonic() + HELD - 8  # those that began first still wait then
    while (waiting := service.ask("news")["waiting"]) != count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{waiting} instead of {count} wait at the service")
        time.sleep(0.1)
    time.sleep(1)


NOTES = f"""\
Each request has a connection of its own and a browser's headers; an answer is right if it is a 200
with the body that the service gave this very request. "All done": seconds to the last answer, those
with which the service answers included; from when the last of the requests came to the service, and
from when it was sent, all at once: then the time in which the server takes them all is in it. The
app's own page is asked for by one visitor, one after the other, from when the requests are sent to
the last answer, of the server that has them and of a like one without, in turns; the ratio is that
of the p99s. A page that comes together with the requests stands in the server's queue behind them,
and p99 does not show it, since it is one of a round: it is compared with one that comes together
with as many requests which the service answers at once. Polls begin evenly spread over the time of
one. An upload sends a piece each 0.1 s, and the service answers by length and SHA-256.

Memory is what the server's process grows by while {REQUESTS:,} more requests come to wait, within 6
seconds, beside {WARM} that wait already, and after {WARM} that are over: so imports, threads and
buffers do not count, and what those that are over gave back is taken already. What the kernel holds
for sockets is in none of these numbers.

Quick requests go to one server in turns by two `PortProxy`, one with the default `detach_after` and
one with None; CPU is that of the server's process, for the whole request. The median over turns."""

PARTS: dict[str, tuple[tuple[str, ...], Callable[[str, Plan], Iterator[Row]]]] = {
    "burst": (tuple(THREADS), burst_rows),
    "uploads": (tuple(THREADS), upload_rows),
    "polls": (tuple(THREADS), poll_rows),
    "memory": (tuple(THREADS), memory_rows),
    # sync keeps no connections.
    "quick": (("gthread", "waitress", "cheroot"), lambda name, plan: quick_rows(name, plan.turns)),
    "streams": (
        STREAMING,
        lambda name, plan: streams.event_rows(
            name, plan.streams, serving, lambda server: server.pid
        ),
    ),
}


def revision() -> str:
    """The commit of this checkout, with + if the package in it was changed since."""
    git = partial(subprocess.run, cwd=ROOT, check=True, capture_output=True, text=True)
    changed = git(["git", "status", "--porcelain", "wsgi_portproxy"]).stdout.strip()
    return str(git(["git", "rev-parse", "--short", "HEAD"]).stdout.strip()) + "+" * bool(changed)


def measure(parts: list[str], servers: list[str], plan: Plan) -> Iterator[Row]:
    for part in parts:
        able, rows_of = PARTS[part]
        for name in servers:
            if name in able:
                try:
                    yield from rows_of(name, plan)
                except (
                    RuntimeError,
                    OSError,
                ) as error:  # one that fails is a row, and the others go on
                    yield Row(f"{part}, {name}", f"failed: {error}"[:200], 1, ("at most", 0))
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    first = complaints[0].replace("\n", " ")[:100] if complaints else "of all servers"
    yield Row("errors in logs", first, len(complaints), ("at most", 0))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, shorter polls")
    parser.add_argument("--only", choices=PARTS, help="one part, not saved")
    parser.add_argument("--without", choices=PARTS, help="all parts but this, saved")
    parser.add_argument("--server", choices=THREADS, help="one server, not saved")
    options = parser.parse_args()
    limit = set_descriptor_limit(DESCRIPTORS)
    if limit < 5 * REQUESTS:
        print(f"The hard limit is {limit:,} descriptors a process, which is too few.")
        return 2
    measured = revision()  # now: it may be another when all is measured
    print(f"Measures {Path(wsgi_portproxy.__file__).parent} at {measured}", flush=True)
    rows: list[Row] = []
    parts = [options.only] if options.only else [p for p in PARTS if p != options.without]
    servers = [options.server] if options.server else list(THREADS)
    for row in measure(parts, servers, QUICK if options.quick else FULL):
        print(" | ".join(row.cells()), flush=True)
        rows.append(row)
    print(f"\n{table(rows)}\n")
    if options.only is None and options.server is None:
        settings: dict[str, Any] = {name: version(name) for name in STREAMING}
        settings |= {"package": f"this checkout's, {measured}", "descriptors": limit}
        path = save(
            "waiting",
            "Waiting",
            rows,
            {**settings, "quick": options.quick, "without": options.without},
            NOTES,
        )
        print(f"Saved to {path.parent}")
    return 0 if all(row.reached is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
