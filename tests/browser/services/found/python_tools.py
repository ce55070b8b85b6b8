"""Tools that one has on a port while working: monitors, documentation, load."""

from __future__ import annotations

from playwright.sync_api import Page

from ..service import Service
from ..tour import Tour, fetched
from .steps import Steps, see

FONTS = r"https://fonts\.(googleapis|gstatic)\.com"

# --- Glances


def ask_for_the_load(tour: Tour, page: Page) -> None:
    assert "min5" in fetched(page, f"{tour.base}api/4/load")


GLANCES = Service(
    name="glances",
    title="Glances",
    command="glances -w --port {port} --bind 127.0.0.1",
    port=15060,
    environment_of="glances",
    use=Steps(first="text=/CPU/", use=(ask_for_the_load,)),
)

# --- Dask


DASK = Service(
    name="dask",
    title="Dask's dashboard",
    command="python3 cluster.py",
    port=15047,
    environment_of="dask",
    elsewhere=(r"https://cdnjs\.cloudflare\.com/ajax/libs/bulma/",),
    use=Steps(
        path="status",
        first="role=link[name='Workers']",
        socket="/status/ws",
        click="role=link[name='Info']",
        then="role=link[name='Exceptions']",
        at="info/main/workers.html",
        deep="workers",
        found="role=link[name='Tasks']",
    ),
)

# --- Locust


def start_a_swarm(tour: Tour, page: Page) -> None:
    page.get_by_role("button", name="Start").or_(page.get_by_role("button", name="New")).click()
    if page.get_by_role("button", name="Start").is_visible():
        page.get_by_role("button", name="Start").click()
    see(page, "role=cell[name='a loaf']")


LOCUST = Service(
    name="locust",
    title="Locust",
    command="locust --web-host 127.0.0.1 --web-port {port}",
    port=15062,
    environment_of="locust",
    use=Steps(first="text=/users/i", use=(start_a_swarm,), kept="role=cell[name='a loaf']"),
)

# --- MkDocs


def edit_the_orders(tour: Tour, page: Page) -> None:
    """The page reloads by itself once its file has changed."""
    orders = tour.open("orders/")
    see(orders, "text=Three of rye.")
    file = tour.running.folder / "docs" / "orders.md"
    text = file.read_text("utf-8")
    file.write_text(f"{text}\nOne more, {tour.address.label}.\n", "utf-8")
    see(orders, f"text=One more, {tour.address.label}.")
    tour.stays(orders, "orders/")


def search(tour: Tour, page: Page) -> None:
    page.locator("input[data-md-component=search-query]").click()
    page.keyboard.type("rye")
    see(page, ".md-search-result__item:has-text('orders')")


MKDOCS = Service(
    name="mkdocs",
    title="MkDocs",
    command="mkdocs serve --dev-addr localhost:{port}",
    port=15063,
    environment_of="documents",
    elsewhere=(FONTS,),
    use=Steps(
        first="role=heading[name='The bakery']",
        use=(search, edit_the_orders),
        click="role=link[name='the orders']",
        then="text=Three of rye.",
        at="orders/",
        deep="orders/",
        found="text=Three of rye.",
    ),
)

# --- Sphinx


SPHINX = Service(
    name="sphinx",
    title="sphinx-autobuild",
    command="sphinx-autobuild . _build --port {port}",
    port=15064,
    environment_of="documents",
    # Its pages name the machine that it runs on, so they reload by themselves there only.
    elsewhere=(r"//127\.0\.0\.1:\d+/websocket-reload",),
    use=Steps(
        first="role=heading[name=/The bakery/]",
        click="role=link[name='All orders']",
        then="text=Three of rye.",
        at="orders.html",
        deep="orders.html",
        found="text=Three of rye.",
    ),
)

PYTHON_TOOLS = (GLANCES, DASK, LOCUST, MKDOCS, SPHINX)
