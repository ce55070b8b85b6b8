"""git: dulwich's server under gunicorn, and the `git` that people have."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.servers import gunicorn

from .conftest import HEADERS, Way

SECONDS = 120.0  # for a command; only waited out by one that hangs
BUFFER = 65536  # bytes of a push that git sends with a length; more, and it is chunked
LARGE = random.Random(14).randbytes(20 * BUFFER)
SETTINGS = {
    "http.extraHeader": "Authorization: " + HEADERS["Authorization"],
    "http.postBuffer": str(BUFFER),
    "init.defaultBranch": "main",
    "user.name": "Alice",
    "user.email": "alice@app.test",
}


@dataclass(frozen=True)
class Repositories:
    port: int
    folder: Path


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repositories]:
    folder = tmp_path_factory.mktemp("repositories")
    with gunicorn("tests.clients.gitapp:application", env={"GIT_ROOT": str(folder)}) as server:
        yield Repositories(server.port, folder)


@dataclass(frozen=True)
class Git:
    """The command, with no settings but these, in `folder`."""

    settings: dict[str, str]
    folder: Path

    def __call__(self, *arguments: str, **environment: str) -> str:
        """What it prints. Raises if it fails."""
        program = shutil.which("git")
        assert program is not None, "These tests need git (Debian: apt-get install git)."
        options = [part for each in self.settings.items() for part in ("-c", "=".join(each))]
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        env |= {"HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
        done = subprocess.run(
            [program, *options, *arguments],
            cwd=self.folder,
            env={**env, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stdout}"
        return done.stdout


@pytest.fixture
def git(way: Way, repositories: Repositories, tmp_path: Path) -> Git:
    """It is told where the host names of ports are, as a site's DNS would do."""
    settings = {"http.curloptResolve": f"{way.host(repositories.port)}:{way.port}:127.0.0.1"}
    if way.authority is not None:
        settings["http.sslCAInfo"] = str(way.authority)
    return Git(SETTINGS | settings, tmp_path)


@pytest.fixture
def url(way: Way, repositories: Repositories, git: Git) -> str:
    """Of an empty repository of this test's own. dulwich takes whole paths, as git's daemon."""
    folder = tempfile.mkdtemp(suffix=".git", dir=repositories.folder)
    git("init", "--bare", folder)
    return way.base(repositories.port) + folder.lstrip("/")


def commit(git: Git, path: str, content: bytes) -> str:
    (git.folder / "mine" / path).write_bytes(content)
    git("-C", "mine", "add", path)
    git("-C", "mine", "commit", "-m", f"Write {path}")
    return git("-C", "mine", "rev-parse", "HEAD").strip()


def test_it_is_cloned_pushed_to_and_fetched_from(git: Git, url: str, way: Way) -> None:
    git("clone", url, "mine")
    commit(git, "README", b"A bakery.\n")
    git("-C", "mine", "push", "origin", "HEAD:main")
    git("clone", "--branch", "main", url, "others")
    assert (git.folder / "others" / "README").read_bytes() == b"A bakery.\n"

    large = commit(git, "photo.bin", LARGE)
    told = git("-C", "mine", "push", "origin", "HEAD:main", GIT_TRACE_CURL="1")
    # HTTP/2 has no chunks; there it is nginx that makes some.
    assert (": Transfer-Encoding: chunked" in told) == (way.scheme == "http")
    git("-C", "others", "fetch", "origin")
    assert git("-C", "others", "rev-parse", "origin/main").strip() == large
    git("-C", "others", "merge", "--ff-only", "origin/main")
    assert (git.folder / "others" / "photo.bin").read_bytes() == LARGE
