"""What the README promises first: a real TensorBoard at `?port=`, for those who may see it.

More of what it shows is looked at in `services/viewers.py`, behind another app.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from .chromium import fill_in_login
from .conftest import Visit
from .demo import Demo
from .tensorboard import see_the_charts

# High enough for all charts: TensorBoard draws those that are in sight.
WINDOW = {"width": 1280, "height": 2000}


@pytest.fixture
def path_form(demo: Demo) -> str:
    return f"/alice/vision/proxy/{demo.tensorboard_port}/"


@pytest.fixture
def query_form(demo: Demo) -> str:
    return f"/alice/vision/?port={demo.tensorboard_port}"


def see_a_chart(page: Page) -> None:
    expect(page.locator("scalar-card").first).to_be_visible()


def test_who_is_not_signed_in_does_so_and_is_at_tensorboard_again_by_reload_and_bookmark(
    visit: Visit, demo: Demo, query_form: str, path_form: str
) -> None:
    alice = visit(viewport=WINDOW)
    page = alice.open(query_form)
    assert page.url.startswith(f"{demo.site}/login/?next=")
    fill_in_login(page, "alice")
    see_the_charts(page)
    address = page.url
    assert address.startswith(demo.site + path_form)
    assert "port=" not in address

    page.reload()
    see_the_charts(page)
    assert page.url == address
    page.close()
    see_a_chart(alice.open(address.removeprefix(demo.site)))


def test_who_is_not_signed_in_is_back_at_the_path_form_then(
    visit: Visit, demo: Demo, path_form: str
) -> None:
    page = visit(viewport=WINDOW).open(path_form)
    assert page.url.startswith(f"{demo.site}/login/?next=")
    fill_in_login(page, "carol")
    see_a_chart(page)
    assert page.url.startswith(demo.site + path_form)


def test_the_back_button_leads_to_the_project_page(
    visit: Visit, demo: Demo, path_form: str
) -> None:
    page = visit("alice", viewport=WINDOW).open("/alice/vision/")
    page.get_by_role("link", name="TensorBoard").click()
    see_a_chart(page)
    page.go_back()
    expect(page.get_by_role("heading", name="Open a port")).to_be_visible()
    assert page.url == f"{demo.site}/alice/vision/"
    page.go_forward()
    see_a_chart(page)
    assert page.url.startswith(demo.site + path_form)


def test_bob_may_not_view_the_project_and_gets_the_page_of_the_app(
    visit: Visit, query_form: str, path_form: str
) -> None:
    bob = visit("bob")
    bob.expects(r"\b404\b.*/alice/vision/")
    for address in (query_form, path_form):
        page = bob.open(address)
        expect(page).to_have_title(re.compile("Workbench"))
        expect(page.get_by_role("heading")).to_have_text("There is nothing here for you")
