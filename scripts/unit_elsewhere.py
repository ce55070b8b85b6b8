"""Runs tests/unit on every other CPython from 3.10 on that this machine has.

Each gets a small virtual environment of its own, `.venv-3.x`, made anew when pyproject.toml
changes. Looks on PATH and where pyenv and uv keep their versions. Says which versions ran and
which are absent; fails if one that is here failed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = 10
NEWEST = 14  # reported as absent if missing; newer ones are used all the same

# What makes an interpreter usable: a released CPython that can make virtual environments.
_PROBE = """
import ensurepip, sys, venv
assert sys.implementation.name == "cpython" and sys.version_info.releaselevel == "final"
print(*sys.version_info[:3])
"""


@dataclass(frozen=True, order=True)
class Interpreter:
    version: tuple[int, int, int]
    path: Path

    @property
    def minor(self) -> int:
        return self.version[1]

    def __str__(self) -> str:
        return ".".join(map(str, self.version))


def main() -> int:
    here = sys.version_info.minor
    found = {minor: python for minor, python in find_interpreters().items() if minor != here}
    failed = [python for _, python in sorted(found.items()) if not run_unit_tables(python)]
    absent = [f"3.{minor}" for minor in range(OLDEST, NEWEST + 1) if minor not in {here, *found}]

    print()
    print(f"The unit tables ran on: {listed(found.values())} (and, in the test suite, 3.{here})")
    print(f"Not on this machine:    {', '.join(absent) or 'none'}")
    if failed:
        print(f"Failed on:              {listed(failed)}")
    return 1 if failed else 0


def find_interpreters() -> dict[int, Interpreter]:
    """The newest usable CPython of each minor version."""
    best: dict[int, Interpreter] = {}
    for path in sorted(set(candidates())):
        python = probe(path)
        if python is None or python.version < (3, OLDEST):
            continue
        if python.minor not in best or python.version > best[python.minor].version:
            best[python.minor] = python
    return best


def candidates() -> Iterator[Path]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield from Path(folder).glob("python3.[0-9][0-9]")
    homes = {Path.home(), Path("/root")}
    pyenv = {home / ".pyenv" for home in homes}
    pyenv.update(Path(folder) for folder in [os.environ.get("PYENV_ROOT")] if folder)
    uv = {home / ".local/share/uv/python" for home in homes}
    uv.update(Path(folder) for folder in [os.environ.get("UV_PYTHON_INSTALL_DIR")] if folder)
    for base in [*(root / "versions" for root in pyenv), *uv]:
        if os.access(base, os.R_OK | os.X_OK):  # /root is closed to others
            yield from base.glob("*/bin/python3.[0-9][0-9]")


def probe(path: Path) -> Interpreter | None:
    """The interpreter at `path`, or None. A pyenv shim of a version not selected only complains."""
    try:
        answer = subprocess.run(
            [path, "-c", _PROBE], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    major, minor, micro = map(int, answer.stdout.split())
    return Interpreter((major, minor, micro), path)


def run_unit_tables(python: Interpreter) -> bool:
    print(f"\nPython {python} ({python.path})", flush=True)
    venv_python = environment(python)
    # --confcutdir: the fixtures above tests/unit are for servers and browsers, not installed here.
    pytest = [venv_python, "-m", "pytest", "--confcutdir=tests/unit", "-q", "tests/unit"]
    return subprocess.run(pytest, cwd=ROOT, check=False).returncode == 0


def environment(python: Interpreter) -> str:
    """The path of a python that has the package and what its unit tables need."""
    folder = ROOT / f".venv-3.{python.minor}"
    stamp = folder / "made-for"
    wanted = f"{python} {hashlib.sha256((ROOT / 'pyproject.toml').read_bytes()).hexdigest()}\n"
    venv_python = str(folder / "bin" / "python")
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([python.path, "-m", "venv", "--clear", folder], check=True)
        install = [venv_python, "-m", "pip", "install", "--quiet", "--editable", ".[unit]"]
        subprocess.run(install, cwd=ROOT, check=True)
        stamp.write_text(wanted)
    return venv_python


def listed(pythons: Iterable[Interpreter]) -> str:
    return ", ".join(map(str, sorted(pythons))) or "none"


if __name__ == "__main__":
    sys.exit(main())
