"""Hosts that note what they asked, and services that must hear nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ServiceFactory
from tests.support.received import OK
from tests.support.servers import Server, gunicorn
from tests.support.service import Service, answers
from tests.support.waiting import until

from .hosts import CALLS

# As lenient as gunicorn can be: what it lets through is ours to judge.
LENIENT = (
    *("--limit-request-line", "0"),
    *("--limit-request-field_size", "100000"),
    *("--header-map", "dangerous"),
)


class Noted:
    """A host, and the lines that its authorizer and app left."""

    def __init__(self, server: Server, calls: Path) -> None:
        self.server = server
        self.port = server.port
        self._calls = calls
        self._read = 0

    def calls(self) -> list[str]:
        """The lines since the last look."""
        lines = self._calls.read_text("utf-8").splitlines()
        new, self._read = lines[self._read :], len(lines)
        return new


@contextmanager
def noted_host(name: str, folder: Path, *, env: dict[str, str] | None = None) -> Iterator[Noted]:
    calls = folder / f"{name}.calls"
    calls.touch()
    with gunicorn(
        f"tests.hostile.hosts:{name}", options=LENIENT, env={CALLS: str(calls), **(env or {})}
    ) as server:
        yield Noted(server, calls)
        assert "ResourceWarning" not in server.output()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="session")
def noted_server(folder: Path) -> Iterator[Noted]:
    with noted_host("noted", folder) as host:
        yield host


@pytest.fixture
def noted(noted_server: Noted) -> Noted:
    """The host whose authorizer leaves a line for each call; no lines yet."""
    noted_server.calls()
    return noted_server


@pytest.fixture(scope="session")
def whole(folder: Path) -> Iterator[Noted]:
    """The same with the whole app as the mount."""
    with noted_host("whole", folder) as host:
        yield host


@pytest.fixture(scope="session")
def asking_server(folder: Path) -> Iterator[Noted]:
    with noted_host("asking", folder) as host:
        yield host


@pytest.fixture
def asking(asking_server: Noted) -> Noted:
    """The host with `AskApp` as its authorizer, which remembers nothing."""
    asking_server.calls()
    return asking_server


class Untouched(Service):
    """A service that answers, if it is ever asked; `heard_nothing` makes sure that it was not."""

    def __init__(self) -> None:
        super().__init__(answers(OK))
        self._visits = 0  # our own connections

    def heard_nothing(self) -> None:
        """Connections are accepted in their order: once ours is, all earlier ones were."""
        self._visits += 1
        with socket.create_connection(("127.0.0.1", self.port)):
            until(lambda: self.connections >= self._visits, "our own connection is accepted")
        assert self.connections == self._visits
        assert self.heads == []


@pytest.fixture
def untouched() -> Iterator[Untouched]:
    one = Untouched()
    yield one
    one.close()


@pytest.fixture
def answering(service: ServiceFactory) -> Service:
    """A service that answers 200."""
    return service(answers(OK))


@pytest.fixture(scope="session")
def strained() -> Iterator[Server]:
    """A host of its own with 8 threads, whose memory, threads and descriptors are counted."""
    with gunicorn(threads=8) as server:
        yield server
        output = server.output()
        assert "ResourceWarning" not in output
        assert "Traceback" not in output, output[output.find("Traceback") - 500 :][:4000]
