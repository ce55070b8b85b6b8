"""Fixtures that several test folders share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.servers import Server, gunicorn
from tests.support.service import Script, Service

ServiceFactory = Callable[[Script], Service]


@pytest.fixture
def service() -> Iterator[ServiceFactory]:
    """Start scripted services: `service(script).port`. They end with the test."""
    started: list[Service] = []

    def start(script: Script) -> Service:
        started.append(Service(script))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture(scope="session")
def host() -> Iterator[Server]:
    """The test app under gunicorn gthread with 8 threads."""
    with gunicorn() as server:
        yield server
