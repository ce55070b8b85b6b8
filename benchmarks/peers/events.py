"""What the proxy adds to the delay of events, and to the first byte of an answer."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.processes import Program
from benchmarks.report import Row

from .contestants import OURS, Arena
from .heads import CURL, MOUNT, SMALL_PATH, wire
from .plan import Plan

_INTERVAL = 0.01  # seconds between two events of a stream
_STREAMS = (1, 50)
_FIRST_ROUNDS = 5
_BATCH = 20  # first bytes from one server before it is the other's turn


def rows(arena: Arena, plan: Plan) -> Iterator[Row]:
    with Program("stream_service", _INTERVAL) as service, Program("stream_client") as reader:
        for streams in _STREAMS:
            yield _later(arena, plan, service, reader, streams)
    yield _first_byte(arena, plan)


def _later(arena: Arena, plan: Plan, service: Program, reader: Program, streams: int) -> Row:
    straight_port = service.first["port"]
    ways = {
        "through": (arena[OURS].port, f"{MOUNT}/proxy/{straight_port}/"),
        "straight": (straight_port, "/"),
    }
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for number in range(-1, plan.event_rounds):  # the first, which starts much, is not counted
        for way in sorted(ways, reverse=bool(number % 2)):
            port, path = ways[way]
            reader.ask(f"events {port} {path} {streams} {plan.event_count}")
            result = reader.ask("result")
            if result["delivered"] != result["expected"]:
                raise RuntimeError(f"events were lost: {result}")
            if number >= 0:
                found[way].append(result)
    pairs = list(zip(found["through"], found["straight"], strict=True))
    later = tuple(one["p99"] - other["p99"] for one, other in pairs)
    p50, p99, straight50, straight99 = (
        statistics.median(one[key] for one in found[way])
        for way in ("through", "straight")
        for key in ("p50", "p99")
    )
    noun = "1 event stream" if streams == 1 else f"{streams} event streams"
    measured = f"p50 {p50:.2f}, p99 {p99:.2f} ms, straight {straight50:.2f}, {straight99:.2f}"
    value = statistics.median(later)
    return Row(f"{noun}: p99 later by", measured, value, ("at most", 2.0), " ms", later)


def _first_byte(arena: Arena, plan: Plan) -> Row:
    ours = arena[OURS]
    straight = wire(arena.files, SMALL_PATH, CURL)
    servers = [(ours.port, ours.request(ours.small)), (arena.files, straight)]
    found = []
    for number in range(_FIRST_ROUNDS):
        order = servers[:: -1 if number % 2 else 1]
        count = plan.first_bytes // _FIRST_ROUNDS
        answer = arena.ask(do="first", servers=order, count=count, batch=_BATCH)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        found.append(answer["p50"][:: -1 if number % 2 else 1])
    later = tuple(one - other for one, other in found)
    through, direct = (statistics.median(pair[which] for pair in found) for which in (0, 1))
    measured = f"p50 {through:.2f} ms, straight {direct:.2f}"
    value = statistics.median(later)
    return Row("first byte: p50 later by", measured, value, ("at most", 1.0), " ms", later)
