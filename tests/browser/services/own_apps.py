"""Apps of one's own: Flask, Django, FastAPI, written as if no proxy stood in front of them."""

from __future__ import annotations

from pathlib import Path

import fastapi_offline
from playwright.sync_api import Page, Route, expect

from .service import Guide, Service
from .tour import Tour, fetched

THE_APP_GOES_FIRST = (
    "When it is opened by `?port=`, links to `/`, or to another path that your own app has a page"
    " at, lead to that page of your app. At a host name of its own the service has every path to"
    " itself."
)
THE_CACHE_IS_SHARED = (
    "When it is opened by `?port=`, a browser that has a file of your app in its cache, such as"
    " `/static/app.js`, may take it for the service's file of the same root-absolute path. Not so"
    " at a host name of its own."
)

# --- Flask


def use_flask(tour: Tour) -> None:
    page = tour.open()
    tour.stays(page, "notes")
    heading = page.get_by_role("heading", name="Notes")
    expect(heading).to_have_css("color", "rgb(1, 2, 3)")
    expect(page.locator("#numbers")).to_have_text("1 2 3")
    add_a_note(tour, page, "buy flour")
    add_a_note(tour, page, "feed the starter")
    page.reload()
    expect(page.get_by_role("listitem")).to_have_text(["buy flour", "feed the starter"])
    count_words(page, "nobody")

    page.get_by_role("link", name="Private page").click()
    page.get_by_label("User").fill("carol")
    tour.stays(page, "sign-in")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading")).to_have_text("Hello carol")
    tour.stays(page, "private")
    page.get_by_role("link", name="Notes").click()
    tour.stays(page, "notes")
    count_words(page, "carol")
    page.go_back()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("User")).to_be_visible()
    tour.stays(page, "sign-in")


def add_a_note(tour: Tour, page: Page, text: str) -> None:
    page.get_by_label("Note").fill(text)
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("listitem").last).to_have_text(text)
    tour.stays(page, "notes")


def count_words(page: Page, user: str) -> None:
    page.get_by_label("Note").fill("one two three")
    page.get_by_role("button", name="Count").click()
    expect(page.locator("#words")).to_have_text(f"3 words, {user}")


FLASK = Service(
    name="flask",
    title="Flask",
    command="python3 app.py",
    port=15000,
    use=use_flask,
    guide=Guide(
        start="The app ends with `app.run(host='127.0.0.1', port=15000)`.",
        tried=(
            (
                "an app written without a thought for prefixes: all its links, forms, redirects, "
                "scripts, stylesheets and their pictures begin with `/`"
            ),
            (
                "a form that keeps notes in the session, whose cookie has Flask's name `session` "
                "here as in the app in front"
            ),
            "a login of its own, and its end",
            "a `fetch` with a JSON body, and an event stream",
            "reload, and the back button",
        ),
        loopback=(
            "`host='127.0.0.1'` is Flask's default. Other users of the machine can connect there "
            "too: have a login of your own if that matters."
        ),
        limits=(THE_APP_GOES_FIRST, THE_CACHE_IS_SHARED),
    ),
)

# --- Django


def use_django(tour: Tour) -> None:
    page = tour.open()
    page.get_by_label("Username").fill("carol")
    page.get_by_label("Password").fill("carol-demo")
    page.get_by_role("button", name="Log in").click()
    heading = page.get_by_role("heading", name="Guest book of carol")
    expect(heading).to_be_visible()
    tour.stays(page, "book/")
    page.get_by_label("Entry").fill("what a nice bakery")
    page.get_by_role("button", name="Write", exact=True).click()
    expect(page.get_by_role("listitem")).to_have_text("what a nice bakery")
    tour.stays(page, "book/")
    page.get_by_role("button", name="Write by script").click()
    written = ["what a nice bakery", "written by a script"]
    expect(page.get_by_role("listitem")).to_have_text(written)
    page.reload()
    expect(page.get_by_role("listitem")).to_have_text(written)
    add_a_group_as_the_administrator(tour, page)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("Logged out", exact=True)).to_be_visible()
    tour.stays(page, "admin/logout/")
    page.get_by_role("link", name="Log in again").click()
    expect(page.get_by_label("Username")).to_be_visible()


