"""What the README promises first: a real TensorBoard at `?port=`, for those who may see it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .chromium import Visitor, fill_in_login
from .conftest import Visit
from .demo import Demo
from .tensorboard import TAGS, look_at_lines, see_the_charts

# High enough for all charts: TensorBoard draws those that are in sight.
WINDOW = {"width": 1280, "height": 2000}


@pytest.fixture
def path_form(demo: Demo) -> str:
    return f"/alice/vision/proxy/{demo.tensorboard_port}/"


@pytest.fixture
def query_form(demo: Demo) -> str:
    return f"/alice/vision/?port={demo.tensorboard_port}"


@pytest.fixture
def alice(visit: Visit) -> Visitor:
    return visit("alice", viewport=WINDOW)


def test_alice_opens_tensorboard_at_the_port_and_again_after_a_reload(
    visit: Visit, demo: Demo, query_form: str, path_form: str
) -> None:
    alice = visit(viewport=WINDOW)
    page = alice.open("/login/")
    fill_in_login(page, "alice")
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()

    page.goto(demo.site + query_form)
    see_the_charts(page)
    address = page.url
    assert address.startswith(demo.site + path_form)
    assert "port=" not in address

    page.reload()
    see_the_charts(page)
    assert page.url == address


def test_the_scalars_tab_draws_the_same_logs(alice: Visitor, query_form: str) -> None:
    page = alice.open(query_form)
    page.get_by_role("tab", name="Scalars").click()
    for group in page.locator("tf-category-paginated-view", has_text="loss").all():
        group.get_by_role("button", name="loss").click()
    cards = page.locator("tf-scalar-card")
    expect(cards).to_have_count(len(TAGS))
    for card in cards.all():
        look_at_lines(card.locator("path.line"))


def test_the_back_button_leads_to_the_project_page(
    alice: Visitor, demo: Demo, path_form: str
) -> None:
    page = alice.open("/alice/vision/")
    page.get_by_role("link", name="TensorBoard").click()
    expect(page.locator("scalar-card").first).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Open a port")).to_be_visible()
    assert page.url == f"{demo.site}/alice/vision/"
    page.go_forward()
    see_the_charts(page)
    assert page.url.startswith(demo.site + path_form)


def test_a_bookmark_opens_in_a_new_tab(alice: Visitor, query_form: str) -> None:
    page = alice.open(query_form)
    expect(page.locator("scalar-card").first).to_be_visible()
    bookmark = page.url.removeprefix(alice.site)
    page.close()
    see_the_charts(alice.open(bookmark))


def test_bob_may_not_view_the_project_and_gets_the_page_of_the_app(
    visit: Visit, query_form: str, path_form: str
) -> None:
    bob = visit("bob")
    bob.expects(r"\b404\b.*/alice/vision/")
    for address in (query_form, path_form):
        page = bob.open(address)
        expect(page).to_have_title(re.compile("Workbench"))
        expect(page.get_by_role("heading")).to_have_text("There is nothing here for you")


@pytest.mark.parametrize("form", ["query_form", "path_form"])
def test_who_is_not_signed_in_does_so_and_is_back_at_tensorboard(
    visit: Visit, demo: Demo, path_form: str, form: str, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue(form)
    anonymous = visit(viewport=WINDOW)
    page = anonymous.open(address)
    assert page.url.startswith(f"{demo.site}/login/?next=")
    fill_in_login(page, "carol")
    see_the_charts(page)
    assert page.url.startswith(demo.site + path_form)
