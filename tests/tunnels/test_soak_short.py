"""A short soak: tunnels and streams that end in every bad way leave nothing in the worker."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.servers import ROOT


@pytest.mark.case("thousands that are aborted leave nothing")
@pytest.mark.promise("Whatever is aborted leaves nothing")
def test_mixed_load_with_faults_leaves_nothing() -> None:
    command = [sys.executable, "benchmarks/soak.py", "--tunnels", "200", "--streams", "200"]
    # It opens no more after so many seconds: a busy machine makes it smaller, not longer.
    command += ["--mixed", "5", "--seconds", "10"]
    # More than there are at a time: none is refused because a busy machine was slow with others.
    command += ["--cap", "1000"]
    done = subprocess.run(
        command, cwd=ROOT, timeout=300, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(done.stdout)
    assert done.returncode == 0
