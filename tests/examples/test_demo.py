"""What `make demo` runs: shows TensorBoard to the right users, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ports import bound_socket, free_port
from tests.support.visitor import Visitor
from tests.support.waiting import until

from .conftest import EXAMPLES

# The machine may be busy, and the script itself gives each process ten seconds to end. These are
# only ever waited out by a test that fails.
START_SECONDS = 120.0
END_SECONDS = 60.0


@dataclass
class Demo:
    process: subprocess.Popen[bytes]
    port: int
    tensorboard_port: int
    data: Path
    output: Path

    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, text: str) -> None:
        until(
            lambda: text in self.text() or self.process.poll() is not None,
            f"{text!r} in the output of the demo",
            START_SECONDS,
        )
        assert text in self.text()

    def children(self) -> list[int]:
        """The processes that carry this demo's environment: what it has started, and theirs."""
        mark = f"WORKBENCH_DATA={self.data}\0".encode()
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
        return [pid for pid in pids if mark in environment(pid)]

    def ends(self, status: int) -> None:
        until(lambda: self.process.poll() is not None, "the end of the demo", END_SECONDS)
        assert self.process.returncode == status, self.text()
        until(lambda: not self.children(), "the end of all that the demo started", END_SECONDS)
        for port in (self.port, self.tensorboard_port):
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(("127.0.0.1", port))


def environment(pid: int) -> bytes:
    with contextlib.suppress(OSError):  # it ended in the meantime
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


@contextlib.contextmanager
def heard(number: signal.Signals) -> Iterator[None]:
    """Processes started meanwhile hear a signal that the tests themselves may have been told to
    ignore: SIGHUP, by nohup."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextlib.contextmanager
def demo(data: Path, output: Path) -> Iterator[Demo]:
    port, tensorboard_port = free_port(), free_port()
    command = [sys.executable, str(EXAMPLES / "demo.py"), f"--data={data}", f"--port={port}"]
    command += [f"--tensorboard-port={tensorboard_port}"]
    with output.open("wb") as file, heard(signal.SIGHUP):
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
    running = Demo(process, port, tensorboard_port, data, output)
    try:
        yield running
    finally:
        process.terminate()
        process.wait(END_SECONDS)
        for pid in running.children():
            os.kill(pid, signal.SIGKILL)


def test_it_shows_tensorboard_to_those_who_may_view_the_project_and_ends_on_ctrl_c(
    tmp_path: Path,
) -> None:
    with demo(tmp_path / "data", tmp_path / "first") as running:
        running.wait_for("Ctrl-C ends the demo.")
        site, port = f"http://localhost:{running.port}", running.tensorboard_port
        assert f"{site}/alice/vision/?port={port}" in running.text()

        for user, status in (("alice", 200), ("carol", 200), ("bob", 404)):
            visitor = Visitor(site)
            visitor.submit("/login/", {"username": user, "password": f"{user}-demo"})
            page = visitor.get(f"/alice/vision/?port={port}")
            assert (page.status, "<title>TensorBoard" in page.text) == (status, status == 200)
            tags = visitor.get(f"/alice/vision/proxy/{port}/data/plugin/scalars/tags")
            if status == 200:
                runs = json.loads(tags.text)
                assert set(runs) == {"baseline", "augmented"}
                assert "loss/train" in runs["baseline"]

        running.process.send_signal(signal.SIGINT)
        running.ends(status=0)
        assert "Traceback" not in running.text()

    # The second finds the database and the logs of the first. A server that dies ends it.
    with demo(tmp_path / "data", tmp_path / "second") as running:
        running.wait_for("Ctrl-C ends the demo.")
        [gunicorn] = [
            pid
            for pid in running.children()
            if b"gunicorn" in Path(f"/proc/{pid}/cmdline").read_bytes()
            and parent(pid) == running.process.pid
        ]
        os.kill(gunicorn, signal.SIGTERM)
        running.ends(status=1)
        assert "gunicorn has ended by itself" in running.text()
        assert "Handling signal: term" in running.text(), "the end of its log"


def parent(pid: int) -> int:
    """From /proc/PID/stat: the second field after the name in parentheses."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize(
    ("number", "step"), [(signal.SIGTERM, "Database .."), (signal.SIGHUP, "TensorBoard ..")]
)
def test_a_signal_during_the_start_ends_what_was_started(
    tmp_path: Path, number: signal.Signals, step: str
) -> None:
    with demo(tmp_path / "data", tmp_path / "output") as running:
        running.wait_for(step)
        until(running.children, "a process of the demo", START_SECONDS)
        running.process.send_signal(number)
        running.ends(status=0)
        assert "Traceback" not in running.text()


@pytest.mark.parametrize("option", ["--port", "--tensorboard-port"])
def test_a_taken_port_is_named_before_anything_is_started(tmp_path: Path, option: str) -> None:
    with bound_socket() as taken:
        taken.listen()
        port = taken.getsockname()[1]
        done = run_demo(f"--data={tmp_path}", f"--port={free_port()}", f"{option}={port}")
    assert done.returncode == 1
    assert f"Port {port} is taken by another program." in done.stderr
    assert f"python examples/demo.py {option} " in done.stderr
    assert f"make demo {option[2:].replace('-', '_').upper()}=" in done.stderr
    assert list(tmp_path.iterdir()) == [], "nothing was started"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tensorboard-port=6006"], "the proxy opens ports from 10000 to 20000"),
        (["--port=0"], "a port is a number from 1 to 65535"),
        (["--port=16006"], "these must differ: 16006, 16006, 26006"),
    ],
    ids=["outside the proxy's range", "not a port", "twice the same"],
)
def test_options_that_cannot_work_are_refused(options: list[str], message: str) -> None:
    done = run_demo(*options)
    assert done.returncode == 2
    assert message in done.stderr


def run_demo(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / "demo.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS)
