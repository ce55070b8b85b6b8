"""A short soak: 500 tunnels that end in every bad way leave nothing in the worker."""

from __future__ import annotations

import subprocess
import sys

from tests.support.servers import ROOT


def test_five_hundred_aborted_tunnels_leave_nothing() -> None:
    # It opens no more after 10 seconds, so that a busy machine makes it smaller and not longer.
    command = [sys.executable, "benchmarks/soak.py", "--tunnels", "500", "--seconds", "10"]
    done = subprocess.run(
        command, cwd=ROOT, timeout=120, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    print(done.stdout)
