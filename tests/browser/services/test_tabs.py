"""Several services of one project in tabs of one browser, reloaded in turns: each stays itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.tensorboard import wait_for_the_logs

from . import jupyter
from .conftest import Begin
from .dashboards import STREAMLIT, click_the_button
from .jupyter import LAB
from .service import FORMS, Running, Service, running_service
from .tour import Tour
from .viewers import TENSORBOARD

pytestmark = pytest.mark.services


@contextlib.contextmanager
def both(
    tmp_path_factory: pytest.TempPathFactory, first: Service, second: Service
) -> Iterator[tuple[Running, Running]]:
    folders = [tmp_path_factory.mktemp(service.name) for service in (first, second)]
    with (
        running_service(first, folders[0]) as one,
        running_service(second, folders[1]) as other,
    ):
        yield one, other


@pytest.fixture(scope="module")
def tensorboard_and_lab(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Running, Running]]:
    with both(tmp_path_factory, TENSORBOARD, LAB) as running:
        yield running


@pytest.mark.parametrize("form", FORMS)
def test_tensorboard_and_jupyterlab(
    tensorboard_and_lab: tuple[Running, Running], form: str, begin_tour: Begin
) -> None:
    tensorboard, lab = (begin_tour(running, form) for running in tensorboard_and_lab)
    wait_for_the_logs(tensorboard.running.port)
    charts = tensorboard.open()
    edited = jupyter.sign_in(lab)
    notebook = jupyter.new_notebook(edited)
    jupyter.run_a_cell(notebook, "print(6 * 7)", "42")
    notebook = jupyter.open_by_its_address(lab, edited, jupyter.save(edited, first=True))
    reload_the_charts(tensorboard, charts)
    jupyter.wait_for_its_kernel(notebook)
    jupyter.run_a_cell(notebook, f"print('{form}', 1)", f"{form} 1")
    jupyter.save(edited)
    jupyter.reload(lab, edited)
    jupyter.see_output(notebook, f"{form} 1")
    reload_the_charts(tensorboard, charts)
    jupyter.wait_for_its_kernel(notebook)
    jupyter.run_a_cell(notebook, f"print('{form}', 2)", f"{form} 2")


def reload_the_charts(tour: Tour, page: Page) -> None:
    see_some_charts(page)
    page.reload()
    see_some_charts(page)
    tour.stays(page)


def see_some_charts(page: Page) -> None:
    expect(page).to_have_title("TensorBoard")
    expect(page.locator("scalar-card line-chart")).to_have_count(2)


def name_it_apart(folder: Path) -> None:
    app = folder / "app.py"
    app.write_text(app.read_text("utf-8").replace("Counting", "Adding up"), "utf-8")


@pytest.fixture(scope="module")
def two_streamlits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Running]]:
    with both(tmp_path_factory, STREAMLIT, replace(STREAMLIT, prepare=name_it_apart)) as running:
        yield running


@pytest.mark.parametrize("form", FORMS)
def test_two_streamlit_apps(
    two_streamlits: tuple[Running, Running], form: str, begin_tour: Begin
) -> None:
    tours = [begin_tour(running, form) for running in two_streamlits]
    tabs = list(zip(tours, [tour.open() for tour in tours], ("Counting", "Adding up"), strict=True))
    for clicks in (1, 2, 1):
        for tour, page, title in tabs:
            expect(page.get_by_role("heading", name=title)).to_be_visible()
            click_the_button(page, clicks)
            tour.stays(page)
            if clicks == 2:
                page.reload()  # which begins a session of its own
