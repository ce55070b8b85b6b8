"""Logs a run of Aim's."""

from __future__ import annotations

from aim import Run

run = Run(repo=".", experiment="baking")
run["hydration"] = 0.8
for step in range(5):
    run.track(step * step, name="rise", step=step)
run.close()
