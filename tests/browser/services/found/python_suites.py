"""Large applications of Python with a sign-in or a database of their own."""

from __future__ import annotations

import json

from playwright.sync_api import Page

from ..service import Service, UnderPath
from ..tour import Tour
from .steps import Steps, see

# --- Airflow


def sign_in_to_airflow(tour: Tour) -> None:
    """With the password that it has made for itself."""
    file = tour.running.folder / "simple_auth_manager_passwords.json.generated"
    page = tour.open()
    page.locator("[name=username]").fill("admin")
    page.locator("[name=password]").fill(json.loads(file.read_text("utf-8"))["admin"])
    page.get_by_role("button", name="Sign in").click()
    see(page, "text=Welcome")
    tour.stays(page)
    page.close()


def add_a_variable(tour: Tour, page: Page) -> None:
    name = f"loaves-{tour.address.label}"
    variables = tour.open("variables")
    variables.get_by_role("button", name="Add Variable").click()
    variables.locator("[name=key]").fill(name)
    variables.locator("[name=value]").fill("3")
    variables.get_by_role("button", name="Save").click()
    see(variables, f"role=cell[name='{name}']")
    tour.stays(variables, "variables")
    variables.close()


AIRFLOW = Service(
    name="airflow",
    title="Airflow 3",
    command="airflow api-server --port {port}",
    before='sh -c "airflow db migrate && airflow dags reserialize"',
    port=18080,
    environment_of="airflow",
    environment={"AIRFLOW_HOME": "{folder}", "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
    expected=(r"\b401\b.*/ui/config\b",),  # until somebody has signed in
    under_path=UnderPath(
        environment={"AIRFLOW__API__BASE_URL": "http://localhost:{port}{prefix}"}, strip=False
    ),
    use=Steps(
        prepared=sign_in_to_airflow,
        first="text=Welcome",
        use=(add_a_variable,),
        click="role=link[name='Dags']",
        then="role=link[name='bakery']",
        at="dags",
        deep="dags/bakery",
        found="text=Latest Dag Version",
    ),
)

PYTHON_SUITES = (AIRFLOW,)
