"""Tools that show and edit tables: Datasette, sqlite-web, Flask-Admin, Django's admin."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from playwright.sync_api import Page, expect

from ..service import Service
from ..tour import Tour, fetched
from .steps import Steps, see


def make_a_database(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "bread.db")) as database:
        database.execute("create table loaves (id integer primary key, name text, price real)")
        loaves = [("rye", 3.5), ("wheat", 3.0), ("spelt", 4.5)]
        database.executemany("insert into loaves (name, price) values (?, ?)", loaves)
        database.commit()


# --- Datasette


def ask_in_sql(tour: Tour, page: Page) -> None:
    page.locator(".CodeMirror, .cm-content").first.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("select upper(name) as loud from loaves")
    page.get_by_role("button", name="Run SQL").click()
    see(page, "text=SPELT")
    tour.stays(page, "bread")


def call_its_api(tour: Tour, page: Page) -> None:
    rows = fetched(page, f"{tour.base}bread/loaves.json?_shape=object")
    assert rows["1"] == {"id": 1, "name": "rye", "price": 3.5}


DATASETTE = Service(
    name="datasette",
    title="Datasette",
    command="datasette bread.db --port {port}",
    port=15030,
    environment_of="datasette",
    prepare=make_a_database,
    use=Steps(
        path="bread",
        first="role=link[name='loaves']",
        use=(call_its_api, ask_in_sql),
        kept="text=SPELT",
        click="role=link[name='home']",
        then="role=link[name='bread']",
        deep="bread/loaves",
        found="text=wheat",
    ),
)

# --- sqlite-web


def add_a_row(tour: Tour, page: Page) -> None:
    page.goto(f"{tour.base}loaves/insert/")
    page.locator("input[name=name], textarea[name=name]").fill(tour.address.label)
    page.locator("input[name=price], textarea[name=price]").fill("5")
    page.get_by_role("button", name="Insert").click()
    see(page, "text=Successfully inserted record")
    page.goto(f"{tour.base}loaves/content/")
    see(page, f"td:has-text('{tour.address.label}')")


SQLITE_WEB = Service(
    name="sqlite_web",
    title="sqlite-web",
    command="sqlite_web --port {port} --no-browser bread.db",
    port=15032,
    environment_of="sqlite_web",
    prepare=make_a_database,
    use=Steps(
        first="role=link[name='loaves']",
        use=(add_a_row,),
        click="role=link[name='Structure']",
        then="text=Columns",
        at="loaves/",
        deep="loaves/content/",
        found="td:has-text('spelt')",
    ),
)

# --- Flask-Admin


def create_a_loaf(tour: Tour, page: Page) -> None:
    name = f"loaf {tour.address.label}"
    page.get_by_role("link", name="Create").click()
    page.locator("input#name").fill(name)
    page.locator("input[type=submit]").first.click()
    see(page, "text=Record was successfully created.")
    see(page, f"text={name}")
    tour.stays(page, "admin/loaf/")


def edit_it_in_the_list(tour: Tour, page: Page) -> None:
    page.locator("a.editable", has_text=f"loaf {tour.address.label}").first.click()
    field = page.locator(".editableform input[type=text]")
    field.fill(f"sold {tour.address.label}")
    with page.expect_response(lambda answer: answer.request.method == "POST") as saved:
        field.press("Enter")
    assert saved.value.ok
    see(page, f"text=sold {tour.address.label}")


FLASK_ADMIN = Service(
    name="flask_admin",
    title="Flask-Admin",
    command="python3 app.py",
    port=15031,
    environment_of="flask_admin",
    use=Steps(
        path="admin/loaf/",
        first="role=link[name='Create']",
        use=(create_a_loaf, edit_it_in_the_list),
        kept="text=sold",
        click="role=link[name='Home']",
        then="text=Bakery",
        at="admin/",
        deep="admin/loaf/",
        found="text=sold",
    ),
)

# --- Django's admin


def sign_in(tour: Tour, page: Page) -> None:
    page.get_by_label("Username").fill("carol")
    page.get_by_label("Password").fill("carol-demo")
    page.get_by_role("button", name="Log in").click()
    see(page, "role=heading[name='Site administration']")
    tour.stays(page, "admin/")


def add_a_group(tour: Tour, page: Page) -> None:
    name = f"bakers {tour.address.label}"
    page.locator(".model-group .addlink").first.click()
    page.get_by_label("Name:").fill(name)
    page.get_by_role("button", name="Save", exact=True).click()
    see(page, "text=was added successfully")
    see(page, f"role=link[name='{name}']")
    tour.stays(page, "admin/auth/group/")


def log_out(tour: Tour, page: Page) -> None:
    page.get_by_role("button", name="Log out").click()
    see(page, "text=Logged out")
    tour.stays(page, "admin/logout/")
    page.get_by_role("link", name="Log in again").click()
    see(page, "role=button[name='Log in']")
    tour.stays(page, "admin/login/")
    sign_in(tour, page)


DJANGO_ADMIN = Service(
    name="django_admin",
    title="Django's admin",
    command="python3 manage.py runserver --noreload {port}",
    port=15033,
    environment_of="django",
    before="python3 manage.py prepare",
    use=Steps(
        path="admin/",
        first="role=button[name='Log in']",
        use=(sign_in, add_a_group, log_out),
        kept="role=heading[name='Site administration']",
        click="role=link[name='Users']",
        then="role=link[name='carol']",
        at="admin/auth/user/",
        deep="admin/auth/group/",
        found="text=bakers",
    ),
)

# --- Django with Channels


def be_called_ada(tour: Tour, page: Page) -> None:
    page.get_by_label("Name").fill("Ada")
    page.get_by_role("button", name="Be called so").click()
    see(page, "role=heading[name='Chat of Ada']")
    tour.stays(page)


def say_something(tour: Tour, page: Page) -> None:
    page.get_by_label("Text").fill("hello")
    page.get_by_role("button", name="Say").click()
    expect(page.locator("#said")).to_have_text("Ada says hello")


DJANGO_CHANNELS = Service(
    name="django_channels",
    title="Django with Channels",
    command="python3 manage.py runserver --noreload {port}",
    port=15034,
    environment_of="django",
    use=Steps(
        first="role=heading[name='Chat of nobody']",
        use=(be_called_ada, say_something),
        kept="role=heading[name='Chat of Ada']",
        click="role=link[name='The bakery']",
        then="text=bakery",
        at="rooms/bakery/",
        deep="rooms/mill/",
        found="text=mill",
    ),
)

PYTHON_DATABASES = (DATASETTE, SQLITE_WEB, FLASK_ADMIN, DJANGO_ADMIN, DJANGO_CHANNELS)
