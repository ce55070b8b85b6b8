"""The demo and a Chromium, for all tests of a worker; every visitor is new in each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, StorageState

from .chromium import Visitor, chromium, keep_pictures
from .demo import Demo, running_demo

FAILURES = Path(__file__).parent / "failures"  # pictures, kept until the next run

Visit = Callable[..., Visitor]

_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_failed] = report.failed
    return report


def failed(item: pytest.Item) -> bool:
    """Whether the test itself failed, for fixtures that end after it."""
    return item.stash.get(_failed, True)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # once, not by each worker of pytest-xdist
        shutil.rmtree(FAILURES, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones first: the others fill the gaps that they leave."""
    items.sort(key=lambda item: item.get_closest_marker("services") is None)


# Package, not session: Playwright keeps an event loop running in this thread, in the way of tests
# of other folders that start one.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def demo() -> Iterator[Demo]:
    with running_demo() as demo:
        yield demo


@pytest.fixture(scope="package")
def sessions() -> dict[str, StorageState]:
    """The cookies of who has signed in before: to check a password takes Django a while."""
    return {}


@pytest.fixture
def visit(
    browser: Browser,
    demo: Demo,
    sessions: dict[str, StorageState],
    request: pytest.FixtureRequest,
) -> Iterator[Visit]:
    """Make visitors: `visit("alice")` is signed in, `visit()` is not.

    Keyword arguments are those of Playwright's `new_context`, such as `color_scheme="dark"`, and
    `site`, for another server than the demo's. A complaint that the test did not expect fails it.
    """
    visitors: list[Visitor] = []

    def make(user: str | None = None, *, site: str = demo.site, **options: Any) -> Visitor:
        known = sessions.get(user or "")
        visitor = Visitor(site, browser.new_context(storage_state=known, **options))
        visitors.append(visitor)
        if user is not None and known is None:
            visitor.sign_in(user)
            sessions[user] = visitor.context.storage_state()
        return visitor

    yield make
    complaints = [complaint for visitor in visitors for complaint in visitor.unexpected()]
    if complaints or failed(request.node):
        keep_pictures(visitors, FAILURES, request.node.name)
    for visitor in visitors:
        visitor.context.close()
    assert complaints == []
