"""What visitors share, and what one of them can take of it: one command, ratios within one run.

`python benchmarks/shared.py`, or `--quick`. gunicorn with one gthread worker of 8 threads, services
and visitors as processes of their own, all on 127.0.0.1.

An honest WebSocket echoes beside hostile ones, and without them, in turns: what counts is the ratio
of the two p99. Many requests go to many services that keep their connections, while the worker's
connections to them are counted. And the package as it was before (a git revision) and as it is now
serve the same load in turns: echoes, GETs, POSTs.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a file

from benchmarks.host import MOUNT
from benchmarks.processes import ROOT, Program, cpu_seconds, set_descriptor_limit
from benchmarks.report import Row, save, table
from benchmarks.tunnels import path_to
from tests.support.client import ask
from tests.support.ports import free_port
from tests.support.procfs import established, worker_of
from tests.support.servers import Server, running

BEFORE = "0da754b"  # what "before" means in the targets: 0.3.0
KINDS = ("chunks", "sizes", "restarts", "frames")
HOSTILE = (1, 6, 40)
REQUESTS, PORTS = 10_000, 200
THREADS = 8
SERVERS = 3
BODY = b"x" * 1000


@contextmanager
def server(tree: Path = ROOT) -> Iterator[Server]:
    """The benchmarks' app with the package of a source tree."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "gthread", "-b", f"127.0.0.1:{port}"]
    command += ["--threads", str(THREADS), "--keep-alive", "60", "benchmarks.host:application"]
    with running(command, port, cwd=tree) as one:
        yield one


def longest_turn(one: Server) -> float:
    """Milliseconds of processor time."""
    stats = json.loads(ask(one.port, "GET", "/stats").body)
    return float(stats["relay_longest_turn"]) * 1000


def fairness_rows(rounds: int, seconds: float) -> Iterator[Row]:
    """Some servers for each kind, one after the other: each tells its longest turn of that kind."""
    for kind in KINDS:
        pairs: dict[int, list[tuple[float, float]]] = {count: [] for count in HOSTILE}
        longest = []
        for _ in range(SERVERS):
            with ExitStack() as stack:
                one = stack.enter_context(server())
                echo = stack.enter_context(Program("ws_service"))
                floods = stack.enter_context(Program("floods", one.port))
                honest = stack.enter_context(Program("ws_client", one.port, path_to(echo), 1, 64))
                honest.ask("run 1")
                for count in list(HOSTILE) * rounds:
                    without = honest.ask(f"run {seconds}")["p99"]
                    floods.ask(f"start {kind} {count}")
                    time.sleep(1)  # they have begun, and left their threads
                    pairs[count].append((honest.ask(f"run {seconds}")["p99"], without))
                    floods.ask("stop")
                    time.sleep(0.5)
                longest.append(longest_turn(one))
        for count, found in pairs.items():
            beside, without = (statistics.median(pair[i] for pair in found) for i in (0, 1))
            samples = tuple(one / other for one, other in found)
            yield Row(
                f"echo beside {count} of {kind}: p99",
                f"{beside:.2f} ms, without {without:.2f}",
                statistics.median(samples),
                ("at most", 5.0),
                samples=samples,
            )
        yield Row(
            "  the relay's longest turn",
            "of each server " + ", ".join(f"{turn:.1f}" for turn in longest),
            min(longest),
            ("at most", 5.0),
            " ms of CPU",
            samples=tuple(longest),
        )


def idle_rows() -> Iterator[Row]:
    """Many requests to many services: connections that the worker keeps to them."""
    with ExitStack() as stack:
        one = stack.enter_context(server())
        service = stack.enter_context(Program("keeping_service", PORTS))
        ports, pid = set(service.first["ports"]), worker_of(one)
        most, is_over = 0, threading.Event()

        def held() -> int:
            return sum(remote in ports for _, remote in established(pid))

        def watch() -> None:
            nonlocal most
            while not is_over.wait(0.05):
                most = max(most, held())

        watcher = threading.Thread(target=watch)
        watcher.start()
        visitors = [
            threading.Thread(target=visit_all, args=(one.port, sorted(ports), number))
            for number in range(THREADS)
        ]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
        ended = time.monotonic()
        is_over.set()
        watcher.join()
        left = held()
        while held():
            time.sleep(0.05)
        age = time.monotonic() - ended
        # One more for each thread of the server: that of the request under way.
        yield Row(
            f"{REQUESTS:,} requests to {PORTS} ports: connections held",
            f"{left} at the end",
            most - THREADS,
            ("at most", 64),
            " idle",
        )
        yield Row("  the last of them closed after", "", age, ("at most", 10.5), " s")


