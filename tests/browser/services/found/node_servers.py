"""Servers on Node: of files, of JSON, of sockets, of uploads; own apps and tools."""

from __future__ import annotations

from playwright.sync_api import Page

from ..service import Service
from ..tour import Tour, fetched
from .edits import BAKERY
from .steps import Steps, see

OF_NODE = {"PORT": "{port}"}

# --- Servers of files, with listings

REPORT = "h1:text-is('Report')"


def open_a_file(tour: Tour, page: Page) -> None:
    page.locator("a", has_text="report.html").click()
    see(page, REPORT)
    color = page.locator("h1").evaluate("heading => getComputedStyle(heading).color")
    assert color == "rgb(1, 2, 3)", "without its stylesheet"
    page.go_back()


LISTED = Steps(
    first="a:has-text('report.html')",
    path="folder/",
    use=(open_a_file,),
    click="a:has-text('inner')",
    then="a:has-text('notes.txt')",
    at="folder/inner",
    deep="folder/inner/notes.txt",
    found="text=crumb: open",
)

HTTP_SERVER = Service(
    name="node_http_server",
    title="http-server (npm)",
    command="http-server -p {port}",
    port=18080,
    app="served",
    environment_of="node_servers",
    use=LISTED,
)

SERVE = Service(
    name="serve",
    title="serve (npm)",
    command="serve -l {port}",
    port=13000,
    app="served",
    environment_of="node_servers",
    use=LISTED,
)

# --- json-server

POST = """
name => fetch("/loaves", {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ name }),
}).then(answer => answer.status)
"""


def add_a_loaf(tour: Tour, page: Page) -> None:
    name = f"spelt-{tour.address.label}"
    assert page.evaluate(POST, name) == 201
    assert name in str(fetched(page, "/db")["loaves"])


JSON_SERVER = Service(
    name="json_server",
    title="json-server",
    command="json-server --port {port} db.json",
    port=13000,
    environment_of="node_servers",
    expected=(r"\b404\b.*/__rules\b",),  # which only `--routes` makes
    elsewhere=(r"https://use\.fontawesome\.com/",),
    use=Steps(
        first="text=/loaves",
        use=(add_a_loaf,),
        click="a:has-text('/loaves')",
        then="text=rye",
        at="loaves",
        deep="loaves/1",
        found="text=rye",
    ),
)

# --- Express


def add_a_note(tour: Tour, page: Page) -> None:
    """By a form with a CSRF token, into the session; the answer is a redirect."""
    page.get_by_label("Note").fill("buy flour")
    page.get_by_role("button", name="Add").click()
    see(page, "li:text-is('buy flour')")


def shout(tour: Tour, page: Page) -> None:
    page.locator("#shout").click()
    see(page, "text=HELLO")


EXPRESS = Service(
    name="express",
    title="Express with session, CSRF token and socket.io",
    command="node server.mjs",
    port=13000,
    environment_of="express",
    environment=OF_NODE,
    use=Steps(
        first=BAKERY,
        socket="/socket.io/",
        use=(add_a_note, shout),
        kept="li:text-is('buy flour')",
        click="text=Orders",
        then="text=All orders",
        at="orders",
        deep="orders",
        found="text=All orders",
    ),
)

# --- GraphQL


def ask_and_subscribe(tour: Tour, page: Page) -> None:
    page.locator("button:text-is('Load')").click()
    for told in ("rye", "1", "2", "3"):
        see(page, f"li:text-is('{told}')")


GRAPHQL_WS = Service(
    name="graphql_ws",
    title="graphql-ws",
    command="node server.mjs",
    port=14000,
    environment_of="graphql_ws",
    environment=OF_NODE,
    use=Steps(first=BAKERY, use=(ask_and_subscribe,)),
)

# --- tus

TUS = Service(
    name="tus",
    title="tus",
    command="node server.mjs",
    port=11080,
    environment_of="tus",
    environment=OF_NODE,
    use=Steps(
        first="h1:text-is('Uploads')", upload="input[type=file]", uploaded="text=Stored 70 bytes"
    ),
)

NODE_SERVERS = (EXPRESS, GRAPHQL_WS, TUS, JSON_SERVER, HTTP_SERVER, SERVE)
