"""What `make demo` runs, on free ports and with its data in a temporary folder."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port
from tests.support.servers import ROOT
from tests.support.waiting import until

# By demo.py itself, by TensorBoard, by gunicorn.
PORT_TAKEN = r"is taken by another program|could not bind|already in use"
START_SECONDS = 120.0  # a slow and busy machine; only waited out if it does not start at all
READY = "Ctrl-C ends the demo."  # the last line that it prints
END_SECONDS = 40.0  # the demo gives each of its processes ten


@dataclass(frozen=True)
class Demo:
    """`site`: the address of the Django example. Its users are alice, bob and carol."""

    site: str
    tensorboard_port: int
    data: Path


@contextlib.contextmanager
def running_demo() -> Iterator[Demo]:
    """The Django example under gunicorn as shipped, and TensorBoard with the sample logs.

    A traceback in gunicorn's log fails what ran meanwhile.
    """
    with tempfile.TemporaryDirectory(prefix="portproxy-demo-") as folder:
        data, log = Path(folder, "data"), Path(folder, "output.log")
        process, demo = _start(data, log)
        try:
            yield demo
        finally:
            _end(process)
        errors = (data / "gunicorn.log").read_text()
        assert "Traceback" not in errors, errors


def _start(data: Path, log: Path) -> tuple[subprocess.Popen[bytes], Demo]:
    """Start it; once more on other ports if another program was faster to take one of them."""
    port, tensorboard_port = free_port(), free_port()
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), f"--data={data}"]
    command += [f"--port={port}", f"--tensorboard-port={tensorboard_port}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        until(
            lambda: READY in log.read_text() or process.poll() is not None,
            "the demo is ready",
            START_SECONDS,
        )
    except BaseException:
        _end(process)
        raise
    text = log.read_text()
    if READY in text:
        return process, Demo(f"http://localhost:{port}", tensorboard_port, data)
    if re.search(PORT_TAKEN, text):
        return _start(data, log)
    raise RuntimeError(f"the demo did not start:\n{text}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(END_SECONDS)