def visit_all(port: int, ports: list[int], number: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for count in range(REQUESTS // THREADS):
        service = ports[(count * THREADS + number) % len(ports)]
        request(connection, "GET", f"{MOUNT}/proxy/{service}/")


def request(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
) -> None:
    connection.request(method, path, body, {"Host": "app.test"})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{method} {path}: {answer.status}")


@contextmanager
def tree_of(revision: str) -> Iterator[Path]:
    """The sources as they were."""
    with TemporaryDirectory() as name:
        archive = subprocess.run(
            ["git", "archive", revision], cwd=ROOT, check=True, stdout=subprocess.PIPE
        ).stdout
        subprocess.run(["tar", "-x", "-C", name], input=archive, check=True)
        yield Path(name)


def before_rows(revision: str, rounds: int, seconds: float) -> Iterator[Row]:
    """Now and before, in turns, on two servers each: how threads fall onto cores is a matter of
    luck that may last as long as a process."""
    with ExitStack() as stack:
        tree = stack.enter_context(tree_of(revision))
        servers = [stack.enter_context(server(one)) for one in (ROOT, tree, ROOT, tree)]
        echo = stack.enter_context(Program("library_peers", "service"))
        page = stack.enter_context(Program("keeping_service", 1)).first["ports"][0]
        for count, size, name in ((100, 64, "100 tunnels, 64 bytes"), (1, 1 << 20, "one, 1 MiB")):
            clients = [
                stack.enter_context(
                    Program("library_peers", "client", one.port, path_to(echo), count, size)
                )
                for one in servers
            ]
            rates: list[list[float]] = [[], []]
            used: list[list[float]] = [[], []]
            for number in range(rounds):
                for which in range(4) if number % 2 else reversed(range(4)):
                    worker = worker_of(servers[which])
                    before = cpu_seconds(worker)
                    found = clients[which].ask(f"run {seconds}")
                    rates[which % 2].append(found["messages"] / found["seconds"])
                    spent = (cpu_seconds(worker) - before) * 1e6
                    used[which % 2].append(spent / found["all_messages"])
            yield ratio_row(f"echoes, {name}: rate", rates, ("at least", 0.95), "/s", best=max)
            yield ratio_row("  CPU of an echo", used, None, "us")
        # A POST that had to make a connection before makes one now; one that could have that of a
        # GET pays for its own.
        kinds = (
            ("GETs: CPU that each adds", ("GET",), None),
            ("POSTs: CPU that each adds", ("POST",), ("at most", 1.3)),
            ("a GET and a POST by turns", ("GET", "POST"), ("at most", 1.3)),
        )
        for name, methods, target in kinds:
            used = [[], []]
            for number in range(rounds):
                for which in range(4) if number % 2 else reversed(range(4)):
                    used[which % 2].append(added_cpu(servers[which], methods, page))
            yield ratio_row(name, used, target, "us")


def added_cpu(one: Server, methods: tuple[str, ...], port: int, count: int = 300) -> float:
    """Microseconds of the worker for a request to a service, less those for the app's own page."""
    connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=30)
    used = []
    for path in (f"{MOUNT}/", f"{MOUNT}/proxy/{port}/"):
        before = 0.0
        for number in range(-len(methods), count):
            if not number:
                before = cpu_seconds(worker_of(one))
            method = methods[number % len(methods)]
            request(connection, method, path, BODY if method == "POST" else None)
        used.append((cpu_seconds(worker_of(one)) - before) / count * 1e6)
    connection.close()
    return used[1] - used[0]


def ratio_row(
    name: str,
    found: list[list[float]],
    target: tuple[str, float] | None,
    unit: str,
    *,
    best: Callable[[list[float]], float] = statistics.median,
) -> Row:
    now, before = map(best, found)
    measured = f"{now:,.0f} {unit}, before {before:,.0f}"
    return Row(name, measured, now / before, target, samples=(*found[0], *found[1]))


NOTES = """\
"chunks": streams of chunks of one byte; "sizes": each chunk's size with a kilobyte behind it;
"restarts": 64 KiB of such chunks, asked anew at their end, for ever; "frames": WebSockets of empty
frames. The p99 is that of an echo of 64 bytes on one honest WebSocket; with and without the hostile
ones in turns, the median over rounds. The longest turn is that of the server that had the shortest:
where the machine itself is a guest of another, its pauses count as CPU time (a loop that only read
the clock saw one of 48 ms).

"Before" is the package at an earlier revision, behind the same server, in turns with the present
one; of those rows the ratio is that of the medians, of rates that of the best rounds: how threads
fall onto two cores halves or doubles the rate of a single tunnel. Before, a POST could go out on a
connection that other requests had used; now it makes one of its own, which is what it costs more.
Where all requests of a visitor are POSTs it made one each time before, too."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--before", default=BEFORE, metavar="REVISION")
    options = parser.parse_args()
    set_descriptor_limit(20_000)
    rounds, seconds = (1, 0.5) if options.quick else (1, 1.0)
    rows: list[Row] = []
    for part in (
        before_rows(options.before, 6, seconds),
        idle_rows(),
        fairness_rows(rounds, seconds),
    ):
        for row in part:
            print(" | ".join(row.cells()), flush=True)
            rows.append(row)
    settings = {"rounds": rounds, "before": options.before, "quick": options.quick}
    path = save("shared", "What visitors share", rows, settings, NOTES)
    print(f"\n{table(rows)}\n\nSaved to {path.parent}")
    return 0 if all(row.reached is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
