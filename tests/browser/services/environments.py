"""Environments of services that conflict with one another: one each, made when first asked for.

What is in an environment is told by the files in `found/requirements` that have its name:

- `NAME.txt`: packages for pip, in a virtual environment;
- `NAME.json`: a package.json, whose packages npm puts into `node_modules`;
- `NAME.apt`: names of Debian packages, which root gets installed;
- `NAME.sh`: run last, with the environment's folder as its working directory.

It is made in `.venv-found/NAME`, and anew when one of these files changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers import ROOT

FOLDER = ROOT / ".venv-found"
REQUIREMENTS = Path(__file__).parent / "found" / "requirements"
NODE = "node"  # the environment that has npm
INSTALL_SECONDS = 1800.0  # Airflow has some hundred packages
LINES_SHOWN = 25  # of a command that failed


@dataclass(frozen=True)
class Environment:
    """An environment that is complete. files: what tells its content."""

    name: str
    files: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def path(self) -> str:
        """Its folders of programs, as PATH has them."""
        folders = [self.folder / "bin", self.folder / "node_modules" / ".bin"]
        if self.of_npm:
            folders.append(FOLDER / NODE / "bin")
        return os.pathsep.join(str(folder) for folder in folders)

    @property
    def of_npm(self) -> bool:
        return any(file.suffix == ".json" for file in self.files)


def environment(name: str) -> Environment:
    """The environment, made if it is not there. Raises RuntimeError if it cannot be made."""
    found_files = REQUIREMENTS.glob(f"{name}.*")
    files = tuple(sorted(found_files, key=lambda file: (file.suffix == ".sh", file.name)))
    if not files:
        raise RuntimeError(f"There is no file {name}.* in {REQUIREMENTS}.")
    found = Environment(name, files)
    if found.of_npm:
        environment(NODE)
    stamp, content = found.folder / "installed", _digest(files)
    with _locked(name):
        if not stamp.exists() or stamp.read_text("utf-8") != content:
            shutil.rmtree(found.folder, ignore_errors=True)
            found.folder.mkdir(parents=True)
            for file in files:
                _install(found, file)
            stamp.write_text(content, "utf-8")
    return found


def _digest(files: tuple[Path, ...]) -> str:
    """Tells whether what is asked for has changed."""
    texts = [f"{file.name}\n{file.read_text('utf-8')}" for file in files]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Of several workers one makes it, and the others wait."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(made: Environment, file: Path) -> None:
    folder = made.folder
    if file.suffix == ".txt":
        _run(made, [str(ROOT / "scripts/venv.sh"), sys.executable, str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        _run(made, [*pip, "install", "--quiet", "--requirement", str(file)])
    elif file.suffix == ".json":
        shutil.copy(file, folder / "package.json")
        _run(made, ["npm", "install", "--no-audit", "--no-fund"])
    elif file.suffix == ".apt":
        for package in file.read_text("utf-8").split():
            if not _is_installed(package):
                _run(made, [str(ROOT / "scripts/apt_install.sh"), package, package])
    elif file.suffix == ".sh":
        _run(made, ["sh", "-eu", str(file)])
    else:
        raise RuntimeError(f"{file.name}: nobody knows how to install that.")


def _is_installed(package: str) -> bool:
    """Whether Debian says so of its package."""
    asked = ["dpkg-query", "--show", "--showformat=${Status}", package]
    done = subprocess.run(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout == "install ok installed"


def _run(made: Environment, command: list[str]) -> None:
    """Run it in the environment's folder. Raises with the end of what it printed."""
    path = f"{made.path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=made.folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=INSTALL_SECONDS,
        text=True,
    )
    if done.returncode != 0:
        end = "\n".join(done.stdout.splitlines()[-LINES_SHOWN:])
        raise RuntimeError(f"{made.name} cannot be installed: {' '.join(command)}\n{end}")
