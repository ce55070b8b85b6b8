"""What a measurement found: rows against targets, printed and saved.

The tables are kept in the repository (results/), with the conditions; the raw samples behind them
stay on the machine that measured (.bench/).
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
SAMPLES = RESULTS.parents[1] / ".bench"


@dataclass(frozen=True)
class Row:
    """One thing measured. `value` is what the target is about, a ratio or an amount per tunnel.

    target: such as "at least 0.7"; None for a row that explains another one. samples: the values
    of single rounds, for the raw samples.
    """

    name: str
    measured: str
    value: float
    target: tuple[str, float] | None = None
    unit: str = ""
    samples: tuple[float, ...] = ()

    @property
    def reached(self) -> bool | None:
        if self.target is None:
            return None
        word, limit = self.target
        return self.value >= limit if word == "at least" else self.value <= limit

    def cells(self) -> list[str]:
        target = f"{self.target[0]} {self.target[1]:g}{self.unit}" if self.target else "-"
        verdict = {None: "information", True: "reached", False: "MISSED"}[self.reached]
        return [self.name, target, self.measured, f"{self.value:.2f}{self.unit}", verdict]


_TITLES = ["what", "target", "measured", "ratio", "verdict"]


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    return aligned([_TITLES, *(row.cells() for row in rows)])


def aligned(lines: list[list[str]]) -> str:
    """A Markdown table, with columns aligned for reading as text; the first line has the titles."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = [
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines
    ]
    rule = ["-" * width for width in widths]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [padded[0], rule, *padded[1:]])


def save(
    name: str,
    title: str,
    rows: list[Row],
    settings: dict[str, Any],
    notes: str,
    *,
    first: str = "",
    more: dict[str, Any] | None = None,
) -> Path:
    """Write results/`name`.md, whose path is returned, and .bench/`name`.json.

    first: Markdown that comes before the rows; more: what the JSON has besides them.
    """
    SAMPLES.mkdir(exist_ok=True)
    conditions = {"date": time.strftime("%Y-%m-%d %H:%M"), **machine(), **settings}
    document = {
        "conditions": conditions,
        "rows": [{**dataclasses.asdict(row), "reached": row.reached} for row in rows],
        **(more or {}),
    }
    (SAMPLES / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    listed = ", ".join(f"{key} {value}" for key, value in conditions.items())
    path = RESULTS / f"{name}.md"
    parts = [f"# {title}", *([first] if first else []), table(rows), notes]
    path.write_text("\n\n".join(parts) + f"\n\nConditions: {listed}.\n")
    return path


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "load after": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "linux": platform.release(),
        "gunicorn": version("gunicorn"),
    }
