"""What is done with the small apps of these tests: all have a button, and a text to be edited."""

from __future__ import annotations

import re

from playwright.sync_api import Page

from tests.browser.chromium import PATIENCE_MS
from tests.support.waiting import until

from ..tour import Tour
from .steps import Steps, Use, see

CLICKS_MS = 500.0  # from one to the next
BAKERY = "h1:text-is('Bakery')"
AN_ORDER = "h1:text-is('An order')"
NO_SUCH_PAGE = "h1:text-is('No such page')"


def load(tour: Tour, page: Page) -> None:
    """Two loaves, from an API at a root-absolute path.

    A button that the server wrote does nothing until the page's scripts have taken it over.
    """
    loaf = page.locator("li:text-is('spelt')").first

    def has_come() -> bool:
        page.locator("button:text-is('Load')").click()
        page.wait_for_timeout(CLICKS_MS)
        return loaf.is_visible()

    until(has_come, "a loaf", PATIENCE_MS / 1000)


def edits(file: str) -> Use:
    """As a developer does, with the page open: a development server has to tell the page."""

    def edit(tour: Tour, page: Page) -> None:
        path = tour.running.folder / file
        baked = f"Baked: {tour.address.label}"
        path.write_text(re.sub(r"Baked: [\w-]+", baked, path.read_text("utf-8")), "utf-8")
        see(page, f"text={baked}")

    return edit


def bakery(edited: str = "", socket: str = "") -> Steps:
    """The visit of an app with two pages, of which one is found by the router.

    edited: a file of the first page, where a server of developers is visited. socket: its
    WebSocket.
    """
    return Steps(
        first=BAKERY,
        socket=socket,
        use=(load, edits(edited)) if edited else (load,),
        click="text=Order 7",
        then=AN_ORDER,
        at="orders/7",
        deep="orders/7",
        found=AN_ORDER,
    )
