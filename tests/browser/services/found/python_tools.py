"""Tools that one has on a port while working: monitors, documentation, load, experiments."""

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

# --- Flower

FLOWER = Service(
    name="flower",
    title="Flower",
    command="celery -A tasks flower --port={port} --address=127.0.0.1",
    port=15061,
    environment_of="flower",
    use=Steps(
        first="text=Online workers",
        click="role=link[name='Tasks']",
        then="role=columnheader[name=/Received/]",
        at="tasks",
        deep="broker",
        found="role=columnheader[name=/Consumers/]",
    ),
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

# --- Aim

AIM = Service(
    name="aim",
    title="Aim",
    command="aim up --port {port}",
    port=15065,
    environment_of="aim",
    before="sh -c 'aim init --yes && python3 log.py'",
    elsewhere=(
        FONTS,
        r"https://cdn\.jsdelivr\.net/pyodide/",
        r"https://api\.github\.com/repos/aimhubio/",
    ),
    expected=("loadPyodide", "exception: Failed to fetch"),
    use=Steps(
        first="text=Overview",
        click="role=link[name='Runs']",
        then="text=baking",
        at="runs",
        deep="runs",
        found="text=baking",
    ),
)

# --- Kedro-Viz

KEDRO_VIZ = Service(
    name="kedro_viz",
    title="Kedro-Viz",
    command="kedro viz run --no-browser --port {port}",
    port=15066,
    environment_of="kedro_viz",
    prepare=lambda folder: (folder / "conf" / "local").mkdir(parents=True),
    elsewhere=(FONTS,),
    use=Steps(first="text=knead"),
)

# --- pgAdmin


def sign_in(tour: Tour, page: Page) -> None:
    page.locator("input[name=email]").fill("carol@example.com")
    page.locator("input[name=password]").fill("carol-demo")
    page.get_by_role("button", name="Login").click()
    see(page, "text=Object Explorer")
    tour.stays(page, "browser/")


PGADMIN = Service(
    name="pgadmin",
    title="pgAdmin",
    command="pgadmin4",
    port=15067,
    environment_of="pgadmin",
    environment={
        "PGADMIN_DATA": "{folder}",
        "PGADMIN_PORT": "{port}",
        "PGADMIN_SETUP_EMAIL": "carol@example.com",
        "PGADMIN_SETUP_PASSWORD": "carol-demo",
    },
    use=Steps(
        first="input[name=email]",
        use=(sign_in,),
        kept="text=Object Explorer",
        deep="browser/",
        found="text=Object Explorer",
    ),
)

PYTHON_TOOLS = (GLANCES, FLOWER, DASK, LOCUST, MKDOCS, SPHINX, AIM, KEDRO_VIZ, PGADMIN)
