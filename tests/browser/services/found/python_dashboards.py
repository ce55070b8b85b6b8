"""Dashboards of Python, each with a router of its own: Dash with pages, Mesop, Taipy, Evidently."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from ..service import ROOTS, Service, UnderPath
from ..tour import Tour
from .steps import Steps, see

GOOGLE_FONTS = r"https://fonts\.googleapis\.com/"

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
    recognised=True,
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

# --- Mesop


def count(tour: Tour, page: Page) -> None:
    page.get_by_role("button", name="Count").click()
    see(page, "text=1 clicks")


MESOP = Service(
    name="mesop",
    title="Mesop",
    command="mesop main.py --port={port} --prod=true",
    port=32123,
    environment_of="mesop",
    forms=ROOTS,
    recognised=True,
    why="its page sends location.pathname to its server, which finds no such page",
    under_path=UnderPath(environment={"MESOP_BASE_URL_PATH": "{prefix}"}, strip=False),
    elsewhere=(GOOGLE_FONTS,),
    use=Steps(
        first="text=0 clicks",
        use=(count,),
        click="role=button[name='Orders']",
        then="text=All orders",
        at="orders",
        deep="orders",
        found="text=All orders",
        upload_at="orders",
        upload="input[type=file]",
        uploaded="text=Got dot.png",
    ),
)

# --- Taipy

TAIPY = Service(
    name="taipy",
    title="Taipy",
    command="python3 app.py",
    port=15051,
    environment_of="taipy",
    elsewhere=(
        GOOGLE_FONTS,
        r"https://cdnjs\.cloudflare\.com/",
        r"https://raw\.githubusercontent\.com/Avaiga/",
    ),
    use=Steps(
        first="text=0 clicks",
        socket="/socket.io/",
        use=(count,),
        kept="text=clicks",
        click="role=button[name='Orders']",
        then="text=All orders",
        at="orders",
        deep="orders",
        found="text=All orders",
        upload_at="orders",
        upload="input[type=file]",
        uploaded="text=Got dot.png",
    ),
)

# --- Evidently

MAKE_A_WORKSPACE = """
import pandas as pd
from evidently import Report
from evidently.presets import DataSummaryPreset
from evidently.ui.workspace import Workspace

workspace = Workspace.create("workspace")
project = workspace.create_project("Bakery")
project.save()
run = Report([DataSummaryPreset()]).run(pd.DataFrame({"rise": [1, 4, 9]}), None)
workspace.add_run(project.id, run)
"""


def open_the_reports(tour: Tour, page: Page) -> None:
    """By the API, as its page asks it, and then by the address of the one project."""
    [project] = page.evaluate("fetch('/api/projects').then(answer => answer.json())")
    reports = tour.open(f"projects/{project['id']}/reports")
    see(reports, "role=link[name='View']")
    tour.stays(reports)
    reports.close()


def write_the_maker(folder: Path) -> None:
    (folder / "make.py").write_text(MAKE_A_WORKSPACE, "utf-8")


EVIDENTLY = Service(
    name="evidently",
    title="Evidently",
    command="evidently ui --workspace workspace --port {port}",
    port=18000,
    environment_of="evidently",
    prepare=write_the_maker,
    before="python3 make.py",
    forms=ROOTS,
    recognised=True,
    why="its router and its API begin at the root, and no base path can be set",
    use=Steps(
        first="role=link[name='Bakery']",
        use=(open_the_reports,),
        click="role=link[name='Bakery']",
        then="role=tab[name='Reports']",
        at="projects/",
    ),
)

PYTHON_DASHBOARDS = (DASH_PAGES, MESOP, TAIPY, EVIDENTLY)