def add_a_group_as_the_administrator(tour: Tour, page: Page) -> None:
    name = f"bakers-{tour.address.label}"
    page.get_by_role("link", name="Administration").click()
    expect(page.get_by_role("heading", name="Site administration")).to_be_visible()
    page.get_by_role("link", name="Groups").first.click()
    page.get_by_role("link", name="Add group").first.click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    expect(page.locator("#result_list").get_by_role("link", name=name)).to_be_visible()
    tour.stays(page, "admin/auth/group/")


DJANGO = Service(
    name="django",
    title="Django",
    command="python3 manage.py runserver {port}",
    before="python3 manage.py prepare",
    port=15000,
    use=use_django,
    guide=Guide(
        tried=(
            "`DEBUG = True`, and the default names of the cookies, here as in the app in front",
            "the login of the admin, and the logout",
            "a form with a CSRF token, which keeps its entries in the session",
            "the same by a script, which takes the token from the cookie",
            "a group made in the admin, with its stylesheets and scripts",
            "reload",
        ),
        loopback=(
            "`runserver` listens on 127.0.0.1 already. Other users of the machine can connect "
            "there too."
        ),
        limits=(THE_APP_GOES_FIRST,),
    ),
)

# --- FastAPI

CDN = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/"
OF_THE_CDN = Path(fastapi_offline.__file__).parent / "static"
LOGO = "https://fastapi.tiangolo.com/img/favicon.png"


def use_fastapi(tour: Tour) -> None:
    page = tour.open()
    expect(page.get_by_text('{"Hello":"World"}')).to_be_visible()
    tour.guest.context.route(f"{CDN}*", from_disk)
    tour.guest.context.route(LOGO, from_disk)
    page = tour.open("docs")
    expect(page.get_by_role("heading", name="Bakery")).to_be_visible()
    tour.stays(page, "docs")
    call_by_the_docs(page)
    assert fetched(page, "/openapi.json")["info"] == {"title": "Bakery", "version": "0.1.0"}
    assert fetched(page, "loaves/8?sliced=true") == {"number": 8, "sliced": True}
    for address in ("/ws", "ws"):
        assert page.evaluate(SHOUT, address) == "HELLO"


SHOUT = """
address => new Promise((resolve, reject) => {
  const socket = new WebSocket(new URL(address, location.href.replace("http", "ws")));
  socket.onopen = () => socket.send("hello");
  socket.onmessage = event => resolve(event.data);
  socket.onerror = reject;
})
"""


def from_disk(route: Route) -> None:
    """The files that the page takes from the internet, which the tests do without."""
    route.fulfill(path=OF_THE_CDN / route.request.url.rpartition("/")[2])


def call_by_the_docs(page: Page) -> None:
    """Try it out, as the button says: the call goes where the page believes the API to be."""
    operation = page.locator(".opblock", has_text="/loaves/{number}")
    operation.get_by_role("button", name="get").first.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_placeholder("number").fill("7")
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table tbody")
    expect(answer.locator(".response-col_status")).to_contain_text("200")
    expect(answer).to_contain_text('"number": 7')


FASTAPI = Service(
    name="fastapi",
    title="FastAPI",
    command="uvicorn main:app --host 127.0.0.1 --port {port}",
    port=15000,
    use=use_fastapi,
    elsewhere=(rf"^elsewhere: GET {CDN}", rf"^elsewhere: GET {LOGO}"),
    guide=Guide(
        tried=(
            "`/docs`, which shows `/openapi.json`, and a call by its *Execute*",
            "the API, asked by a script of the page",
            "a WebSocket, by a relative address and by `/ws`",
        ),
        loopback=(
            "`--host 127.0.0.1` does it. Other users of the machine can connect there too: have "
            "a login of your own if that matters."
        ),
        limits=(
            THE_APP_GOES_FIRST,
            "`/docs` takes Swagger UI from `cdn.jsdelivr.net`, with a proxy and without.",
        ),
    ),
)
