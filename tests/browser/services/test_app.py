"""The app and a service that have the same paths, open in tabs of one browser at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import Begin
from .own_apps import FLASK
from .service import HOST, PROJECT, QUERY, Running, running_service
from .tour import Tour, see_the_app

ASK = "async url => { const a = await fetch(url); return [a.status, a.url, await a.text()]; }"


@pytest.fixture(scope="module")
def flask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_service(FLASK, tmp_path_factory.mktemp("flask")) as running:
        yield running


def asked(page: Page, path: str) -> tuple[int, str, str]:
    """What a script of the page gets: status, the URL in the end, text."""
    status, url, text = page.evaluate(ASK, path)
    return status, url, text


@pytest.fixture(params=[QUERY, HOST])
def tour(request: pytest.FixtureRequest, flask: Running, begin_tour: Begin) -> Tour:
    return begin_tour(flask, request.param)


def test_the_pages_of_each_get_their_own_of_what_both_have(tour: Tour) -> None:
    service = tour.open()
    app = tour.guest.open("/")
    for _ in range(2):
        see_the_app(app, f"{tour.guest.site}/", "Start page")
        assert "/api/me" in asked(app, "/static/app.js")[2]
        status, url, text = asked(service, "/static/app.js")
        assert (status, url) == (200, f"{tour.base}static/app.js")
        assert "EventSource" in text
        app.reload()
        service.reload()


def test_the_pages_of_neither_get_what_only_the_other_has(tour: Tour) -> None:
    tour.guest.expects(r"\b404\b.*/static/style\.css", r"\b404\b.*/api/me\b")
    service = tour.open()
    app = tour.guest.open(PROJECT)
    status, url, text = asked(app, "/static/style.css")
    assert (status, url) == (404, f"{tour.guest.site}/static/style.css")
    assert "The app has no such page." in text
    status, url, text = asked(service, "/api/me")
    assert (status, url) == (404, f"{tour.base}api/me")
    assert "alice" not in text


def test_a_link_to_the_app_and_back_again_leaves_both_as_they_were(tour: Tour) -> None:
    if tour.address.form == QUERY:
        # The limit THE_CACHE_IS_SHARED: the back button takes the app's script out of the cache,
        # which misses the app's page there, or its API, where the answer of that is not cached.
        tour.guest.expects(
            r"^exception: Cannot set properties of null \(setting 'textContent'\)$",
            r"\b404\b.*/api/me\b",
            r"^exception: .* is not valid JSON$",
        )
    page = tour.open()
    page.get_by_label("Note").fill("from before")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("listitem")).to_have_text("from before")
    page.goto(f"{tour.guest.site}/login")
    see_the_app(page, f"{tour.guest.site}/login", "Login of the app")
    page.go_back()
    expect(page.get_by_role("listitem")).to_have_text("from before")
    tour.stays(page, "notes")


def test_a_visitor_who_is_not_signed_in_gets_nothing_of_the_service(tour: Tour) -> None:
    tour.guest.expects(r"\b401\b")
    page = tour.open()
    expect(page.get_by_role("heading", name="Notes")).to_be_visible()
    tour.guest.context.clear_cookies(name="session")
    refused: Any = page.goto(page.url)
    assert refused.status == 401
    assert "Notes" not in page.content()
    assert asked(page, "/static/app.js")[2].count("EventSource") == 0
