"""The hosts of these tests: one gunicorn, with the test apps in all their settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.support.servers import Server
from tests.support.variants import serving


@pytest.fixture(scope="session")
def variants() -> Iterator[Mapping[str, Server]]:
    with serving() as servers:
        yield servers


@pytest.fixture(scope="session")
def host(variants: Mapping[str, Server]) -> Server:
    return variants["application"]


@pytest.fixture(scope="session")
def mounted(variants: Mapping[str, Server]) -> Server:
    """The same app, mounted by a dispatcher at /apps."""
    return variants["mounted"]
