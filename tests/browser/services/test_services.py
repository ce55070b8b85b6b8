"""Every service, with its default flags, on http and https, in each form of its URLs, and told in
docs/services.

`WRITE_SERVICE_DOCS=1 pytest tests/browser/services/test_services.py -k document` writes those anew.
With `DIRECT=1` each service is also looked at without a proxy, to tell whose fault a failure is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product

import pytest

from tests.browser.chromium import keep_pictures
from tests.browser.conftest import FAILURES

from .catalogue import SERVICES
from .conftest import Begin
from .document import FOLDER, documents
from .service import FORMS, HTTP, SCHEMES, Running, Service, running_service
from .tour import DIRECT, see_that_the_app_is_the_app

EACH = [
    pytest.param(service, id=service.name, marks=[pytest.mark.services] if service.heavy else [])
    for service in SERVICES
]
WAYS = [*product(SCHEMES, FORMS), *([(HTTP, DIRECT)] if os.environ.get("DIRECT") else [])]


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    service: Service = request.param
    with running_service(service, tmp_path_factory.mktemp(service.name)) as running:
        yield running


@pytest.mark.parametrize(("scheme", "form"), WAYS)
@pytest.mark.parametrize("running", EACH, indirect=True)
def test_it_works(running: Running, form: str, begin_tour: Begin) -> None:
    tour = begin_tour(running, form)
    running.service.use(tour)
    pages = tour.guest.context.pages
    for page in pages:
        tour.stays(page)
    if os.environ.get("PICTURES"):
        keep_pictures([tour.guest], FAILURES, f"{running.service.name}-{tour.address.label}")
    if form != DIRECT:
        see_that_the_app_is_the_app(tour, pages[-1])


def test_the_documents_say_what_is_tried() -> None:
    """Each row of the overview is a service that works in both forms, or the test above fails."""
    texts = documents(SERVICES)
    if os.environ.get("WRITE_SERVICE_DOCS"):
        FOLDER.mkdir(exist_ok=True)
        for path, text in texts.items():
            path.write_text(text, "utf-8")
    assert {path: path.read_text("utf-8") for path in FOLDER.iterdir()} == texts
