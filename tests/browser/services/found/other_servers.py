"""Web servers and frameworks that are neither Python's nor Node's."""

from __future__ import annotations

from playwright.sync_api import CDPSession, Page

from ..environments import FOLDER
from ..service import ROOTS, Service
from ..tour import Tour
from .edits import BAKERY
from .node_servers import LISTED
from .steps import Steps, see

# --- Apps: PHP, Ruby


def add_a_note(tour: Tour, page: Page) -> None:
    """By a form, into the session; the answer is a redirect."""
    page.get_by_label("Note").fill("buy flour")
    page.get_by_role("button", name="Add").click()
    see(page, "li:text-is('buy flour')")


PHP = Service(
    name="php",
    title="`php -S`",
    command="php -S 127.0.0.1:{port}",
    port=18000,
    environment_of="php",
    use=Steps(
        first=BAKERY,
        use=(add_a_note,),
        kept="li:text-is('buy flour')",
        click="text=Orders",
        then="text=All orders",
        at="orders.php",
        deep="orders.php",
        found="text=All orders",
        upload_at="orders.php",
        upload="input[type=file]",
        uploaded="text=Stored 70 bytes",
    ),
)

SINATRA = Service(
    name="sinatra",
    title="Sinatra",
    command="ruby app.rb -p {port}",
    port=14567,
    environment_of="sinatra",
    use=Steps(
        first=BAKERY,
        use=(add_a_note,),
        kept="li:text-is('buy flour')",
        click="text=Orders",
        then="text=All orders",
        at="orders",
        deep="orders",
        found="text=All orders",
    ),
)

WEBRICK = Service(
    name="webrick",
    title="WEBrick's listing (`ruby -run -e httpd`)",
    command="ruby -run -e httpd . -p {port}",
    port=18080,
    app="served",
    environment_of="sinatra",
    use=LISTED,
)

# --- Caddy

CADDY = Service(
    name="caddy",
    title="Caddy, `file-server --browse`",
    command="caddy file-server --browse --listen 127.0.0.1:{port}",
    port=12015,
    app="served",
    expected=(r"console: Applying inline style violates",),  # its own page, of its own policy
    use=LISTED,
)

# --- Apache

APACHE_NEEDS = {
    "PORT": "{port}",
    "FOLDER": "{folder}",
    "PASSWORDS": str(FOLDER / "apache" / "passwords"),
}
INDEX = "h1:text-is('Index of /')"
IN_A_FOLDER = "h1:text-is('Index of /icons')"


def to_the_parent(tour: Tour, page: Page) -> None:
    page.get_by_role("link", name="icons/").click()
    see(page, IN_A_FOLDER)
    page.get_by_role("link", name="Parent Directory").click()
    see(page, INDEX)
    tour.stays(page)


APACHE = Service(
    name="apache",
    title="Apache's listing",
    command="apache2 -f {folder}/listing.conf -DFOREGROUND",
    port=18080,
    environment_of="apache",
    environment=APACHE_NEEDS,
    use=Steps(
        first=INDEX,
        use=(to_the_parent,),
        click="role=link[name='icons/']",
        then=IN_A_FOLDER,
        at="icons/",
        deep="icons/",
        found=IN_A_FOLDER,
    ),
)


def visit_with_a_password(tour: Tour) -> None:
    """As by the browser's own dialog, which no test can fill in."""
    tour.guest.expects(r"\b401\b")
    page = tour.guest.context.new_page()
    session = tour.guest.context.new_cdp_session(page)
    session.on("Fetch.requestPaused", lambda event: go_on(session, event["requestId"]))
    session.on("Fetch.authRequired", lambda event: answer(session, event["requestId"]))
    session.send("Fetch.enable", {"handleAuthRequests": True})
    with tour.step("sign in"):
        page.goto(tour.address.typed("", ""))
        see(page, INDEX)
        tour.stays(page)
    with tour.step("link"):
        page.get_by_role("link", name="icons/").click()
        see(page, IN_A_FOLDER)
        tour.stays(page, "icons/")
    session.detach()


def go_on(session: CDPSession, request: str) -> None:
    session.send("Fetch.continueRequest", {"requestId": request})


def answer(session: CDPSession, request: str) -> None:
    carol = {"response": "ProvideCredentials", "username": "carol", "password": "carol-demo"}
    session.send("Fetch.continueWithAuth", {"requestId": request, "authChallengeResponse": carol})


APACHE_DIGEST = Service(
    name="apache_digest",
    title="Apache with Digest authentication",
    command="apache2 -f {folder}/digest.conf -DFOREGROUND",
    port=18080,
    app="apache",
    environment_of="apache",
    environment=APACHE_NEEDS,
    forms=ROOTS,
    why="the digest covers the path, which is another one for the browser",
    use=visit_with_a_password,
)

# --- WebDAV

DAV = """
([method, path, to]) => fetch(path, {
  method,
  headers: to ? { Destination: new URL(to, location.href).href } : { Depth: "1" },
  body: method === "PUT" ? "crumb: open" : null,
}).then(async answer => [answer.status, await answer.text()])
"""


def write_and_move(tour: Tour, page: Page) -> None:
    """As a client does: `Destination` is the visitor's URL of a file."""
    name = tour.address.label
    assert page.evaluate(DAV, ["PUT", f"{name}.txt", ""])[0] in (201, 204)
    assert page.evaluate(DAV, ["MOVE", f"{name}.txt", f"{name}-moved.txt"])[0] in (201, 204)
    assert (tour.running.folder / "files" / "folder" / f"{name}-moved.txt").exists()


def list_by_propfind(tour: Tour, page: Page) -> None:
    """What it names are the visitor's paths, by which a client asks for them."""
    status, text = page.evaluate(DAV, ["PROPFIND", "./", ""])
    assert status == 207
    path = page.evaluate("new URL('notes.txt', location.href).pathname")
    assert f"<D:href>{path}</D:href>" in text, text


LIGHTTPD = Service(
    name="lighttpd_webdav",
    title="WebDAV by lighttpd",
    command="lighttpd -D -f lighttpd.conf",
    port=18080,
    app="lighttpd",
    environment_of="lighttpd",
    environment={"PORT": "{port}", "FOLDER": "{folder}"},
    forms=ROOTS,
    why="the paths in its lists of files (PROPFIND) lack the prefix",
    use=Steps(
        first="text=notes.txt",
        path="folder/",
        use=(write_and_move, list_by_propfind),
        click="role=link[name='notes.txt']",
        then="text=crumb: open",
        at="folder/notes.txt",
    ),
)

OTHER_SERVERS = (PHP, SINATRA, WEBRICK, CADDY, APACHE, APACHE_DIGEST, LIGHTTPD)
