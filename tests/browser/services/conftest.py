"""The host app, and guests who visit services through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import keep_pictures
from tests.browser.conftest import FAILURES, failed
from tests.support.servers import gunicorn

from .service import Running
from .tour import Guest, Tour, begin

Begin = Callable[[Running, str], Tour]


@pytest.fixture(scope="package")
def site() -> Iterator[str]:
    """The address of the host app. A traceback in its log fails what ran meanwhile.

    With as many threads as gunicorn.conf.py of the examples has. Of 8 a port gets 4, a browser asks
    six things at a time, and on a busy machine JupyterLab takes so long that the last are refused.
    """
    with gunicorn("tests.browser.services.hostapp:application", threads=32) as server:
        yield f"http://localhost:{server.port}"
        assert "Traceback" not in server.output(), server.output()


@pytest.fixture
def guest(site: str, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Guest]:
    """Whatever the pages complained of without leave fails the test."""
    context = browser.new_context()
    guest = Guest(site, context)
    yield guest
    complaints = guest.unexpected()
    if complaints or failed(request.node):
        keep_pictures([guest], FAILURES, request.node.name)
    context.close()
    assert complaints == []


@pytest.fixture
def begin_tour(site: str, guest: Guest) -> Begin:
    """A tour by the one guest of the test: `begin_tour(running, "query")`."""
    return lambda running, form: begin(running, form, site, guest)
