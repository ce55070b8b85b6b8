"""Services that show what others wrote: TensorBoard, MLflow, folders of files."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Page, expect

from examples.sample_logs import write_sample_logs
from tests.browser.tensorboard import see_the_charts, see_the_scalars_tab, wait_for_the_logs

from .hostapp import TOKEN
from .service import QUERY, ROOTS, Guide, Service, programs
from .tour import DIRECT, Tour

# --- TensorBoard


def use_tensorboard(tour: Tour) -> None:
    wait_for_the_logs(tour.running.port)
    page = tour.open()
    page.set_viewport_size({"width": 1280, "height": 2000})  # it draws the charts that are in sight
    see_the_charts(page)
    page.reload()
    see_the_charts(page)
    see_the_scalars_tab(page)


TENSORBOARD = Service(
    name="tensorboard",
    title="TensorBoard",
    command="tensorboard --logdir=./logs --port={port} --bind_all",
    port=16006,
    use=use_tensorboard,
    prepare=lambda folder: write_sample_logs(folder / "logs"),
    guide=Guide(
        tried=(
            "the Time Series and Scalars tabs, with a line for every run in the chart of every tag",
            "a reload",
        ),
        loopback=(
            "Leave out `--bind_all`: TensorBoard listens on 127.0.0.1 then. It has no login, so "
            "other users of the machine can still read it there."
        ),
    ),
)

# --- Python's own HTTP server


def use_http_server(tour: Tour) -> None:
    page = tour.open()
    expect(page.get_by_role("heading")).to_have_text("Directory listing for /")
    page.get_by_role("link", name="folder/").click()
    expect(page.get_by_role("heading")).to_have_text("Directory listing for /folder/")
    tour.stays(page, "folder/")
    page.get_by_role("link", name="report.html").click()
    expect(page.get_by_role("heading", name="Report")).to_have_css("color", "rgb(1, 2, 3)")
    page.reload()
    page.get_by_role("link", name="the text").click()
    expect(page.get_by_text("plain text of the folder")).to_be_visible()
    tour.stays(page, "index.txt")

    page = tour.open("folder/report.html")  # an address below the port, as a page may link to
    expect(page.get_by_role("heading", name="Report")).to_have_css("color", "rgb(1, 2, 3)")
    with page.expect_download() as download:
        page.evaluate(
            """() => Object.assign(document.createElement("a"),
                { href: "../index.txt", download: "text.txt" }).click()"""
        )
    assert download.value.path().read_text() == "plain text of the folder\n"


HTTP_SERVER = Service(
    name="http-server",
    title="Python HTTP server",
    command="python3 -m http.server {port}",
    port=15000,
    use=use_http_server,
    guide=Guide(
        tried=(
            "listings of folders, and of folders in them",
            "a page with a stylesheet, and a reload of it",
            "a file opened, and one downloaded",
        ),
        loopback=(
            "Add `--bind 127.0.0.1`; by default everybody on the network can read the folder. It "
            "has no login, so other users of the machine can read it in either case."
        ),
    ),
)

# --- MLflow

LOG_A_RUN = """
import sys

import mlflow

mlflow.set_experiment("baking")
with mlflow.start_run(run_name=sys.argv[1]):
    mlflow.log_param("hydration", 0.8)
    for step in range(5):
        mlflow.log_metric("rise", step * step, step=step)
    mlflow.log_text("crumb: open", "notes.txt")
"""


def use_mlflow(tour: Tour) -> None:
    # Of programs, only browsers are sure to find the address of 16006.localhost, and are sent to a
    # port of the site, where somebody listens only then.
    form = QUERY if tour.address.form in ROOTS else tour.address.form
    address = replace(tour.address, form=form)
    name = f"sourdough-{address.label}"
    if not (tour.running.folder / name).exists():
        log_a_run(tour, address.base, name)
        (tour.running.folder / name).touch()
    page = tour.open()
    page.get_by_text("Model training").first.click()
    page.get_by_role("link", name="baking").first.click()
    page.get_by_role("link", name=name).first.click()
    see_the_run(page, name)
    page.reload()
    see_the_run(page, name)
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("notes.txt").first.click()
    expect(page.get_by_text("crumb: open")).to_be_visible()
    tour.stays(page, "#/experiments/")


def log_a_run(tour: Tour, address: str, name: str) -> None:
    """With MLflow's own client, which has to come past the authorizer too."""
    authority = tour.site.authority
    env = {
        **os.environ,
        **({"REQUESTS_CA_BUNDLE": str(authority)} if authority else {}),
        "HOME": str(tour.running.folder),
        "MLFLOW_TRACKING_URI": address.rstrip("/"),
        **({} if tour.address.form == DIRECT else {"MLFLOW_TRACKING_TOKEN": TOKEN}),
    }
    done = subprocess.run(
        [Path(programs(tour.running.service), "python"), "-c", LOG_A_RUN, name],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def see_the_run(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(page.get_by_text("hydration")).to_be_visible()


MLFLOW = Service(
    name="mlflow",
    title="MLflow",
    command="mlflow ui --port={port} --host=127.0.0.1",
    port=15555,
    use=use_mlflow,
    package="mlflow",
    # Asked for on every page; there is no such thing without MLflow's own login.
    expected=(r"\b404\b.*/mlflow/users/current\b",),
    environment={"UVICORN_TIMEOUT_WORKER_HEALTHCHECK": "300"},
    guide=Guide(
        tried=(
            (
                "a run logged by MLflow's own client through the proxy: a parameter, a metric, "
                "an artifact"
            ),
            "the run found from the list of experiments, and its page reloaded",
            "its artifact shown",
        ),
        opened=(
            "For programs: `MLFLOW_TRACKING_URI=http://localhost:8000/alice/vision/proxy/15555`. "
            "The client has to pass your authorizer; the one that was tried takes the bearer "
            "token that MLflow sends if `MLFLOW_TRACKING_TOKEN` is set."
        ),
        loopback=(
            "It listens on 127.0.0.1 already. It has no login, so other users of the machine can "
            "still use it there."
        ),
        limits=(
            (
                "Programs use the path form: outside of browsers many systems do not know the "
                "address of `15555.localhost`."
            ),
            (
                "Its web server ends workers that do not answer for five seconds. A machine that "
                "is too busy while they start never gets it up; the tests give it more time by "
                "`UVICORN_TIMEOUT_WORKER_HEALTHCHECK=300` in its environment."
            ),
        ),
    ),
)
