"""Hosts of these tests, and a look into their logs at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.servers import Server, gunicorn


@pytest.fixture(scope="session")
def mounted() -> Iterator[Server]:
    """The test app under gunicorn, mounted by a dispatcher at /apps."""
    with gunicorn("tests.support.mounted:application") as server:
        yield server
        _assert_clean(server)


@pytest.fixture(scope="session", autouse=True)
def _clean_log(host: Server) -> Iterator[None]:
    """Whatever services and visitors do, the host's log shows no traceback."""
    yield
    _assert_clean(host)


def _assert_clean(server: Server) -> None:
    output = server.output()
    position = output.find("Traceback")
    assert position < 0, output[max(0, position - 500) : position + 4000]
    assert "ResourceWarning" not in output
