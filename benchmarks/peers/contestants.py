"""All contestants, started in front of the same services, and up for the whole measurement."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.processes import Program
from tests.support.ports import free_port
from tests.support.servers import Server, running

from . import nginx, tree
from .answers import answers
from .heads import CURL, LARGE_PATH, MOUNT, SMALL_PATH, Fields, chromium, wire
from .signals import undisturbed

T = TypeVar("T")

BARE, RAW, OURS = "bare app", "raw socket", "wsgi_portproxy"
WSGIPROXY2, WERKZEUG, REVPROXY = "WSGIProxy2", "werkzeug", "django-revproxy"
JUPYTER, NGINX, NGINX_BUFFERED = "jupyter-server-proxy", "nginx", "nginx, buffering"
OURS_QUERY, OURS_BROWSER = f"{OURS}, ?port=", f"{OURS}, browser"
WSGIPROXY2_BROWSER = f"{WSGIPROXY2}, browser"
PEERS = (WERKZEUG, WSGIPROXY2, REVPROXY, JUPYTER)  # that do the same from Python

_GUNICORN = ("-k", "gthread", "--workers", "1", "--threads", "8", "--keep-alive", "75")
_JUPYTER = (
    "--ip=127.0.0.1",
    "--no-browser",
    "--allow-root",
    "--IdentityProvider.token=",
    "--ServerApp.password=",
    "--ServerApp.disable_check_xsrf=True",
    "--ServerApp.port_retries=0",
    "--ServerApp.log_level=40",  # errors only
)
_START_SECONDS = 60.0  # jupyter takes a while


@dataclass(frozen=True)
class Contestant:
    """A server and the way to what is behind it.

    pids: its processes, all of them. small, large, sink: paths; None: it has no such thing.
    is_added: whether it runs in gunicorn, so that the bare app's time can be taken off its own.
    """

    name: str
    port: int
    pids: tuple[int, ...]
    small: str
    large: str | None = None
    sink: str | None = None
    fields: Fields = CURL
    is_added: bool = True

    def request(self, path: str, method: str = "GET", fields: Fields = ()) -> str:
        return wire(self.port, path, self.fields + fields, method)


@dataclass(frozen=True)
class Arena:
    """What runs: the contestants, the services' ports, the client. around: the processes of all
    but the contestants."""

    contestants: list[Contestant]
    files: int
    sink: int
    client: Program
    around: tuple[int, ...]

    def __getitem__(self, name: str) -> Contestant:
        return next(one for one in self.contestants if one.name == name)

    def ask(self, **words: Any) -> dict[str, Any]:
        """An order to the client. Its answer may have an "error"."""
        return self.client.ask(json.dumps(words))


def in_turns(things: list[T], number: int) -> list[T]:
    """All of them in the order of round `number`: rotated, and every other time backwards."""
    start = number * 5 % len(things)
    order = things[start:] + things[:start]
    return order[::-1] if number % 2 else order


@contextmanager
def arena() -> Iterator[Arena]:
    """Everything, started and in the end ended."""
    stack = ExitStack()
    try:
        with undisturbed():
            started = _arena(stack)
        yield started
    finally:
        with undisturbed():
            stack.close()


def _arena(stack: ExitStack) -> Arena:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portproxy-peers-")))
    service = stack.enter_context(nginx.file_server(folder / "service"))
    uploads = stack.enter_context(Program("peers.sink"))
    client = stack.enter_context(Program("peers.client"))
    files, sink = service.port, uploads.first["port"]
    contestants = _started(stack, folder, files, sink)
    around = (*tree.processes(service.pid), uploads.pid, client.pid)
    return Arena(contestants, files, sink, client, around)


@contextmanager
def pinned(running: Arena) -> Iterator[None]:
    """Each contestant on the first core, and what is around them on the others.

    Left free, the threads of a Python server hand their lock from core to core, which doubles the
    processor time of some rounds and not of others.
    """
    cores = os.sched_getaffinity(0)
    first = {min(cores)}
    if cores == first:
        raise SystemExit("Pinning needs a second core.")
    pids = [pid for one in running.contestants for pid in one.pids]
    tree.confine(pids, first)
    tree.confine(running.around, cores - first)
    try:
        yield
    finally:
        tree.confine([*pids, *running.around], cores)


def _started(stack: ExitStack, folder: Path, files: int, sink: int) -> list[Contestant]:
    def in_gunicorn(app: str, small: str) -> Server:
        return stack.enter_context(_gunicorn(app, small, files, sink))

    def of(name: str, server: Server, prefix: str, upload: str, **more: Any) -> Contestant:
        large = prefix + LARGE_PATH
        pids = tuple(tree.processes(server.pid))
        return Contestant(name, server.port, pids, prefix + SMALL_PATH, large, upload, **more)

    bare, raw = in_gunicorn("bare", SMALL_PATH), in_gunicorn("raw", SMALL_PATH)
    prefix = f"{MOUNT}/proxy/{files}"
    ours = of(OURS, in_gunicorn("ours", prefix + SMALL_PATH), prefix, f"{MOUNT}/proxy/{sink}/")
    wsgiproxy2 = of(WSGIPROXY2, in_gunicorn("wsgiproxy2", SMALL_PATH), "", "/sink/")
    found = [
        Contestant(BARE, bare.port, tuple(tree.processes(bare.pid)), SMALL_PATH),
        Contestant(RAW, raw.port, tuple(tree.processes(raw.pid)), SMALL_PATH),
        ours,
        _like(OURS_QUERY, ours, f"{MOUNT}{SMALL_PATH}?port={files}", CURL),
        _like(OURS_BROWSER, ours, ours.small, _of_page(ours.port, f"{prefix}/index.html")),
        wsgiproxy2,
        _like(WSGIPROXY2_BROWSER, wsgiproxy2, SMALL_PATH, _of_page(wsgiproxy2.port, "/index.html")),
    ]
    for name, app in ((WERKZEUG, "werkzeug_proxy"), (REVPROXY, "revproxy_django")):
        found.append(of(name, in_gunicorn(app, "/files" + SMALL_PATH), "/files", "/sink/"))
    jupyter = stack.enter_context(_jupyter(files))
    upload = f"/proxy/{sink}/"
    found.append(of(JUPYTER, jupyter, f"/proxy/{files}", upload, is_added=False))
    for name, buffering in ((NGINX, False), (NGINX_BUFFERED, True)):
        place = folder / f"proxy-{buffering}"
        server = stack.enter_context(nginx.proxy(place, files, sink, buffering=buffering))
        found.append(of(name, server, "", "/sink/", is_added=False))
    return found


def _of_page(port: int, path: str) -> Fields:
    return chromium(f"http://127.0.0.1:{port}{path}")


def _like(name: str, one: Contestant, small: str, fields: Fields) -> Contestant:
    """The same server, asked otherwise: a row of information."""
    return Contestant(name, one.port, one.pids, small, fields=fields)


@contextmanager
def _gunicorn(app: str, small: str, files: int, sink: int) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", *_GUNICORN, "-b", f"127.0.0.1:{port}"]
    ports = {"FILES_PORT": str(files), "SINK_PORT": str(sink)}
    module = f"benchmarks.peers.apps.{app}:application"
    probe = answers(small)
    with running([*command, module], port, env=ports, probe=probe) as server:
        yield server
        log = server.output()
        if "Traceback" in log:
            print(f"In the log of {app}:\n{log[log.index('Traceback') :][:2000]}")


@contextmanager
def _jupyter(files: int) -> Iterator[Server]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="portproxy-jupyter-") as folder:
        command = [sys.executable, "-m", "jupyter_server", f"--port={port}", *_JUPYTER]
        command.append(f"--ServerApp.root_dir={folder}")
        probe = answers(f"/proxy/{files}{SMALL_PATH}")
        with running(command, port, probe=probe, seconds=_START_SECONDS) as server:
            yield server
