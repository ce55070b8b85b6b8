"""Every service that was found to work or to fail in a browser, in each form, on http and https.

It works in the forms that it says. In the others it does not: a test that fails there tells of a
service, or of this package, that has become better. With `under_path` it is also started with the
flags for a path, in the form "prefix". See `found/`; `make test-services` runs it. With `DIRECT=1`
each is also looked at without a proxy, to tell whose fault a failure is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from playwright.sync_api import Error, Page, expect

from tests.browser.chromium import PATIENCE_MS

from .conftest import Begin
from .found.catalogue import FOUND
from .found.steps import Steps, see
from .service import (
    FORMS,
    HOST,
    HTTP,
    QUERY,
    SCHEMES,
    Running,
    Service,
    running_service,
    started_under_path,
)
from .tour import DIRECT, Tour, see_that_the_app_is_the_app

pytestmark = pytest.mark.found

# In .ci/run too: three of them cannot work under a path, and one has a WebSocket.
OFTEN = ("dash_pages", "mesop", "datasette", "nicegui", "optuna_dashboard")
PREFIX = "prefix"  # the path form, and a service started for that
WAYS = [*product(FORMS, SCHEMES), *([(DIRECT, HTTP)] if os.environ.get("DIRECT") else [])]
BROKEN_MS = 20_000.0  # until a service without `sign` counts as one that does not work


def _ways() -> Iterator[Any]:
    """Each service is started once, or twice, and all its tests follow one another."""
    for service in FOUND:
        for form, scheme in WAYS:
            name = f"{service.name}-{form}-{scheme}"
            marks = [pytest.mark.services] if service.name in OFTEN else []
            yield pytest.param(service, form, scheme, id=name, marks=marks)
        if service.under_path is not None:
            other = started_under_path(service)
            for scheme in SCHEMES:
                yield pytest.param(other, PREFIX, scheme, id=f"{service.name}-{PREFIX}-{scheme}")


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    service: Service = request.param
    with running_service(service, tmp_path_factory.mktemp(service.name)) as running:
        yield running


@pytest.fixture
def form(request: pytest.FixtureRequest) -> str:
    form: str = request.param
    return form


@pytest.mark.parametrize(("running", "form", "scheme"), [*_ways()], indirect=["running", "form"])
def test_it_works_where_it_says_so(
    running: Running, form: str, begin_tour: Begin, record_property: Callable[[str, object], None]
) -> None:
    service = running.service
    tour = begin_tour(running, QUERY if form == PREFIX else form)
    record_property("service", service.title)
    record_property("form", form)
    try:
        if tour.address.form in (*service.forms, DIRECT):
            use(tour)
        elif service.recognised:
            record_property("why", "sent to a root of its own, since its page is recognised")
            see_that_it_is_sent_to_its_root(tour)
        else:
            record_property("why", service.why)
            see_that_it_does_not_work(tour)
    finally:
        for name, worked in tour.done.items():
            record_property(f"step {name}", "ok" if worked else "failed")


def use(tour: Tour) -> None:
    tour.running.service.use(tour)
    pages = tour.guest.context.pages
    for page in pages:
        tour.stays(page)
    if tour.address.form != DIRECT:
        with tour.step("the app itself"):
            see_that_the_app_is_the_app(tour, pages[-1])


def see_that_it_is_sent_to_its_root(tour: Tour) -> None:
    """From the path form, which is all that this form asks for, to the host form."""
    at_host = replace(tour.address, form=HOST)
    tour.guest.at(at_host)
    page = tour.open()
    expect(page).to_have_url(re.compile(re.escape(at_host.base)))
    steps = tour.running.service.use
    assert isinstance(steps, Steps)
    see(page, steps.first)


def see_that_it_does_not_work(tour: Tour) -> None:
    """It shows its sign; without one, its steps fail, which takes as long as patience does."""
    service = tour.running.service
    assert service.why, f"{service.title} has to say why it does not work in each form"
    tour.guest.expects("")  # complaints are as they should be
    if service.sign:
        page: Page = tour.open()
        see(page, service.sign)
        return
    expect.set_options(timeout=BROKEN_MS)
    tour.guest.context.set_default_timeout(BROKEN_MS)
    try:
        with pytest.raises((AssertionError, Error)):
            service.use(tour)
    finally:
        expect.set_options(timeout=PATIENCE_MS)
