"""Hosts that note what they asked, and services that must hear nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import ServiceFactory
from tests.support.notes import Notes
from tests.support.ports import free_port
from tests.support.received import OK
from tests.support.servers import Server, gunicorn
from tests.support.service import Service, answers
from tests.support.waiting import until

OPTIONS = (
    # As lenient as gunicorn can be: what it lets through is ours to judge.
    *("--limit-request-line", "0"),
    *("--limit-request-field_size", "100000"),
    *("--header-map", "dangerous"),
    *("--access-logfile", "/dev/null"),  # the log is read often
    *("--keep-alive", "30"),
)


class Noted(Notes):
    """A host, and what its authorizer or app noted of this test."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.server = server
        self.port = server.port

    def calls(self) -> list[str]:
        """The lines since the last look."""
        return self.new()


@contextmanager
def running_host(app: str, *options: str, env: dict[str, str] | None = None) -> Iterator[Server]:
    with gunicorn(app, options=(*OPTIONS, *options), env=env) as server:
        yield server
        assert "ResourceWarning" not in server.output()


@pytest.fixture(scope="session")
def second_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def noted_server(second_port: int) -> Iterator[Server]:
    """On two ports."""
    with running_host("tests.hostile.hosts:noted", "-b", f"127.0.0.1:{second_port}") as server:
        yield server


@pytest.fixture
def noted(noted_server: Server) -> Noted:
    """The host whose authorizer notes each call."""
    return Noted(noted_server)


@pytest.fixture(scope="session")
def asking_server() -> Iterator[Server]:
    with running_host("tests.hostile.hosts:asking") as server:
        yield server


@pytest.fixture
def asking(asking_server: Server) -> Noted:
    """The host with `AskApp` as its authorizer, which remembers nothing; the app notes."""
    return Noted(asking_server)


@pytest.fixture(scope="session")
def whole() -> Iterator[Server]:
    """A host with the whole app as the mount."""
    with running_host("tests.support.hostapp:whole") as server:
        yield server


@pytest.fixture(scope="session")
def strained() -> Iterator[Server]:
    """A host with 8 threads, whose memory, threads and descriptors are counted."""
    with running_host("tests.hostile.hosts:strained") as server:
        yield server
        output = server.output()
        assert "Traceback" not in output, output[output.find("Traceback") - 500 :][:4000]


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
