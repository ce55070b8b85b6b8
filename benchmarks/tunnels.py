"""What WebSockets through the proxy cost, against the targets of the project: one command.

`python benchmarks/tunnels.py`, or `--quick` for a first look. Everything runs on 127.0.0.1:
gunicorn with one gthread worker of 4 threads, an echo service and a client, each a process of its
own.

What counts are ratios within this run. Two things that are compared take turns, round by round, so
that whatever else the machine does hits both; the ratio is taken in each round and its median
counts. For idle tunnels two like servers take turns, one with them and one without, and change
places in the middle, so that neither is favoured.

The peers of the verdicts on echoes speak through a WebSocket library's core, the least that a real
service does. The rows for information have bare peers, which do nothing but system calls, and next
to ours a relay of the same kind with nothing to it: on a machine of two cores three busy processes
share what two had in the direct run, and no relay gets far above half of that.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

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

DESCRIPTORS = 20_000  # of the worker, and of the client and the service
IDLE = 9_000
SPARE_DESCRIPTORS = 600  # of a process, for all that is not an idle tunnel
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Plan:
    """How long and how often. `rounds` is even, so that both orders are as frequent."""

    idle: int
    rounds: int
    seconds: float  # of one run of echoes
    requests: int  # plain ones of each kind in a round


@contextmanager
def servers(count: int) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(gunicorn("benchmarks.host:application", threads=4))
            for _ in range(count)
        ]


def path_to(service: Program) -> str:
    return f"{MOUNT}/proxy/{service.first['port']}/echo"


def median_ratio(pairs: list[tuple[float, float]]) -> float:
    """The median over rounds of how much the first is of the second."""
    return statistics.median(one / other for one, other in pairs)


# Echoes: through the proxy and straight to the service, in turns


@dataclass(frozen=True)
class Route:
    """One way to the service. carrier: the process between, if any."""

    port: int
    path: str
    carrier: tuple[int, ...] = ()


@dataclass
class Run:
    """One route in one round: echoes a second, milliseconds, microseconds for an echo."""

    rate: float
    p99: float
    carrier_cpu: float
    peers_cpu: float


@dataclass
class Echoes:
    """Rounds of the same client by several routes; `direct` is one of them."""

    runs: dict[str, list[Run]]

    def median(self, route: str, what: str) -> float:
        values: list[float] = [getattr(run, what) for run in self.runs[route]]
        return statistics.median(values)

    def row(
        self,
        name: str,
        what: str,
        unit: str,
        target: tuple[str, float] | None,
        route: str = "tunnel",
    ) -> Row:
        value, direct = self.median(route, what), self.median("direct", what)
        pairs = zip(self.runs[route], self.runs["direct"], strict=True)
        ratios = tuple(getattr(one, what) / getattr(other, what) for one, other in pairs)
        measured = f"{_number(value)} {unit}, direct {_number(direct)}"
        return Row(name, measured, statistics.median(ratios), target, samples=ratios)

    def cpu_row(self, route: str = "tunnel") -> Row:
        carrier, peers = self.median(route, "carrier_cpu"), self.median(route, "peers_cpu")
        ratios = tuple(run.carrier_cpu / run.peers_cpu for run in self.runs[route])
        measured = f"{carrier:.1f} us an echo, its peers {peers:.1f}"
        name = "  its processor time"
        return Row(name, measured, statistics.median(ratios), None, samples=ratios)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def measure_echoes(
    client: str, service: Program, routes: dict[str, Route], count: int, size: int, plan: Plan
) -> Echoes:
    """Echo `count` messages of `size` bytes at a time by each route, in turns."""
    found = Echoes({name: [] for name in routes})
    module, *role = client.split()
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(Program(module, *role, route.port, route.path, count, size))
            for name, route in routes.items()
        }
        for one in clients.values():
            one.ask("run 0.2")
        for number in range(plan.rounds):
            # Every route comes first as often as last.
            for name in sorted(clients, reverse=bool(number % 2)):
                peers, carrier = [clients[name].pid, service.pid], routes[name].carrier
                before = cpu_of(peers), cpu_of(carrier)
                result = clients[name].ask(f"run {plan.seconds}")
                messages = result["all_messages"]
                peers_cpu = (cpu_of(peers) - before[0]) / messages
                carrier_cpu = (cpu_of(carrier) - before[1]) / messages
                rate = result["messages"] / result["seconds"]
                found.runs[name].append(Run(rate, result["p99"], carrier_cpu, peers_cpu))
    return found


def cpu_of(pids: Sequence[int]) -> float:
    """Microseconds of processor time so far."""
    return sum(cpu_seconds(pid) for pid in pids) * 1e6


def echo_rows(plan: Plan) -> list[Row]:
    with ExitStack() as stack:
        (server,) = stack.enter_context(servers(1))
        library = stack.enter_context(Program("library_peers", "service"))
        bare = stack.enter_context(Program("ws_service"))
        relay = stack.enter_context(Program("bare_relay", bare.first["port"]))

        def routes(service: Program) -> dict[str, Route]:
            return {
                "direct": Route(service.first["port"], "/echo"),
                "tunnel": Route(server.port, path_to(service), (worker_of(server),)),
            }

        with_bare = {
            **routes(bare),
            "bare relay": Route(relay.first["port"], "/echo", (relay.pid,)),
        }
        measure = partial(measure_echoes, plan=plan)
        small = measure("library_peers client", library, routes(library), 1000, 64)
        large = measure("library_peers client", library, routes(library), 1, MEBIBYTE)
        bare_small = measure("ws_client", bare, with_bare, 1000, 64)
        bare_large = measure("ws_client", bare, with_bare, 1, MEBIBYTE)
    return [
        small.row("1,000 tunnels, 64 bytes: rate", "rate", "/s", ("at least", 0.7)),
        small.row("  p99 of an echo", "p99", "ms", ("at most", 2.0)),
        small.cpu_row(),
        large.row("one tunnel, 1 MiB: rate", "rate", "MiB/s", ("at least", 0.7)),
        large.cpu_row(),
        bare_small.row("bare peers, 1,000, 64 bytes: rate", "rate", "/s", None),
        bare_small.cpu_row(),
        bare_small.row("  a bare relay", "rate", "/s", None, "bare relay"),
        bare_small.cpu_row("bare relay"),
        bare_large.row("bare peers, one, 1 MiB: rate", "rate", "MiB/s", None),
        bare_large.cpu_row(),
        bare_large.row("  a bare relay", "rate", "MiB/s", None, "bare relay"),
        bare_large.cpu_row("bare relay"),
    ]


# Idle tunnels: what they cost everything else


@dataclass
class Beside:
    """Rounds beside idle tunnels and without them, as pairs."""

    page: list[tuple[Times, Times]] = field(default_factory=list)
    proxied: list[tuple[Times, Times]] = field(default_factory=list)
    cpu: list[list[tuple[float, float]]] = field(default_factory=list)  # by server with them
    memory: list[dict[str, float]] = field(default_factory=list)  # KiB a tunnel


def measure_beside(plan: Plan) -> Beside:
    found = Beside()
    with ExitStack() as stack:
        both = stack.enter_context(servers(2))
        service = stack.enter_context(Program("ws_service"))
        active = {
            server.port: stack.enter_context(
                Program("ws_client", server.port, path_to(service), 10, 64)
            )
            for server in both
        }
        for server in both:  # as many threads, buffers and pooled connections as later
            active[server.port].ask("run 1")
            with Program("ws_client", server.port, path_to(service), 100, 64):
                plain_requests(server.port, f"{path_to(service)}", 200)
        for crowded, empty in (both, both[::-1]):
            found.cpu.append([])
            before = memory_kib(worker_of(crowded))
            with Program("ws_client", crowded.port, path_to(service), plan.idle, 64) as idle:
                print(f"  {plan.idle:,} tunnels opened in {idle.first['seconds']:.1f} s")
                time.sleep(1.5)  # so that the dummies of the last ones are closed
                after = memory_kib(worker_of(crowded))
                found.memory.append(
                    {kind: (after[kind] - before[kind]) / plan.idle for kind in after}
                )
                for number in range(plan.rounds):
                    one_round(found, crowded, empty, active, service, plan, number)
                idle.ask("run 0")  # every one of them is alive: it echoes one message
    return found


def one_round(
    found: Beside,
    crowded: Server,
    empty: Server,
    active: dict[int, Program],
    service: Program,
    plan: Plan,
    number: int,
) -> None:
    def paired(measure: Callable[[Server], list[float]]) -> tuple[list[float], list[float]]:
        if number % 2:
            return measure(crowded), measure(empty)
        without = measure(empty)
        return measure(crowded), without

    def cpu_of_a_message(server: Server) -> list[float]:
        before = cpu_seconds(worker_of(server))
        messages = active[server.port].ask(f"run {plan.seconds}")["all_messages"]
        return [(cpu_seconds(worker_of(server)) - before) / messages]

    found.page.append(paired(lambda server: plain_requests(server.port, "/", plan.requests)))
    found.proxied.append(
        paired(lambda server: plain_requests(server.port, path_to(service), plan.requests))
    )
    (with_idle,), (without,) = paired(cpu_of_a_message)
    found.cpu[-1].append((with_idle, without))


def beside_rows(found: Beside, plan: Plan) -> list[Row]:
    name = f"{plan.idle:,} idle tunnels"
    rows = []
    for what, pairs in (("an app page", found.page), ("a proxied GET", found.proxied)):
        beside, without = (
            statistics.median(chain.from_iterable(pair[which] for pair in pairs))
            for which in (0, 1)
        )
        ratios = tuple(statistics.median(one) / statistics.median(two) for one, two in pairs)
        measured = f"{beside * 1000:.2f} ms, without {without * 1000:.2f}"
        rows.append(
            Row(f"{name}: {what}", measured, beside / without, ("at most", 1.2), samples=ratios)
        )
    rss = max(memory["Rss"] for memory in found.memory)
    pss = max(memory["Pss"] for memory in found.memory)
    rows.append(Row(f"{name}: memory of each", f"Pss {pss:.2f} KiB", rss, ("at most", 3.0), " KiB"))
    # Each server was once the one and once the other: what is its own cancels out.
    halves = [median_ratio(pairs) for pairs in found.cpu]
    both = [pair for pairs in found.cpu for pair in pairs]
    beside, without = (statistics.median(pair[which] for pair in both) * 1e6 for which in (0, 1))
    measured = f"{beside:.1f} us, with 10 open {without:.1f}"
    samples = tuple(one / other for one, other in both)
    ratio = statistics.geometric_mean(halves)
    return [
        *rows,
        Row("10 active among them: CPU/message", measured, ratio, ("at most", 1.1), "", samples),
    ]


NOTES = """\
A ratio is to the same without the proxy (echoes) or without the idle tunnels (the rest), the median
of rounds in turns. Of memory it is the worker's resident growth per tunnel. "Bare peers" do nothing
but system calls, "a bare relay" carries bytes and knows nothing else: what any relay costs on this
machine, on which the client, the service and the relay share the cores. Processor time is that of
the process between, as a ratio to that of the client and the service together; it says most where
other work takes the cores too (see the load)."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds: about a minute")
    quick = parser.parse_args().quick
    limit = set_descriptor_limit(DESCRIPTORS)
    idle = min(IDLE, (limit - SPARE_DESCRIPTORS) // 2)
    if idle < IDLE:
        print(
            f"The hard limit is {limit:,} descriptors a process, {DESCRIPTORS:,} are wanted: only "
            f"{idle:,} idle tunnels instead of {IDLE:,}. Raise it (ulimit -Hn) for the target.",
            file=sys.stderr,
        )
        if idle < 100:
            return 2
    load = round(os.getloadavg()[0], 1)
    if load > (os.cpu_count() or 1):
        print(f"The load is {load}: other work takes the cores, and rates of echoes say little.")
    plan = Plan(idle, rounds=4 if quick else 12, seconds=0.5 if quick else 1.0, requests=50)
    print("Idle tunnels")
    rows = beside_rows(measure_beside(plan), plan)
    print("Echoes")
    rows += echo_rows(plan)
    settings = {"rounds": plan.rounds, "descriptors": limit, "quick": quick, "load before": load}
    path = save("tunnels", "Tunnels", rows, settings, NOTES)
    print(f"\n{table(rows)}\n\nSaved to {path.parent}")
    return 0 if all(row.reached is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
