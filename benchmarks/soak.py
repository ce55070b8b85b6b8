"""Soak: much load that ends in every bad way, after which the worker is what it was before.

`python benchmarks/soak.py` opens and aborts 10,000 tunnels, and then as many streams, on one
gunicorn gthread worker with 4 threads, 32 at a time. Before each, a tenth of the same load warms
up: threads are started, buffers and caches made. Then the worker's descriptors, threads and objects
are counted and its memory is read; in the end they have to be the same, within the bounds below, no
tunnel may be left, the worker has to be at rest, and its log without a traceback. Exit status
0 if all that is so.

Then comes mixed load with faults, `soak_mixed`, for half an hour, by the same rules; on the way it
prints what the worker holds. `--mixed 180` makes it three minutes.

A kind of load is a class like `soak_tunnels.TunnelLoad`, and one entry in `LOADS`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a file

from benchmarks.processes import cpu_seconds, memory_kib, set_descriptor_limit
from benchmarks.soak_mixed import MixedLoad
from benchmarks.soak_streams import StreamLoad
from benchmarks.soak_tunnels import TunnelLoad, Wrong
from tests.support.client import ask
from tests.support.procfs import descriptors, settled_descriptors, worker_of
from tests.support.servers import Server, gunicorn

AT_A_TIME = 32
WARM_UP = 0.1  # of the load, and at least as many as:
LEAST_WARM_UP = 100
MOST_WRONG = 20  # then mixed load stops
SETTLE = 20.0  # seconds for what was aborted to be noticed and closed; the relay lingers for 10
# The bounds. Descriptors and threads are to be the very same. A tunnel that leaks shows in Python's
# objects, of which a few come and go with caches. Memory is what malloc keeps of the buffers of
# those that were full, 256 KiB a direction.
MORE_OBJECTS = 100
MORE_MEMORY = 8192  # KiB
REST = 0.05  # of a core that the worker may use when nothing goes on: its timers
SLICE = 60.0  # seconds of mixed load, after which the services in this process are made anew
REFUSED = "refused, 503"  # in the tally
_REFUSED = "HTTP/1.1 503 "
_REASON = re.compile(r"port [0-9]+: 503 (.*)")
# Why a request may be refused with so much load: as the log says it, numbers left out.
OF_A_LIMIT = {
    "N requests are under way",
    "N of N tunnels are open, N of N to this port",
}
SIGNS_OF_ERROR = ("Traceback", "ResourceWarning", "[ERROR]", "[CRITICAL]", "Exception ignored")


class Load(Protocol):
    """One kind of load. `once` opens one and ends it somehow, and says what it was, for the tally.

    Both methods raise `Wrong` if it did not go as it should.
    """

    def once(self, rng: random.Random) -> str: ...
    def close(self) -> None: ...


LOADS: dict[str, Callable[[int], Load]] = {"tunnels": TunnelLoad, "streams": StreamLoad}


@dataclass(frozen=True)
class Held:
    """What the worker holds while nothing goes on."""

    descriptors: int
    threads: int
    tunnels: int
    objects: int  # of Python, that its collector knows
    kib: int


def held(server: Server) -> Held:
    """Wait until no tunnel is open and the descriptors stay the same, for a while; then look."""
    pid = worker_of(server)
    deadline = time.monotonic() + SETTLE
    calm_since, last = time.monotonic(), -1
    while True:
        state = json.loads(ask(server.port, "GET", "/state").body)
        count = settled_descriptors(pid)  # the connection that asked has been closed
        if count != last or state["tunnels"]:
            calm_since, last = time.monotonic(), count
        if time.monotonic() - calm_since > 1.0 or time.monotonic() > deadline:
            threads = len(os.listdir(f"/proc/{pid}/task"))
            kib = memory_kib(pid)["Rss"]
            return Held(count, threads, state["tunnels"], state["objects"], kib)
        time.sleep(0.1)


def drive(load: Load, count: int, seed: str, until: float) -> tuple[Counter[str], list[str]]:
    """Open `count`, some at a time, or fewer if time is up; the tally, and what was wrong."""

    def one(number: int) -> tuple[str, str]:
        if time.monotonic() > until:
            return "", ""
        try:
            return load.once(random.Random(f"{seed} {number}")), ""
        except Wrong as wrong:
            return "wrong", str(wrong)

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        results = list(pool.map(one, range(count)))
    return Counter(name for name, _ in results if name), [text for _, text in results if text]


def soak(server: Server, load: Load, count: int, seed: int, seconds: float) -> Iterator[str]:
    """Warm up, look, load, look again. Yields what is not as it should be."""
    start = time.monotonic()
    warm_up = max(LEAST_WARM_UP, int(count * WARM_UP))
    _, wrong = drive(load, warm_up, f"{seed} warm-up", start + seconds)
    before = held(server)
    tally, more = drive(load, count, str(seed), start + seconds)
    after = held(server)
    done = show(tally)
    print(f"{done:,} after a warm-up of {warm_up:,}, {time.monotonic() - start:.0f} s")
    if done < count:
        print(f"Time was up: {count - done:,} were not opened.")
    yield from wrong + more
    yield from grown(before, after)


def show(tally: Counter[str]) -> int:
    """Print what there was of each kind; how many that is in all."""
    for name, number in sorted(tally.items()):
        print(f"  {number:7,}  {name}")
    return sum(tally.values())


def soak_mixed(server: Server, seconds: float, seed: int) -> Iterator[str]:
    """The same with mixed load for a time."""
    _, wrong = drive_for(server, min(SLICE, max(5.0, seconds * WARM_UP)), f"{seed} warm-up")
    before = held(server)
    start, tally = time.monotonic(), Counter[str]()
    while (left := seconds - (time.monotonic() - start)) > 0:
        some, more = drive_for(server, min(SLICE, left), f"{seed} {left}")
        tally += some
        wrong += more
        count, kib = descriptors(worker_of(server)), memory_kib(worker_of(server))["Rss"]
        print(f"  after {time.monotonic() - start:5.0f} s: {count} descriptors, {kib:,} KiB")
    after = held(server)
    print(f"{show(tally):,} of mixed load in {time.monotonic() - start:.0f} s")
    yield from wrong
    yield from unexplained(server.output(), tally[REFUSED])
    yield from grown(before, after)


def drive_for(server: Server, seconds: float, seed: str) -> tuple[Counter[str], list[str]]:
    """Mixed load for so many seconds; the tally, and what was wrong."""
    until = time.monotonic() + seconds
    tally = Counter[str]()
    wrong: list[str] = []

    def run(number: int, load: Load) -> None:
        rng = random.Random(f"{seed} {number}")
        while time.monotonic() < until and len(wrong) < MOST_WRONG:
            try:
                name = load.once(rng)
                tally[name] += 1
            except Wrong as error:
                if _REFUSED in str(error):
                    tally[REFUSED] += 1
                else:
                    wrong.append(str(error))

    try:
        with closing(MixedLoad(server.port)) as load:
            with ThreadPoolExecutor(AT_A_TIME) as pool:
                list(pool.map(run, range(AT_A_TIME), [load] * AT_A_TIME))
            held(server)  # what the services still read is on its way
    except Wrong as error:  # found by a service
        wrong.append(str(error))
    return tally, wrong


def unexplained(log: str, refused: int) -> Iterator[str]:
    """What 503 there was that no cap and no limit caused, by the log's words."""
    reasons = Counter(re.sub(r"[0-9]+", "N", reason) for reason in _REASON.findall(log))
    for reason, count in reasons.items():
        print(f"  {count:7,}  503: {reason}")
        if reason not in OF_A_LIMIT:
            yield f"503 for another reason than a cap: {reason}"
    if refused > reasons.total():
        yield f"{refused} visitors were answered 503, {reasons.total()} are in the log"


