"""Dashboards of Python, each with a router of its own: Dash with pages."""

from __future__ import annotations

from playwright.sync_api import Page

from ..service import ROOTS, Service, UnderPath
from ..tour import Tour
from .steps import Steps, see

# --- Dash


def choose(tour: Tour, page: Page) -> None:
    page.locator("#product").click()
    page.get_by_text("coffee").first.click()
    see(page, "text=You chose coffee")


DASH_PAGES = Service(
    name="dash_pages",
    title="Dash with pages",
    command="python3 app.py",
    port=15050,
    environment_of="dash",
    forms=ROOTS,
    why="its server compares the browser's pathname with its own prefix",
    sign="text=404 - Page not found",
    under_path=UnderPath(
        environment={
            "DASH_REQUESTS_PATHNAME_PREFIX": "{prefix}/",
            "DASH_ROUTES_PATHNAME_PREFIX": "/",
        }
    ),
    use=Steps(
        first="text=You chose tea",
        use=(choose,),
        click="role=link[name='Orders']",
        then="text=All orders",
        at="orders",
        deep="orders",
        found="text=All orders",
        upload_at="orders",
        upload="input[type=file]",
        uploaded="text=Got dot.png",
    ),
)

PYTHON_DASHBOARDS = (DASH_PAGES,)
