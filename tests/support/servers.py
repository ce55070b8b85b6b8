"""Real WSGI servers in subprocesses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .client import ask
from .ports import free_port

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Server:
    """A running server: its port, its main process id, and the file with all that it printed."""

    port: int
    pid: int
    log: Path

    def output(self) -> str:
        """What was printed so far, in whole lines: the last may be half written."""
        return whole_lines(self.log)


def whole_lines(log: Path) -> str:
    """The lines of a file that another process writes, without one that has no end yet."""
    return "".join(log.read_text("utf-8", "replace").rpartition("\n")[:2])


def speaks_http(port: int) -> None:
    """Raises OSError if the server on `port` does not answer plain HTTP."""
    ask(port, "GET", "/login")


@contextmanager
def running(
    command: list[str],
    port: int,
    *,
    env: dict[str, str] | None = None,
    probe: Callable[[int], object] = speaks_http,
    cwd: Path = ROOT,
    seconds: float = 20.0,
) -> Iterator[Server]:
    """Run `command` until the end of the block; enter it when the server answers on `port`.

    `probe` raises OSError until it does, for which it has so many seconds.
    """
    with tempfile.TemporaryDirectory(prefix="portproxy-test-") as folder:
        log = Path(folder, "output.log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "HOME": folder, **(env or {})},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_until_it_answers(process, port, log, probe, seconds)
            yield Server(port, process.pid, log)
        finally:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with suppress(ProcessLookupError):  # reloaders and workers may outlive their parent
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def _wait_until_it_answers(
    process: subprocess.Popen[bytes],
    port: int,
    log: Path,
    probe: Callable[[int], object],
    seconds: float,
) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            probe(port)
            return
        except OSError:
            time.sleep(0.05)
    process.kill()
    process.wait(10)
    raise RuntimeError(f"the server did not start:\n{log.read_text('utf-8', 'replace')}")


@contextmanager
def gunicorn(
    app: str = "tests.support.hostapp:application",
    *,
    worker: str = "gthread",
    threads: int = 8,
    options: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
) -> Iterator[Server]:
    """gunicorn with one worker, outside the range of ports that are opened."""
    port = free_port()
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "gunicorn", "-k", worker]
    command += ["-b", f"127.0.0.1:{port}", "--access-logfile", "-", "--threads", str(threads)]
    with running([*command, *options, app], port, env=env) as server:
        yield server