def grown(before: Held, after: Held) -> Iterator[str]:
    """What the worker holds more than it may."""
    print(f"  before {before}\n  after  {after}")
    for name in ("descriptors", "threads"):
        if getattr(after, name) != getattr(before, name):
            yield f"{name}: {getattr(before, name)} before, {getattr(after, name)} after"
    if after.tunnels:
        yield f"{after.tunnels} tunnels are left"
    for name, bound in (("objects", MORE_OBJECTS), ("kib", MORE_MEMORY)):
        if (more_now := getattr(after, name) - getattr(before, name)) > bound:
            yield f"{name}: {more_now:,} more, the bound is {bound:,}"


def is_busy(server: Server) -> float:
    """The part of a core that the worker uses while nothing goes on; 0 if that is not too much."""
    pid = worker_of(server)
    before = cpu_seconds(pid)
    time.sleep(2)
    used = (cpu_seconds(pid) - before) / 2
    return used if used > REST else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tunnels", type=int, default=10_000)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument(
        "--mixed", type=float, default=1800, metavar="SECONDS", help="of mixed load"
    )
    parser.add_argument("--seconds", type=float, default=600, help="open no more after that time")
    parser.add_argument("--cap", default="", help="of requests for a port; half of the threads")
    parser.add_argument("--seed", type=int, default=1, help="of all choices; the order may differ")
    options = parser.parse_args()
    counts = {"tunnels": options.tunnels, "streams": options.streams}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and end the server on the way out
    set_descriptor_limit(20_000)
    problems: list[str] = []
    print(f"seed {options.seed}")
    with gunicorn(
        "benchmarks.host:application", threads=4, env={"REQUESTS_PER_PORT": options.cap}
    ) as server:
        for name, make in LOADS.items():
            if not counts[name]:
                continue
            print(f"{name}: {counts[name]:,}, {AT_A_TIME} at a time")
            try:
                with closing(make(server.port)) as load:
                    seconds = options.seconds
                    problems += soak(server, load, counts[name], options.seed, seconds)
            except Wrong as wrong:  # found by the service
                problems.append(str(wrong))
        if options.mixed:
            print(f"mixed load: {options.mixed:.0f} s, {AT_A_TIME} at a time")
            problems += soak_mixed(server, options.mixed, options.seed)
        if used := is_busy(server):
            problems.append(f"the worker uses {used:.0%} of a core while nothing goes on")
        log = server.output()
    for sign in SIGNS_OF_ERROR:
        if (position := log.find(sign)) >= 0:
            problems.append(f"in the log: {log[max(0, position - 300) : position + 2000]}")
    for problem in problems[:20]:
        print(f"WRONG: {problem}")
    print(f"{len(problems)} problems" if problems else "Nothing leaked, nothing was wrong.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
