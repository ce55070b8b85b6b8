"""What a real service is to these tests and to docs/services, and how one is run.

A `Service` is data: one for each, in `catalogue.py`. It is started by the command that its users
type, from the environment that has it; only the number of the port is another each time.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.client import ask
from tests.support.ports import free_port
from tests.support.servers import ROOT, Server, running

from .environments import environment

if TYPE_CHECKING:
    from .tour import Tour

PROJECT = "/alice/vision/"  # of the host app, see hostapp.py
WHOLE = "/alice/whole/"  # another one, whose services get their paths with the prefix
APPS = Path(__file__).parent / "apps"
REQUIREMENTS = Path(__file__).parent / "requirements.txt"
START_SECONDS = 300.0  # MLflow on a busy machine, which makes its database and starts four workers

QUERY, HOST, PORT = "query", "host", "port"
ROOTS = (HOST, PORT)  # those that give a service a root of its own
FORMS = (QUERY, *ROOTS)
HTTP, HTTPS = "http", "https"
SCHEMES = (HTTP, HTTPS)
# How far the site's ports are from the services' in the port form: on http the host app itself
# listens there, on https nginx does, and no two of all these numbers are the same.
OFFSETS = {HTTP: 10000, HTTPS: 15000}
LAST_PORT = 14999


@dataclass(frozen=True)
class Guide:
    """What docs/services says of a service beside the command.

    tried: what `use` does, as items of a list. loopback: how to keep it from other users of the
    machine and of the network. query: what has to be in the address beside the port. opened: what
    to do then. start: what to know before the command.
    """

    tried: tuple[str, ...]
    loopback: str
    limits: tuple[str, ...] = ()
    query: str = ""
    opened: str = ""
    start: str = ""


NO_GUIDE = Guide(tried=(), loopback="")  # of a service that has no page in docs/services


@dataclass(frozen=True)
class UnderPath:
    """How a service is started to work under a path, where its default flags do not let it.

    In both texts {prefix} stands for the path of the service's root, without a final slash.
    command: instead of the service's; "" for the same. environment: beside the service's.
    strip: whether the service gets its paths without the prefix.
    """

    command: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    strip: bool = True


@dataclass(frozen=True)
class Service:
    """A service and how to see that it works.

    name: of its page in docs/services. app: of its folder in `apps`, if that is another. port: the
    one of the documentation; it stands as {port} in the command, and in the files as it is.
    use: looks at it as a user would, and raises if anything is not as it should be.
    package: by which it is pinned in requirements.txt; None for what .venv has.
    expected: complaints of the browser that are the service's own, also without a proxy.
    elsewhere: URLs outside the site that its pages ask for, also without a proxy.
    environment: variables beside those that its users have; its guide says why.
    environment_of: the environment in `.venv-found` that it runs from, see `environments.py`.
    forms: those in which it works with its default flags.
    why: the reason, if these are not all. sign: a selector of what its page then shows; with none,
    `use` has to fail in those forms.
    under_path: with which flags it works under a path, if it does not with the default ones.
    strip: whether it gets its paths without the prefix, where it has one.
    recognised: its page is known as one that cannot work under a path, so that a browser which
    opens it there is sent to a root of its own.
    """

    name: str
    title: str
    command: str
    port: int
    use: Callable[[Tour], None]
    guide: Guide = NO_GUIDE
    package: str | None = None
    prepare: Callable[[Path], None] | None = None
    before: str = ""  # a command that has to run first
    options_of_root: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    app: str = ""
    environment_of: str = ""
    forms: tuple[str, ...] = FORMS
    why: str = ""
    recognised: bool = False
    sign: str = ""
    under_path: UnderPath | None = None
    strip: bool = True

    @property
    def folder(self) -> Path:
        """What it serves, if that exists."""
        return APPS / (self.app or self.name)

    @property
    def heavy(self) -> bool:
        """Whether it runs from .venv-services."""
        return self.package is not None


@dataclass(frozen=True)
class Running:
    """A service that runs, in a folder of its own."""

    service: Service
    server: Server
    folder: Path

    @property
    def port(self) -> int:
        return self.server.port


def started_under_path(service: Service) -> Service:
    """The service as it is started to work under a path: with `under_path`."""
    flags = service.under_path
    assert flags is not None, service.name
    return replace(
        service,
        command=flags.command or service.command,
        environment={**service.environment, **flags.environment},
        strip=flags.strip,
        forms=(QUERY,),
        under_path=None,
    )


def prefix(service: Service, port: int) -> str:
    """The path of the service's root in the path form, without a final slash."""
    return f"{PROJECT if service.strip else WHOLE}proxy/{port}"


def programs(service: Service) -> str:
    """Folders of programs, as PATH has them. Raises if the service's environment was not made."""
    if service.environment_of:
        return environment(service.environment_of).path
    if not service.heavy:
        return str(Path(sys.executable).parent)
    made = ROOT / ".venv-services" / "installed"
    if not made.exists():
        raise RuntimeError(
            f"{service.title} runs from .venv-services, which is not there or not complete. "
            "This makes it, and runs the tests: make test-browser"
        )
    return str(made.parent / "bin")


@contextlib.contextmanager
def running_service(service: Service, folder: Path) -> Iterator[Running]:
    """Start it in the empty `folder`, as its users do; end it and what it started."""
    port = next(port for port in iter(free_port, None) if port <= LAST_PORT)
    path = f"{programs(service)}{os.pathsep}{os.environ['PATH']}"
    told = {"{port}": str(port), "{prefix}": prefix(service, port), "{folder}": str(folder)}
    variables = {name: _filled_in(value, told) for name, value in service.environment.items()}
    variables["PATH"] = path
    _fill(folder, service, port)
    if service.before:
        everything = {**os.environ, **variables}
        before = shlex.split(_filled_in(service.before, told))
        subprocess.run(before, cwd=folder, env=everything, check=True)
    command = shlex.split(_filled_in(service.command, told))
    if os.geteuid() == 0:
        command += service.options_of_root
    with running(
        command, port, env=variables, probe=_probe, cwd=folder, seconds=START_SECONDS
    ) as server:
        yield Running(service, server, folder)


def _filled_in(text: str, told: Mapping[str, str]) -> str:
    """The text with the values for its placeholders. No format string: JSON has braces too."""
    for placeholder, value in told.items():
        text = text.replace(placeholder, value)
    return text


def _fill(folder: Path, service: Service, port: int) -> None:
    """Put the service's files there, told of this port."""
    if service.folder.exists():
        shutil.copytree(service.folder, folder, dirs_exist_ok=True)
        for path in folder.rglob("*.py"):
            path.write_text(path.read_text("utf-8").replace(str(service.port), str(port)), "utf-8")
    if service.environment_of:
        modules = environment(service.environment_of).folder / "node_modules"
        if modules.exists():  # found by what the service's files import
            (folder / "node_modules").symlink_to(modules)
    if service.prepare is not None:
        service.prepare(folder)


def _probe(port: int) -> None:
    """Raises OSError until the service answers with a page, whatever it says."""
    if ask(port, "GET", "/", host=f"localhost:{port}", cookie="").status >= 500:
        raise OSError("not ready")
