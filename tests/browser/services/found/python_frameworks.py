"""The same bakery on a dozen web frameworks: a page, an API, a form, and a WebSocket or events.

All its links, forms, scripts and addresses begin with `/`, as they do in apps that were written
without a thought for prefixes.
"""

from __future__ import annotations

from playwright.sync_api import Page

from ..service import Service
from ..tour import Tour
from .steps import Steps, see


def see_the_loaves(tour: Tour, page: Page) -> None:
    see(page, "li:text-is('rye')")


def be_told_something(tour: Tour, page: Page) -> None:
    see(page, "#live:has-text('told: ')")


def bake_a_loaf(tour: Tour, page: Page) -> None:
    name = f"loaf {tour.address.label}"
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Bake").click()
    see(page, f"li:text-is('{name}')")
    tour.stays(page)


BAKERY = Steps(
    first="role=heading[name='Bakery']",
    use=(see_the_loaves, be_told_something, bake_a_loaf),
    click="role=link[name='Orders']",
    then="role=heading[name='All orders']",
    at="orders",
    deep="orders",
    found="role=heading[name='All orders']",
)


def bakery(name: str, title: str, command: str) -> Service:
    return Service(
        name=name,
        title=title,
        command=command,
        port=15020,
        app="frameworks",
        environment_of="frameworks",
        use=BAKERY,
    )


PYTHON_FRAMEWORKS = (
    bakery("starlette", "Starlette", "uvicorn starlette_app:app --port {port}"),
    bakery("litestar", "Litestar", "litestar --app litestar_app:app run --port {port}"),
    bakery("aiohttp", "aiohttp", "python3 aiohttp_app.py"),
    bakery("tornado", "Tornado", "python3 tornado_app.py"),
    bakery("sanic", "Sanic", "sanic sanic_app:app --host=127.0.0.1 --port={port}"),
    bakery("quart", "Quart", "hypercorn quart_app:app --bind 127.0.0.1:{port}"),
    bakery("falcon", "Falcon", "uvicorn falcon_app:app --port {port}"),
    bakery("bottle", "Bottle", "python3 bottle_app.py"),
    bakery("cherrypy", "CherryPy", "python3 cherrypy_app.py"),
    bakery("pyramid", "Pyramid", "python3 pyramid_app.py"),
)
