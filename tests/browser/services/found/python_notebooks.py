"""Notebooks beside Jupyter's own two: marimo, nbclassic, Voila."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from ..jupyter import token
from ..service import Service
from ..tour import Tour
from .steps import Steps, see

# --- marimo


def square_seven(tour: Tour, page: Page) -> None:
    page.get_by_label("Number").fill("7")
    page.keyboard.press("Tab")
    see(page, "text=The square is 49")


MARIMO = Service(
    name="marimo",
    title="marimo",
    command="marimo run notebook.py --headless --port {port}",
    port=15070,
    environment_of="marimo",
    use=Steps(first="text=The square is 9", socket="/ws", use=(square_seven,)),
)

# --- nbclassic


def sign_in(tour: Tour, page: Page) -> None:
    page.locator("#password_input").fill(token(tour.running))
    page.get_by_role("button", name="Log in", exact=True).click()
    see(page, "#new-dropdown-button")
    tour.stays(page, "tree")


def run_a_cell(tour: Tour, page: Page) -> None:
    page.locator("#new-dropdown-button").click()
    with page.context.expect_page() as opened:
        page.locator("#kernel-python3 a").click()
    notebook = opened.value
    expect(notebook.locator("#kernel_indicator_icon")).to_have_class(re.compile("idle_icon"))
    notebook.locator(".CodeMirror").first.click()
    notebook.keyboard.insert_text("print(6 * 7)")
    notebook.keyboard.press("Shift+Enter")
    see(notebook, ".output_area:has-text('42')")
    tour.stays(notebook, "notebooks/Untitled")


NBCLASSIC = Service(
    name="nbclassic",
    title="nbclassic",
    command="jupyter nbclassic --no-browser --port={port}",
    port=15071,
    environment_of="notebooks",
    options_of_root=("--allow-root",),
    expected=(r"nbextensions/(voila|widgets)/",),  # of JupyterLab only
    use=Steps(
        first="#password_input",
        use=(sign_in, run_a_cell),
        kept="#new-dropdown-button",
        click="a[href='#running']",
        then="text=Currently running Jupyter processes",
        deep="tree",
        found="text=Untitled",
    ),
)

# --- Voila


def square_seven_by_a_kernel(tour: Tour, page: Page) -> None:
    page.locator("input[type=number]").fill("7")
    page.keyboard.press("Enter")
    see(page, "text=The square is 49")


VOILA = Service(
    name="voila",
    title="Voilà",
    command="voila --no-browser --port={port}",
    port=15072,
    environment_of="notebooks",
    elsewhere=(r"https://cdn\.jsdelivr\.net/npm/font-awesome",),
    use=Steps(
        path="voila/render/squares.ipynb",
        first="text=The square is 9",
        socket="/channels",
        use=(square_seven_by_a_kernel,),
        deep="voila/render/squares.ipynb",
        found="text=The square is 9",
    ),
)

PYTHON_NOTEBOOKS = (MARIMO, NBCLASSIC, VOILA)
