"""What is done with the small apps of these tests: all have a button, and a text to be edited."""

from __future__ import annotations

import re

from playwright.sync_api import Page

from ..tour import Tour
from .steps import Use, see

BAKERY = "h1:text-is('Bakery')"
AN_ORDER = "h1:text-is('An order')"
NO_SUCH_PAGE = "h1:text-is('No such page')"


def load(tour: Tour, page: Page) -> None:
    """Two loaves, from an API at a root-absolute path."""
    page.locator("button:text-is('Load')").click()
    see(page, "li:text-is('spelt')")


def edits(file: str) -> Use:
    """As a developer does, with the page open: a development server has to tell the page."""

    def edit(tour: Tour, page: Page) -> None:
        path = tour.running.folder / file
        baked = f"Baked: {tour.address.label}"
        path.write_text(re.sub(r"Baked: [\w-]+", baked, path.read_text("utf-8")), "utf-8")
        see(page, f"text={baked}")

    return edit
