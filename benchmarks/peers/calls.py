"""Calls in one process, in short batches in turns: `python -m benchmarks.peers.calls`.

`calls FILES_PORT BATCHES BATCH` measures and prints one line of JSON: by name, microseconds of
wall and processor time a call, batch by batch. A process of its own, so that nothing but the call
is in it. See `_ways` for what is called.
"""

from __future__ import annotations

import gc
import http.client
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from urllib3 import HTTPConnectionPool

from wsgi_portproxy import AskApp, PortProxy
from wsgi_portproxy.policy.authorize import Authorizer

from .heads import CURL, MOUNT, SMALL, SMALL_PATH, chromium, environ
from .rawsocket import RawSocket

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Call: TypeAlias = Callable[[], None]

_TIMES_MORE = 20  # calls that need no service are short: more of them make a batch
_PAGE = b"a page of the app\n"


class App:
    """The wrapped app, as little as there can be. `asked`: how often it was called."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.asked += 1
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "18")])
        return [_PAGE]


def _called(app: WSGIApplication, made: WSGIEnvironment, status: str = "200 OK") -> bytes:
    """The body of a whole answer, whose status is known."""
    begun: list[str] = []
    blocks: list[bytes] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        begun.append(status)
        return blocks.append  # a head whose body has not come is written by itself

    answer = app(dict(made), start_response)
    try:
        blocks += answer
    finally:
        close = getattr(answer, "close", None)
        if close is not None:
            close()
    if begun != [status]:
        raise RuntimeError(f"{made['RAW_URI']}: {begun}")
    return b"".join(blocks)


def _proxy(app: WSGIApplication, authorizer: Authorizer) -> PortProxy:
    def count(metrics: object) -> None:
        pass

    return PortProxy(app, authorizer=authorizer, mount="/{username}/{project}", on_finished=count)


def _wsgi(app: WSGIApplication, made: WSGIEnvironment, body: bytes) -> Call:
    def call() -> None:
        assert _called(app, made) == body

    return call


def _clients(port: int) -> dict[str, Call]:
    """The small file in every way that a Python program can get it."""
    pool = HTTPConnectionPool("127.0.0.1", port)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    kept, anew = RawSocket(port, SMALL_PATH), RawSocket(port, SMALL_PATH, keeps=False)

    def by_urllib3() -> None:
        assert pool.urlopen("GET", SMALL_PATH).data == SMALL

    def by_http_client() -> None:
        connection.request("GET", SMALL_PATH)
        assert connection.getresponse().read() == SMALL

    def by_raw(raw: RawSocket) -> Call:
        def call() -> None:
            assert raw.get() == SMALL

        return call

    return {
        "raw": by_raw(kept),
        "raw anew": by_raw(anew),
        "urllib3": by_urllib3,
        "http.client": by_http_client,
    }


def _ours(port: int) -> dict[str, Call]:
    path = f"{MOUNT}/proxy/{port}{SMALL_PATH}"
    proxy = _proxy(App(), lambda request, target: target.params["username"] == "alice")
    page = f"http://127.0.0.1:8000{MOUNT}/proxy/{port}/index.html"
    return {
        "ours": _wsgi(proxy, environ(path, CURL), SMALL),
        "ours browser": _wsgi(proxy, environ(path, chromium(page)), SMALL),
    }


def _not_ours() -> dict[str, Call]:
    """A request that names no port: to the app itself, and to the app that a PortProxy wraps."""
    app = App()
    proxy = _proxy(app, lambda request, target: True)
    calls = {}
    browser = chromium(f"http://127.0.0.1:8000{MOUNT}/")
    for kind, fields in (("curl", CURL), ("browser", browser)):
        made = environ(f"{MOUNT}/settings?tab=2", fields)
        calls[f"app {kind}"] = _wsgi(app, made, _PAGE)
        calls[f"wrapped {kind}"] = _wsgi(proxy, made, _PAGE)
    return calls


def _asking(port: int, app: App) -> dict[str, Call]:
    """A request that is authorized and then needs no service: the 308 to the slash it lacks."""
    asking = _proxy(app, AskApp(app, "/{username}/{project}/", seconds=3600))
    knowing = _proxy(app, lambda request, target: True)
    calls = {}
    browser = chromium(f"http://127.0.0.1:8000{MOUNT}/")
    for kind, fields in (("curl", CURL), ("browser", browser)):
        made = environ(f"{MOUNT}/proxy/{port}", fields)
        for name, proxy in (("asking", asking), ("knowing", knowing)):
            calls[f"{name} {kind}"] = _redirected(proxy, made)
    return calls


def _redirected(proxy: PortProxy, made: WSGIEnvironment) -> Call:
    def call() -> None:
        _called(proxy, made, "308 Permanent Redirect")

    return call


def measure(calls: dict[str, Call], batches: int, batch: int) -> dict[str, dict[str, list[float]]]:
    """`batches` of each, in turns, after one that is not counted."""
    found: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": []} for name in calls}
    names = list(calls)
    for number in range(-1, batches):
        start = number % len(names)
        order = names[start:] + names[:start]
        for name in order[:: -1 if number % 2 else 1]:
            call = calls[name]
            cpu, wall = time.thread_time(), time.perf_counter()
            for _ in range(batch):
                call()
            wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
            if number >= 0:
                found[name]["wall"].append(wall / batch * 1e6)
                found[name]["cpu"].append(cpu / batch * 1e6)
    return found


def main(port: int, batches: int, batch: int) -> None:
    logging.basicConfig(level=logging.INFO)
    asked = App()
    asking = _asking(port, asked)
    clients = {**_clients(port), **_ours(port)}
    gc.collect()
    gc.freeze()
    found = measure(clients, batches, batch)
    found |= measure(_not_ours(), batches, batch * _TIMES_MORE)
    found |= measure(asking, batches, batch * _TIMES_MORE)
    if asked.asked != 2:  # once for each kind of visitor: otherwise a verdict was not warm
        raise RuntimeError(f"AskApp asked {asked.asked} times")
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
