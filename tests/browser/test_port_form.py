"""The demo as `make demo` starts it: TensorBoard opens at a port of the site of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from .chromium import Visitor, fill_in_login
from .conftest import Visit
from .demo import Demo, running_demo
from .tensorboard import see_the_charts

# High enough for all charts: TensorBoard draws those that are in sight.
WINDOW = {"width": 1280, "height": 2000}


@pytest.fixture(scope="module")
def shipped() -> Iterator[Demo]:
    with running_demo("port") as demo:
        yield demo


@pytest.fixture
def root(shipped: Demo) -> str:
    return f"http://localhost:{shipped.tensorboard_port + 10000}/"


def signed_in(visit: Visit, demo: Demo, name: str) -> Visitor:
    visitor: Visitor = visit(site=demo.site, viewport=WINDOW)
    fill_in_login(visitor.open("/login/"), name)
    return visitor


def test_the_link_leads_to_a_root_of_its_own_and_a_bookmark_to_it_again(
    visit: Visit, shipped: Demo, root: str
) -> None:
    carol = signed_in(visit, shipped, "carol")
    page = carol.open("/alice/vision/")
    page.get_by_role("link", name="TensorBoard").click()
    see_the_charts(page)
    assert page.url.startswith(root)
    page.reload()
    see_the_charts(page)
    page.go_back()
    expect(page).to_have_url(f"{shipped.site}/alice/vision/")
    page.goto(root)
    see_the_charts(page)


def test_who_may_not_see_the_project_gets_nothing_there(
    visit: Visit, shipped: Demo, root: str
) -> None:
    bob = signed_in(visit, shipped, "bob")
    bob.expects(r"\b404\b", r"\b403\b")
    page = bob.open(f"/alice/vision/?port={shipped.tensorboard_port}")
    assert page.url.startswith(shipped.site)
    refused = page.goto(root)
    assert refused is not None
    assert refused.status == 403
    expect(page.get_by_role("main")).to_contain_text("Open it from the project's page.")
