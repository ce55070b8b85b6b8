"""The hosts of these tests, and what has to be true of them after each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.procfs import descriptors, settled_descriptors, worker_of
from tests.support.servers import Server, gunicorn
from tests.support.waiting import until

from .offsets import AT_A_TIME

THREADS = 16


@contextmanager
def _host(name: str) -> Iterator[Server]:
    with gunicorn(f"tests.faults.hosts:{name}", threads=THREADS) as server:
        yield server
        output = server.output()
        position = output.find("Traceback")
        assert position < 0, output[max(0, position - 500) : position + 4000]
        assert "ResourceWarning" not in output


@contextmanager
def _bounded(server: Server) -> Iterator[Server]:
    """It must hold no more descriptors afterwards than idle connections to the service explain."""
    worker = worker_of(server)
    before = settled_descriptors(worker)
    yield server
    until(lambda: descriptors(worker) <= before + AT_A_TIME, "the descriptors are closed")


@pytest.fixture(scope="session")
def _patient() -> Iterator[Server]:
    with _host("patient") as server:
        yield server


@pytest.fixture(scope="session")
def _impatient() -> Iterator[Server]:
    with _host("impatient") as server:
        yield server


@pytest.fixture
def bounded(_patient: Server) -> Iterator[Server]:
    """A host that waits for a service for long, and must not leak."""
    with _bounded(_patient) as server:
        yield server


@pytest.fixture
def impatient(_impatient: Server) -> Iterator[Server]:
    """A host that waits 0.3 s for the head of an answer, and must not leak."""
    with _bounded(_impatient) as server:
        yield server
