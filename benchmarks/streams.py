"""What streams through the proxy cost, against the targets of the project: one command.

`python benchmarks/streams.py`, or `--quick` for a first look. Everything runs on 127.0.0.1: a
gunicorn with one worker (gthread with 4 threads, or sync), a service and a reader, each a process
of its own.

What counts are ratios and differences within this run. Events go through the proxy and straight
from the service in turns; each says when it was sent, and the difference of the two delays is what
the proxy adds. Plain requests go in turns to two like servers, one with the streams and one
without, so that the service and the reader, which share the cores, hit both; the two change places
each round.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a file

from benchmarks.host import MOUNT
from benchmarks.plain import Times, plain_requests
from benchmarks.processes import (
    Program,
    cpu_seconds,
    memory_kib,
    set_descriptor_limit,
)
from benchmarks.report import Row, save, table
from tests.support.procfs import worker_of
from tests.support.servers import Server, gunicorn

DESCRIPTORS = 20_000  # of the worker, the reader and the service
STREAMS = 1000
DOWNLOADS = 500
RATE = 100_000  # bytes a second of one download
GIBIBYTE = 1 << 30
ENDLESS = 1 << 40  # bytes of a download that is closed before its end
WORKERS = {"gthread": 4, "sync": 1}  # threads of each
SIGNS_OF_ERROR = ("Traceback", "ResourceWarning", "[ERROR]", "[CRITICAL]", "Exception ignored")


@dataclass(frozen=True)
class Plan:
    """How much and how often. `rounds` is even, so that both servers are as often the crowded."""

    streams: int
    downloads: int
    rounds: int
    events: int  # of each stream: two a second
    requests: int  # plain ones of each kind in a batch
    batches: int  # of plain requests to each server in a round
    fetches: int


@dataclass
class Beside:
    """Plain requests to the crowded server and to the empty one, by round."""

    page: list[tuple[Times, Times]] = field(default_factory=list)
    proxied: list[tuple[Times, Times]] = field(default_factory=list)

    def measure(self, crowded: Server, empty: Server, path: str, plan: Plan) -> None:
        for target, pairs in (("/", self.page), (path, self.proxied)):
            beside: Times = []
            without: Times = []
            for number in range(plan.batches):
                turns = [(crowded, beside), (empty, without)]
                for server, times in turns[:: -1 if number % 2 else 1]:
                    times += plain_requests(server.port, target, plan.requests)
            pairs.append((beside, without))

    def rows(self, name: str) -> Iterator[Row]:
        for what, pairs in (("an app page", self.page), ("a proxied GET", self.proxied)):
            beside, without = (
                statistics.median(time for pair in pairs for time in pair[which])
                for which in (0, 1)
            )
            # Each server was as often the one as the other: what is its own cancels out.
            ratios = tuple(statistics.median(one) / statistics.median(two) for one, two in pairs)
            ratio = statistics.geometric_mean(ratios)
            measured = f"{beside * 1000:.2f} ms, without {without * 1000:.2f}"
            yield Row(f"{name}: {what} beside", measured, ratio, ("at most", 1.2), "", ratios)


@contextmanager
def server_of(worker: str, application: str = "application") -> Iterator[Server]:
    app = f"benchmarks.host:{application}"
    with gunicorn(app, worker=worker, threads=WORKERS[worker]) as server:
        yield server
        log = server.output()
        for sign in SIGNS_OF_ERROR:
            if (position := log.find(sign)) >= 0:
                raise RuntimeError(f"in the log: {log[max(0, position - 300) : position + 2000]}")


def path_to(service: Program) -> str:
    return f"{MOUNT}/proxy/{service.first['port']}"


# Event streams: their delays, their ends, and what they cost everything else


def event_rows(
    worker: str,
    plan: Plan,
    serve: Callable[[str], AbstractContextManager[Server]] = server_of,
    process_of: Callable[[Server], int] = worker_of,
) -> Iterator[Row]:
    """serve, process_of: how a server is started, and which process carries its streams."""
    through: list[dict[str, Any]] = []
    direct: list[dict[str, Any]] = []
    beside = Beside()
    cpu: list[float] = []
    with ExitStack() as stack:
        both = [stack.enter_context(serve(worker)) for _ in range(2)]
        service = stack.enter_context(Program("stream_service"))
        plain_service = stack.enter_context(Program("ws_service"))
        plain_path = f"{path_to(plain_service)}/page"
        reader = stack.enter_context(Program("stream_client"))

        def streams(port: int, path: str, meanwhile: Callable[[], None]) -> dict[str, Any]:
            opened = reader.ask(f"events {port} {path} {plan.streams} {plan.events}")
            meanwhile()
            return {**opened, **reader.ask("result")}

        for server in both:  # as many threads, buffers and pooled connections as later
            plain_requests(server.port, "/", 100)
            plain_requests(server.port, plain_path, 100)
        service_port = service.first["port"]
        for number in range(plan.rounds):
            crowded, empty = both[:: -1 if number % 2 else 1]
            worker_pid = process_of(crowded)
            before = cpu_seconds(worker_pid)

            def requests(crowded: Server = crowded, empty: Server = empty) -> None:
                beside.measure(crowded, empty, plain_path, plan)

            through.append(streams(crowded.port, f"{path_to(service)}/", requests))
            cpu.append((cpu_seconds(worker_pid) - before) / through[-1]["delivered"])
            direct.append(streams(service_port, "/", requests_to(both, plain_path, plan)))
    name = f"{plan.streams:,} event streams, {worker}"
    print(f"  {name}: opened in {statistics.median(one['seconds'] for one in through):.1f} s")
    for what in ("delivered", "ended"):
        expected = sum(one["expected" if what == "delivered" else "open"] for one in through)
        came = sum(one[what] for one in through)
        noun = "events" if what == "delivered" else "streams"
        measured = f"{came:,} of {expected:,} {noun}"
        yield Row(f"{name}: {what}", measured, came / expected, ("at least", 1.0))
    later = tuple(one["p99"] - other["p99"] for one, other in zip(through, direct, strict=True))
    p50, p99, straight50, straight99 = (
        statistics.median(one[key] for one in runs)
        for runs, key in ((through, "p50"), (through, "p99"), (direct, "p50"), (direct, "p99"))
    )
    measured = f"p50 {p50:.2f}, p99 {p99:.2f} ms, direct {straight50:.2f}, {straight99:.2f}"
    value = statistics.median(later)
    yield Row(f"{name}: p99 later by", measured, value, ("at most", 5.0), " ms", later)
    yield from beside.rows(name)
    used = statistics.median(cpu) * 1e6
    yield Row(f"{name}: CPU of an event", "with opening and plain requests", used, None, " us")


def requests_to(both: list[Server], path: str, plan: Plan) -> Callable[[], None]:
    """The same plain requests as beside the streams, so that the machine is as busy."""

    def requests() -> None:
        Beside().measure(both[0], both[1], path, plan)

    return requests


# Downloads: many slow ones, and a fast one


def slow_rows(plan: Plan) -> Iterator[Row]:
    """Through a server that hands over soon: opening 500 for a second each would take minutes."""
    results: list[dict[str, Any]] = []
    memory: list[float] = []
    beside = Beside()
    with ExitStack() as stack:
        both = [stack.enter_context(server_of("gthread", "hurried")) for _ in range(2)]
        service = stack.enter_context(Program("stream_service"))
        plain_path = f"{path_to(stack.enter_context(Program('ws_service')))}/page"
        reader = stack.enter_context(Program("stream_client"))
        path = f"{path_to(service)}/bytes/{ENDLESS}/length"
        for server in both:
            plain_requests(server.port, "/", 100)
            plain_requests(server.port, plain_path, 100)
        for crowded, empty in (both, both[::-1]):
            before = memory_kib(worker_of(crowded))["Rss"]
            opened = reader.ask(f"downloads {crowded.port} {path} {plan.downloads} {RATE}")
            print(f"  {plan.downloads} downloads opened in {opened['seconds']:.1f} s")
            for _ in range(plan.rounds):
                beside.measure(crowded, empty, plain_path, plan)
            grown = memory_kib(worker_of(crowded))["Rss"] - before
            memory.append(grown / plan.downloads)
            results.append(reader.ask("result"))
    name = f"{plan.downloads} downloads at 100 KB/s"
    mean, least = (min(result[key] / RATE for result in results) for key in ("mean", "least"))
    yield Row(f"{name}: rate of all", f"the slowest {least:.2f} of it", mean, ("at least", 0.95))
    yield from beside.rows(name)
    kib = max(memory)
    yield Row(f"{name}: memory of each", "resident, in the worker", kib, None, " KiB")


def fast_rows(plan: Plan) -> Iterator[Row]:
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(server_of("gthread", name)) for name in ("staying", "leaving")
        }
        service = stack.enter_context(Program("stream_service"))
        reader = stack.enter_context(Program("stream_client"))
        for framing in ("length", "chunked"):
            path = f"{path_to(service)}/bytes/{GIBIBYTE}/{framing}"
            rates: dict[str, list[float]] = {"staying": [], "leaving": []}
            for number in range(plan.fetches):
                for name in sorted(servers, reverse=bool(number % 2)):
                    got = reader.ask(f"fetch {servers[name].port} {path}")
                    if got["bytes"] < GIBIBYTE:
                        raise RuntimeError(f"only {got['bytes']:,} bytes came")
                    rates[name].append(GIBIBYTE / (1 << 20) / got["seconds"])
            ratios = tuple(
                one / other for one, other in zip(rates["leaving"], rates["staying"], strict=True)
            )
            relayed, thread = (statistics.median(rates[name]) for name in ("leaving", "staying"))
            measured = f"{relayed:,.0f} MiB/s, in the thread {thread:,.0f}"
            ratio = statistics.median(ratios)
            name = f"one download of 1 GiB, {framing}"
            yield Row(name, measured, ratio, ("at least", 0.9), "", ratios)


NOTES = """\
An event is later by the difference of two p99s: of its delays through the proxy, and straight from
the service, in turns. Plain requests beside streams are compared with those to a like server
without, in turns. The rate of a download that was handed over is compared with that of one that
stays in its thread (`detach_after=None`), in turns. All logs were free of tracebacks."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds: about a minute")
    parser.add_argument("--only", choices=["events", "slow", "fast"], help="one part, not saved")
    options = parser.parse_args()
    limit = set_descriptor_limit(DESCRIPTORS)
    if limit < 2 * STREAMS + 600:
        print(f"The hard limit is {limit:,} descriptors a process, which is too few.")
        return 2
    if options.quick:
        plan = Plan(STREAMS, 100, rounds=2, events=12, requests=20, batches=5, fetches=4)
    else:
        plan = Plan(STREAMS, DOWNLOADS, rounds=6, events=24, requests=25, batches=10, fetches=10)
    rows: list[Row] = []
    if options.only in (None, "events"):
        print("Event streams")
        for worker in WORKERS:
            rows += event_rows(worker, plan)
    if options.only in (None, "slow"):
        print("Slow downloads")
        rows += slow_rows(plan)
    if options.only in (None, "fast"):
        print("A fast download")
        rows += fast_rows(plan)
    print(f"\n{table(rows)}\n")
    if options.only is None:
        settings = {"rounds": plan.rounds, "descriptors": limit, "quick": options.quick}
        path = save("streams", "Streams", rows, settings, NOTES)
        print(f"Saved to {path.parent}")
    return 0 if all(row.reached is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
