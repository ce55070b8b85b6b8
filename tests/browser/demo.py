"""What `make demo` runs, on free ports and with its data in a temporary folder."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port
from tests.support.servers import ROOT, whole_lines
from tests.support.waiting import until

from .tensorboard import wait_for_the_logs

START_SECONDS = 120.0  # a slow and busy machine; only waited out if it does not start at all
READY = "Ctrl-C ends the demo."  # the last line that it prints
END_SECONDS = 60.0  # the demo gives each of its processes ten


@dataclass(frozen=True)
class Demo:
    """`site`: the address of the Django example. Its users are alice, bob and carol."""

    site: str
    tensorboard_port: int
    data: Path


@contextlib.contextmanager
def running_demo(form: str = "path") -> Iterator[Demo]:
    """The Django example under gunicorn as shipped, and TensorBoard with the sample logs.

    form: in which services open; the demo's default is "port".

    A traceback in gunicorn's log fails what ran meanwhile.
    """
    port, tensorboard_port = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="portproxy-demo-") as folder:
        data, log = Path(folder, "data"), Path(folder, "output.log")
        command = [sys.executable, str(ROOT / "examples" / "demo.py"), f"--data={data}"]
        command += [f"--port={port}", f"--tensorboard-port={tensorboard_port}", f"--form={form}"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            until(
                lambda: READY in whole_lines(log) or process.poll() is not None,
                "the demo is ready",
                START_SECONDS,
            )
            assert process.poll() is None, whole_lines(log)
            wait_for_the_logs(tensorboard_port)
            yield Demo(f"http://localhost:{port}", tensorboard_port, data)
        finally:
            process.terminate()
            process.wait(END_SECONDS)
        errors = (data / "gunicorn.log").read_text()
        assert "Traceback" not in errors, errors
