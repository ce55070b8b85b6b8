"""The host app, on http and behind TLS, and guests who visit services through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import keep_pictures
from tests.browser.conftest import FAILURES, failed
from tests.support.servers import gunicorn

from .front import tls_front
from .service import HTTP, HTTPS, SCHEMES, Running
from .tour import Guest, Site, Tour, begin

Begin = Callable[[Running, str], Tour]


@pytest.fixture(scope="package")
def sites() -> Iterator[dict[str, Site]]:
    """Where the one host app is, by scheme. A traceback in its log fails what ran meanwhile.

    With as many threads as gunicorn.conf.py of the examples has. Of 8 a port gets 4, a browser asks
    six things at a time, and on a busy machine JupyterLab takes so long that the last are refused.
    """
    with (
        gunicorn("tests.browser.services.hostapp:application", threads=32) as server,
        tls_front(server.port) as front,
    ):
        yield {
            HTTP: Site(f"http://localhost:{server.port}"),
            HTTPS: Site(front.site, front.authority),
        }
        assert "Traceback" not in server.output(), server.output()


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> str:
    """Each test of services is run for both, unless it says which."""
    scheme: str = request.param
    return scheme


@pytest.fixture
def site(scheme: str, sites: dict[str, Site]) -> Site:
    return sites[scheme]


@pytest.fixture
def guest(site: Site, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Guest]:
    """Whatever the pages complained of without leave fails the test."""
    context = browser.new_context(ignore_https_errors=True)
    guest = Guest(site.url, context)
    yield guest
    complaints = guest.unexpected()
    if complaints or failed(request.node):
        keep_pictures([guest], FAILURES, request.node.name)
    context.close()
    assert complaints == []


@pytest.fixture
def begin_tour(site: Site, guest: Guest) -> Begin:
    """A tour by the one guest of the test: `begin_tour(running, "query")`."""
    return lambda running, form: begin(running, form, site, guest)
