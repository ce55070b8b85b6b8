"""JupyterLab and Notebook 7: a token login, assets and an API at root-absolute URLs, kernels."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, Response, expect

from tests.browser.chromium import PATIENCE_MS
from tests.support.waiting import until

from .service import START_SECONDS, Guide, Running, Service
from .tour import Tour

THE_TOKEN_IS_PRINTED = (
    "Put the token into the address as the service prints it, or open the address without it and "
    "paste the token into the form."
)
THE_TOKEN_GUARDS = (
    "It listens on 127.0.0.1, and asks for its token: leave that switched on, since all users of "
    "the machine can connect to 127.0.0.1."
)
#: Whether a response is the one that is awaited.
Event = Callable[[Response], bool]
TOKEN_IN_THE_LOG = re.compile(r"\?token=([0-9a-f]+)")


def token(running: Running) -> str:
    """The one that it printed."""
    found = until(
        lambda: TOKEN_IN_THE_LOG.findall(running.server.output()), "a token", START_SECONDS
    )
    return str(found[0])


def run_a_cell(notebook: Locator, code: str, output: str) -> None:
    """In the notebook's last cell."""
    cell = notebook.locator(".jp-Cell.jp-CodeCell .cm-content").last
    until(lambda: is_typed(cell, code), "the code is in the cell", PATIENCE_MS / 1000)
    cell.press("Shift+Enter")
    see_output(notebook, output)


def is_typed(cell: Locator, code: str) -> bool:
    """Type the code. A notebook that has just opened may take the focus away meanwhile."""
    cell.click()
    cell.page.keyboard.press("Control+a")
    cell.page.keyboard.insert_text(code)
    return cell.inner_text().strip() == code


def see_output(notebook: Locator, output: str) -> None:
    expect(notebook.locator(".jp-OutputArea-output", has_text=output).first).to_be_visible()


def save(page: Page, *, first: bool = False) -> str:
    """The notebook's name, once the service has it. JupyterLab asks for one the first time, and
    gets the one that it proposes: it would else list the folder while it renames a file in it, and
    its server answers 404 or 500 if that file is gone in between."""
    with page.expect_response(lambda answer: is_put(answer, "/api/contents/")) as saved:
        page.get_by_role("button", name="Save and create checkpoint").click()
        if first:
            page.get_by_role("button", name="Rename and Save").click()
    assert saved.value.ok
    return str(saved.value.json()["name"])


def is_put(answer: Response, path: str) -> bool:
    return answer.request.method == "PUT" and path in answer.url


def is_a_listing(answer: Response) -> bool:
    """Of the folder, which follows each save."""
    return answer.request.method == "GET" and "/api/contents?content=1" in answer.url


def is_a_look(answer: Response) -> bool:
    """At whether the notebook exists."""
    return ".ipynb?content=0&hash=0" in answer.url


def is_stored(answer: Response) -> bool:
    """What is open, which JupyterLab opens again the next time."""
    return is_put(answer, "/lab/api/workspaces/")


def last_of(*events: Event) -> Event:
    """The last event of several that follow each other."""
    awaited = list(events)

    def is_last(answer: Response) -> bool:
        if awaited and awaited[0](answer):
            del awaited[0]
            return not awaited
        return False

    return is_last


# --- JupyterLab


def use_lab(tour: Tour) -> None:
    page = sign_in(tour)
    notebook = new_notebook(page)
    run_a_cell(notebook, "print(6 * 7)", "42")
    run_a_cell(notebook, "import os; print('pid', os.getpid() > 1)", "pid True")
    notebook = open_by_its_address(tour, page, save(page, first=True))
    see_output(notebook, "42")

    reload(tour, page)
    see_output(notebook, "42")
    wait_for_its_kernel(notebook)
    run_a_cell(notebook, "print(6 * 9)", "54")
    with page.expect_response(is_a_listing):  # see `save`
        save(page)
    name = f"bread-{tour.address.label}.ipynb"
    rename(page, name)
    tour.stays(page, f"lab/tree/{name}")


def open_by_its_address(tour: Tour, page: Page, name: str) -> Locator:
    """By itself the address follows what is opened only once JupyterLab has stored what was open
    before, and on a busy machine that is late, or never."""
    page.goto(f"{tour.base}lab/tree/{name}")
    build_nothing(page)
    tour.stays(page, f"lab/tree/{name}")
    notebook = page.locator(".jp-NotebookPanel:visible")
    wait_for_its_kernel(notebook)
    return notebook


def reload(tour: Tour, page: Page) -> None:
    """The page, which comes back at its address, and then opens what the address names, though it
    is open already: a notebook that is renamed meanwhile is not found, and the old address stays.
    Once JupyterLab has stored what is open, the address follows."""
    path = page.url.removeprefix(tour.base)
    opening = last_of(is_stored, is_a_look, is_a_look, is_a_listing, is_a_look)
    with page.expect_response(opening):
        page.reload()
        build_nothing(page)
    tour.stays(page, path)


def rename(page: Page, name: str) -> None:
    page.get_by_role("menuitem", name="File", exact=True).click()
    page.get_by_role("menuitem", name="Rename Notebook…").click()
    page.locator("dialog input").fill(name)
    page.locator("dialog input").press("Enter")
    tabs = page.get_by_role("main").get_by_role("tab", name=name, selected=True)
    expect(tabs).to_be_visible()


