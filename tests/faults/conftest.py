"""The host of these tests, and what has to be true of it after each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.procfs import descriptors, settled_descriptors, worker_of
from tests.support.servers import Server, gunicorn
from tests.support.waiting import until

from .offsets import AT_A_TIME

# Descriptors that may be left: idle connections to the service, and what the relay opens once.
KEPT = 2 * AT_A_TIME


@pytest.fixture(scope="session")
def _host() -> Iterator[Server]:
    with gunicorn("tests.support.patientapp", threads=2 * AT_A_TIME) as server:
        yield server
        output = server.output()
        position = output.find("Traceback")
        assert position < 0, output[max(0, position - 500) : position + 4000]
        assert "ResourceWarning" not in output


@pytest.fixture
def bounded(_host: Server) -> Iterator[Server]:
    """A host that must not leak."""
    worker = worker_of(_host)
    before = settled_descriptors(worker)
    yield _host
    until(lambda: descriptors(worker) <= before + KEPT, "the descriptors are closed")
