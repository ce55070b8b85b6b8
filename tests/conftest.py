"""Fixtures that several test folders share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from xdist.remote import Producer
from xdist.scheduler import Scheduling

from tests.support import marks, ports
from tests.support.groups import ByGroup
from tests.support.servers import Server, gunicorn
from tests.support.service import Script, Service

ServiceFactory = Callable[[Script], Service]


@pytest.fixture(autouse=True)
def _of_its_own() -> Iterator[None]:
    """Each test marks its requests, and holds its ports until it is over."""
    marks.begin_test()
    yield
    ports.release()


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


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return ByGroup(config, log)
