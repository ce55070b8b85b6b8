"""A short soak: tunnels and streams that end in every bad way leave nothing in the worker."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.servers import ROOT

COMMAND = [sys.executable, "benchmarks/soak.py"]


@pytest.mark.parametrize(("what", "other"), [("tunnels", "streams"), ("streams", "tunnels")])
def test_five_hundred_that_are_aborted_leave_nothing(what: str, other: str) -> None:
    # It opens no more after 10 seconds, so that a busy machine makes it smaller and not longer.
    command = [*COMMAND, "--seconds", "10"]
    command += [f"--{what}", "500", f"--{other}", "0", "--mixed", "0"]
    run(command)


def test_mixed_load_with_faults_leaves_nothing() -> None:
    run([*COMMAND, "--tunnels", "0", "--streams", "0", "--mixed", "8"])


def run(command: list[str]) -> None:
    done = subprocess.run(
        command, cwd=ROOT, timeout=120, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    print(done.stdout)