def sign_in(tour: Tour) -> Page:
    page = tour.open()
    page.locator("#password_input").fill(token(tour.running))
    page.get_by_role("button", name="Log in", exact=True).click()
    tour.stays(page, "lab")
    build_nothing(page)
    return page


def build_nothing(page: Page) -> None:
    """Dash, which shares the environment, has an extension that JupyterLab offers to build, each
    time that it is loaded."""
    page.locator("dialog", has_text="Build Recommended").get_by_text("Cancel").click()


def new_notebook(page: Page) -> Locator:
    """By a launcher of its own: a second visit finds the tabs of the first one open again."""
    page.get_by_role("button", name="New Launcher (").click()
    page.locator(".jp-LauncherCard[data-category=Notebook]:visible").first.click()
    untitled = page.get_by_role("main").get_by_role("tab", name="Untitled", selected=True)
    expect(untitled).to_be_visible()
    notebook = page.locator(".jp-NotebookPanel:visible")
    wait_for_its_kernel(notebook)
    return notebook


def wait_for_its_kernel(notebook: Locator) -> None:
    """What is run before is lost. The status bar is that of the notebook with the focus, which
    JupyterLab may give to something else while it opens."""
    idle = notebook.page.get_by_text("Python 3 (ipykernel) | Idle")

    def seen() -> bool:
        notebook.locator(".jp-Cell.jp-CodeCell .cm-content").last.click()
        return idle.is_visible()

    until(seen, "the kernel is idle", PATIENCE_MS / 1000)


LAB = Service(
    name="jupyterlab",
    title="JupyterLab",
    command="jupyter lab --port={port} --ip=127.0.0.1 --no-browser",
    port=15888,
    use=use_lab,
    package="jupyterlab",
    options_of_root=("--allow-root",),
    expected=(
        # It opens what the visit before had open, and then renamed.
        r"\b404\b.*/api/contents/Untitled\d*\.ipynb\?content=0\b",
        # It lists the checkpoints of a notebook that it is renaming; the server finds the file, and
        # no longer has it when it asks for its time (jupyter_server, AsyncFileCheckpoints).
        r"\b500\b.*/api/contents/Untitled\d*\.ipynb/checkpoints\b",
        # It lists the folder every ten seconds, maybe while a notebook in it is renamed.
        r"\b(404|500)\b.*/api/contents\?content=1\b",
        r"^exception: Unhandled error$",
        # Its list of cells was disposed of while it was drawn; seen on a busy machine only.
        r"^exception: Cannot read properties of null \(reading 'observe'\)$",
    ),
    guide=Guide(
        query="token=...",
        opened=THE_TOKEN_IS_PRINTED,
        tried=(
            "the login by the token",
            "a notebook made, renamed, saved, and opened again by a reload",
            "its cells executed by the kernel, before and after the reload",
            "the address bar, which stays below the service's own address",
        ),
        loopback=THE_TOKEN_GUARDS,
    ),
)

# --- Notebook 7


def use_notebook(tour: Tour) -> None:
    page = tour.open(query=f"token={token(tour.running)}")
    tour.stays(page, "tree")
    page.get_by_text("New", exact=True).first.click()
    with page.context.expect_page() as opened:
        page.get_by_role("menuitem", name="Python 3").click()
    edited = opened.value
    tour.stays(edited, "notebooks/")
    # Notebook asks for the kernel, though it was chosen, if its list of kernels comes late.
    asks = edited.locator("dialog", has_text="Select Kernel")
    edited.add_locator_handler(
        asks, lambda: asks.get_by_role("button", name="Select Kernel").click()
    )
    notebook = edited.locator(".jp-NotebookPanel:visible")
    see_its_idle_kernel(notebook)
    run_a_cell(notebook, "print(6 * 7)", "42")
    save(edited)
    edited.reload()
    see_output(notebook, "42")
    see_its_idle_kernel(notebook)
    run_a_cell(notebook, "print(6 * 9)", "54")
    tour.stays(edited, "notebooks/")
    expect(
        page.get_by_role("link", name="Untitled").or_(page.get_by_text("Untitled"))
    ).not_to_have_count(0)


def see_its_idle_kernel(notebook: Locator) -> None:
    """What is run before is lost."""
    expect(notebook.get_by_text("Python 3 (ipykernel)")).to_be_visible()
    expect(notebook.locator("[data-status=idle]")).to_be_visible()


NOTEBOOK = Service(
    name="notebook",
    title="Jupyter Notebook",
    command="jupyter notebook --port={port} --ip=127.0.0.1 --no-browser",
    port=15888,
    use=use_notebook,
    package="notebook",
    expected=(
        # Of Notebook itself: it asks for a setting's schema before it is there, and leaves a page.
        r"^exception: Cannot read properties of undefined \(reading 'schema'\)$",
        r"^exception: Disposed$",
        # Of its tree page beside an extension of JupyterLab, which Panel brings along.
        r"^console: Cannot convert undefined or null to object \(.*/notebook_core\.",
    ),
    options_of_root=("--allow-root",),
    guide=Guide(
        query="token=...",
        opened=THE_TOKEN_IS_PRINTED,
        tried=(
            "the address with the token in it",
            "a notebook made from the list of files, which opens in a tab of its own",
            "its cells executed by the kernel, saved, and there again after a reload",
            "the address bar of both tabs, which stays below the service's own address",
        ),
        loopback=THE_TOKEN_GUARDS,
    ),
)
