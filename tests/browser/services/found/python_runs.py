"""Where runs of Python are seen and started: Optuna Dashboard, Dagster, Prefect, Ray."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Page, expect

from ..service import FORMS, HOST, QUERY, ROOTS, Service, UnderPath
from ..tour import Tour
from .steps import Steps, see

# --- Optuna Dashboard

MAKE_A_STUDY = """
import optuna

study = optuna.create_study(storage="sqlite:///loaves.db", study_name="loaves")
study.optimize(lambda trial: trial.suggest_float("hydration", 0, 1) ** 2, n_trials=5)
"""


def write_the_maker(folder: Path) -> None:
    (folder / "make.py").write_text(MAKE_A_STUDY, "utf-8")


def create_a_study(tour: Tour, page: Page) -> None:
    name = f"rolls-{tour.address.label}"
    page.get_by_role("button", name="Create", exact=True).click()
    page.get_by_label("Study name").fill(name)
    page.get_by_role("dialog").get_by_role("button", name="Create", exact=True).click()
    see(page, f"text={name}")


OPTUNA_DASHBOARD = Service(
    name="optuna_dashboard",
    title="Optuna Dashboard",
    command="optuna-dashboard sqlite:///loaves.db --port {port}",
    port=18080,
    environment_of="optuna",
    prepare=write_the_maker,
    before="python3 make.py",
    forms=ROOTS,
    recognised=True,
    why="its router and its API begin at the root, and no base path can be set",
    use=Steps(
        first="text=1. loaves",
        use=(create_a_study,),
        click="text=1. loaves",
        then="text=Hyperparameter Importance",
        at="dashboard/studies/1",
        deep="dashboard/studies/1/trials",
        found="text=Trial 0",
    ),
)

# --- Dagster


def skip_the_newsletter(tour: Tour) -> None:
    """A dialog that comes over whatever page is open, once."""
    tour.guest.context.on(
        "page",
        lambda page: page.add_locator_handler(
            page.get_by_role("button", name="Skip", exact=True), lambda skip: skip.click()
        ),
    )


def materialize(tour: Tour, page: Page) -> None:
    asset = tour.open("assets/dough")
    asset.locator("role=button[name=/Materialize/]").first.click()
    see(asset, "text=/Launched run|Run ID|View/")
    asset.close()


DAGSTER = Service(
    name="dagster",
    title="Dagster",
    command="dagster dev -f definitions.py -p {port}",
    port=13000,
    environment_of="dagster",
    elsewhere=(r"https://dagster\.io/oss-telemetry\.js",),
    under_path=UnderPath(
        command="dagster-webserver -f definitions.py -p {port} --path-prefix {prefix}",
        strip=False,
    ),
    use=Steps(
        first="role=link[name=/Lineage/]",
        path="overview/resources",
        prepared=skip_the_newsletter,
        socket="/graphql",
        use=(materialize,),
        click="role=link[name=/Catalog/]",
        then="role=link[name=/dough/]",
        at="assets",
        deep="assets/dough",
        found="text=Latest materialization",
    ),
)

# --- Prefect


def add_a_variable(tour: Tour, page: Page) -> None:
    name = f"loaves_{tour.address.label.replace('-', '_')}"
    page.get_by_role("link", name="Variables").click()
    page.get_by_role("button", name="Add Variable").first.click()
    page.get_by_label("Name").fill(name)
    page.locator(".cm-content").click()
    page.keyboard.type("3")
    page.get_by_role("dialog").get_by_role("button", name="Create").click()
    see(page, f"text={name}")


PREFECT = Service(
    name="prefect",
    title="Prefect 3",
    command="prefect server start --port {port}",
    port=14200,
    environment_of="prefect",
    forms=(),
    why="its page calls the API at 127.0.0.1:4200, whatever its port is; without a proxy too",
    sign="text=Unable to connect to Prefect server",
    elsewhere=(r"https://[a-z0-9-]+\.amplitude\.com/",),
    expected=("Amplitude Logger",),
    use=Steps(
        first="role=link[name='Variables']",
        use=(add_a_variable,),
        click="role=link[name='Work Pools']",
        then="role=button[name=/Create|Add/]",
        deep="variables",
        found="text=loaves_",
    ),
)
PREFECT_TOLD = replace(
    PREFECT,
    name="prefect_told",
    title="Prefect 3 with `PREFECT_UI_API_URL=/api`",
    environment={"PREFECT_UI_API_URL": "/api"},
    forms=FORMS,
    why="",
    sign="",
)

# --- Ray


def submit_a_job(tour: Tour, page: Page) -> None:
    """As a program does, since Ray refuses that to browsers, by the address that programs use."""
    form = QUERY if tour.address.form == HOST else tour.address.form
    answer = page.context.request.post(
        f"{replace(tour.address, form=form).base}api/jobs/",
        headers={"User-Agent": "python-requests"},
        data={"entrypoint": "echo forty-two"},
    )
    number = answer.json()["submission_id"]
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.get_by_role("row").filter(has_text=number)).to_contain_text("SUCCEEDED")
    page.get_by_role("link", name="Overview", exact=True).click()


RAY = Service(
    name="ray",
    title="Ray",
    # Its workers' ports are ours by default: from 10002 to 19999.
    command=(
        "ray start --head --block --dashboard-port={port}"
        " --min-worker-port 20100 --max-worker-port 20999"
    ),
    port=18265,
    environment_of="ray",
    expected=(
        r"\b(404|500|501)\b.*/api/(v0/platform_events|grafana_health|prometheus_health|serve/)",
    ),
    use=Steps(
        first="text=Cluster utilization",
        use=(submit_a_job,),
        click="role=link[name='Logs']",
        then="text=/dashboard|Node/",
        at="#/logs",
        deep="#/jobs",
        found="text=SUCCEEDED",
    ),
)

PYTHON_RUNS = (OPTUNA_DASHBOARD, DAGSTER, PREFECT, PREFECT_TOLD, RAY)
