"""Fixtures that several test folders share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support import marks, ports
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers, the tests of a file stay together: they share servers."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
