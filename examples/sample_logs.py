"""Writes the training logs of two made-up runs, for TensorBoard to show.

    python examples/sample_logs.py FOLDER

Uses TensorBoard's own writer, so TensorFlow is not needed. The same numbers every time: tests look
at the charts. A folder that exists is left as it is.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import tempfile
from pathlib import Path

from tensorboard.summary import Writer

STEPS = 400
SECONDS_PER_STEP = 1.5  # what the horizontal axis shows when it is set to time
STARTED = 1_760_000_000.0  # 2025-10-09; any fixed moment does

# For each run: its learning rate, how fast it learns, and the loss and accuracy it comes to.
RUNS = {
    "baseline": {"rate": 0.010, "speed": 70.0, "loss": 0.42, "accuracy": 0.86},
    "augmented": {"rate": 0.003, "speed": 110.0, "loss": 0.27, "accuracy": 0.93},
}


def write_sample_logs(folder: Path) -> None:
    """Write all runs beside `folder` first: an interrupted call leaves no half-written logs."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        for name, run in RUNS.items():
            write_run(draft / name, seed=name, **run)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_run(
    folder: Path, *, seed: str, rate: float, speed: float, loss: float, accuracy: float
) -> None:
    noise = random.Random(seed)
    writer = Writer(os.fspath(folder))
    for step in range(STEPS):
        left = math.exp(-step / speed)  # of what there is to learn: 1 at first, near 0 in the end
        jitter = noise.gauss(0, 0.03) * (0.3 + left)
        scalars = {
            "loss/train": max(0.0, loss + (2.3 - loss) * left + jitter),
            "loss/validation": max(0.0, 1.12 * loss + (2.3 - loss) * left + noise.gauss(0, 0.02)),
            "accuracy/validation": min(1.0, accuracy - (accuracy - 0.1) * left + jitter / 3),
            "learning_rate": rate * (1 + math.cos(math.pi * step / STEPS)) / 2,
        }
        for tag, value in scalars.items():
            writer.add_scalar(tag, value, step, wall_time=STARTED + step * SECONDS_PER_STEP)
    writer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write sample training logs for TensorBoard.")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if not arguments.folder.exists():
        write_sample_logs(arguments.folder)
    print(f"{STEPS} steps of {len(RUNS)} runs: {', '.join(RUNS)}")
