"""The servers of the measurement of waiting: gunicorn, waitress and cheroot, with few threads.

`python -m benchmarks.waiting_servers NAME PORT APPLICATION` is one of those that are no gunicorn.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.support.client import ask
from tests.support.ports import free_port
from tests.support.procfs import worker_of
from tests.support.servers import Server, gunicorn, running

from .processes import ROOT

THREADS = {"gthread": 4, "sync": 1, "waitress": 4, "cheroot": 4}
#: Signs of error in the logs of servers that have ended.
complaints: list[str] = []

_SIGNS = ("Traceback", "ResourceWarning", "[ERROR]", "[CRITICAL]", "Exception ignored")
_BACKLOG = 4096  # more than all who come at once: 1,000 and some
_CONNECTIONS = 15_000  # that a server accepts at a time: more than these, too
_KEEP_ALIVE = 60  # seconds that an idle connection of a visitor stays open


@contextmanager
def serving(name: str, application: str = "application") -> Iterator[Server]:
    """An application of `benchmarks.host` on a server, whose `pid` is that of the process with the
    threads. Raises RuntimeError if the package in it is not this checkout's."""
    with _started(name, application) as server:
        package = Path(ask(server.port, "GET", "/package").text.strip())
        if package.parents[1] != ROOT:
            raise RuntimeError(f"{name} serves {package}, which is not in {ROOT}")
        yield server
        log = server.output()
        for sign in _SIGNS:
            if (position := log.find(sign)) >= 0:
                complaints.append(f"{name}: {log[max(0, position - 300) : position + 2000]}")
                break


@contextmanager
def _started(name: str, application: str) -> Iterator[Server]:
    if name in ("gthread", "sync"):
        options = ["--worker-connections", str(_CONNECTIONS), "--backlog", str(_BACKLOG)]
        options += ["--keep-alive", str(_KEEP_ALIVE)]
        app = f"benchmarks.host:{application}"
        with gunicorn(app, worker=name, threads=THREADS[name], options=tuple(options)) as server:
            yield dataclasses.replace(server, pid=worker_of(server))
        return
    port = free_port()
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "benchmarks.waiting_servers"]
    with running([*command, name, str(port), application], port) as server:
        yield server


def main(name: str, port: int, application: str) -> None:
    app: Any = getattr(import_module("benchmarks.host"), application)
    if name == "waitress":
        import_module("waitress").serve(
            app,
            host="127.0.0.1",
            port=port,
            threads=THREADS[name],
            asyncore_use_poll=True,  # select knows no descriptors from 1024 on
            connection_limit=_CONNECTIONS,
            backlog=_BACKLOG,
            channel_timeout=_KEEP_ALIVE,
        )
    else:
        server = import_module("cheroot.wsgi").Server
        server(
            ("127.0.0.1", port),
            app,
            numthreads=THREADS[name],
            request_queue_size=_BACKLOG,
            timeout=_KEEP_ALIVE,
        ).start()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
