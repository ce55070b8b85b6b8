"""The host app, on http and behind TLS, and guests who visit services through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import keep_pictures
from tests.browser.conftest import FAILURES, failed
from tests.support.servers import Server, gunicorn

from .front import tls_front
from .service import HTTP, HTTPS, OFFSETS, PORT, QUERY, SCHEMES, Running
from .tour import Guest, Site, Tour, begin

Begin = Callable[[Running, str], Tour]


#: Where the host app is, by scheme and by whether services have the port form.
Sites = dict[tuple[str, bool], Site]
APPS = {False: ("application", "application"), True: ("listening", "behind_front")}


@pytest.fixture(scope="package")
def sites() -> Iterator[Sites]:
    """A traceback in a host app's log fails what ran meanwhile.

    With as many threads as gunicorn.conf.py of the examples has. Of 8 a port gets 4, a browser asks
    six things at a time, and on a busy machine JupyterLab takes so long that the last are refused.
    """
    found: Sites = {}
    with ExitStack() as running:
        servers: dict[str, Server] = {}
        for has_ports, apps in APPS.items():
            for app in apps:
                if app not in servers:
                    name = f"tests.browser.services.hostapp:{app}"
                    servers[app] = running.enter_context(gunicorn(name, threads=32))
            plain, behind = (servers[app].port for app in apps)
            front = running.enter_context(tls_front(behind))
            found[HTTP, has_ports] = Site(f"http://localhost:{plain}")
            found[HTTPS, has_ports] = Site(front.site, front.authority, behind)
        yield found
        for server in servers.values():
            assert "Traceback" not in server.output(), server.output()


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> str:
    """Each test of services is run for both, unless it says which."""
    scheme: str = request.param
    return scheme


@pytest.fixture
def site(scheme: str, sites: Sites, request: pytest.FixtureRequest) -> Site:
    """For tests with a parameter `form`; without one, that of the path form."""
    form = request.node.callspec.params.get("form", QUERY)
    return sites[scheme, form == PORT]


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
def begin_tour(site: Site, guest: Guest) -> Iterator[Begin]:
    """A tour by the one guest of the test: `begin_tour(running, "query")`."""
    with ExitStack() as fronts:

        def begun(running: Running, form: str) -> Tour:
            if form == PORT and site.behind is not None:  # nginx listens there too
                fronts.enter_context(tls_front(site.behind, running.port + OFFSETS[HTTPS]))
            return begin(running, form, site, guest)

        yield begun
