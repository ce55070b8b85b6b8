"""A visit to a service through the host app, in one of the forms of its URLs.

Notes, beside what every `Visitor` does, each request that leaves the site: a page that asks
`localhost:16006` itself has gone past the proxy, and works on nobody else's machine.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Page, Request, WebSocket, expect

from tests.browser.chromium import Visitor

from .hostapp import COOKIES
from .service import HOST, OFFSETS, PORT, PROJECT, QUERY, WHOLE, Running

DIRECT = "direct"  # without a proxy, for whoever writes or doubts a test
WITHOUT_ORIGIN = ("data:", "blob:", "about:", "chrome-extension:")


@dataclass(frozen=True)
class Site:
    """The host app. authority: the file with the certificate that programs have to trust. behind:
    the port of the server behind the front end, if there is one."""

    url: str
    authority: Path | None = None
    behind: int | None = None


@dataclass(frozen=True)
class Address:
    """Where a service is for its visitors. site: the host app's. base: of the service's pages.

    project: the path of the project below which it is opened.
    """

    form: str
    site: str
    port: int
    project: str = PROJECT

    @property
    def base(self) -> str:
        if self.form == DIRECT:
            return f"http://localhost:{self.port}/"
        if self.form == HOST:
            return self.site.replace("//localhost", f"//{self.port}.localhost") + "/"
        if self.form == PORT:
            scheme = urlsplit(self.site).scheme
            return f"{scheme}://localhost:{self.port + OFFSETS[scheme]}/"
        return f"{self.site}{self.project}proxy/{self.port}/"

    @property
    def label(self) -> str:
        """Tells visits apart in what a service keeps."""
        return f"{urlsplit(self.site).scheme}-{self.form}"

    @property
    def origin(self) -> str:
        url = urlsplit(self.base)
        return f"{url.scheme}://{url.netloc}"

    def typed(self, path: str, query: str) -> str:
        """What a person types, or a page links to, for a path of the service."""
        path, hash_sign, fragment = path.partition("#")
        if self.form in (QUERY, PORT):
            more = f"&{query}" if query else ""
            start = f"{self.site}{self.project}{path}?port={self.port}{more}"
        else:
            start = f"{self.base}{path}{'?' if query else ''}{query}"
        return start + hash_sign + fragment


class Guest(Visitor):
    """Alice, signed in at the host app and at the host names of its ports.

    complaints: also every request, and every WebSocket, to an origin that is none of `origins`.
    """

    def __init__(self, site: str, context: BrowserContext) -> None:
        super().__init__(site, context)
        self.origins = {site}
        context.on("request", self._request)
        context.on("page", lambda page: page.on("websocket", self._websocket))

    def at(self, address: Address) -> None:
        """Carries the app's cookies to where this service is, which is no other origin then."""
        self.origins.add(address.origin)
        for name, value in COOKIES.items():
            for url in (self.site, address.origin):
                self.context.add_cookies([{"name": name, "value": value, "url": url}])

    def _request(self, request: Request) -> None:
        self._look_at(request.method, request.url)

    def _websocket(self, socket: WebSocket) -> None:
        self._look_at("WebSocket", socket.url.replace("ws", "http", 1))

    def _look_at(self, method: str, url: str) -> None:
        there = urlsplit(url)
        own = f"{there.scheme}://{there.netloc}" in self.origins
        if not own and not url.startswith(WITHOUT_ORIGIN):
            self.complaints.append(f"elsewhere: {method} {url}")


@dataclass(frozen=True)
class Tour:
    """What `Service.use` gets: a running service, and a guest before its door.

    done: the steps so far, by name, and whether each worked.
    """

    running: Running
    address: Address
    guest: Guest
    site: Site
    done: dict[str, bool] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return self.address.base

    def open(self, path: str = "", query: str = "") -> Page:
        """The service's page in a tab of its own, by the address that a person would type."""
        page = self.guest.context.new_page()
        page.goto(self.address.typed(path, query))
        return page

    def stays(self, page: Page, path: str = "") -> None:
        """The address bar shows this path of the service, below where the service is."""
        expect(page).to_have_url(re.compile(re.escape(self.base + path)))

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """What is done in the block is a step, which has worked if nothing is raised."""
        self.done[name] = False
        yield
        self.done[name] = True


def begin(running: Running, form: str, site: Site, guest: Guest) -> Tour:
    service = running.service
    project = PROJECT if service.strip else WHOLE
    address = Address(form, site.url, running.port, project)
    guest.at(address)
    # Where they are aborted or fail, the console says so as well, with the URL.
    guest.expects(*service.expected, *service.elsewhere)
    return Tour(running, address, guest, site)


def see_that_the_app_is_the_app(tour: Tour, page: Page) -> None:
    """From a page of the service back into the app: its pages, its script, its API, its cookies."""
    app = tour.guest.site
    for path, title in (("/logout", "Logout of the app"), ("/", "Start page")):
        with page.context.expect_page() as opened:
            follow_a_link(page, path if tour.address.form == QUERY else app + path)
        see_the_app(opened.value, app + path, title)
    page.goto(app + PROJECT)
    see_the_app(page, app + PROJECT, "Project page")
    kept = {cookie.get("name"): cookie.get("value") for cookie in tour.guest.context.cookies(app)}
    assert {name: kept.get(name) for name in COOKIES} == COOKIES


def follow_a_link(page: Page, url: str) -> None:
    """As if the service's page had had it. In a tab of its own, so that the page stays as it is."""
    page.evaluate(
        """url => {
            const link = document.body.appendChild(document.createElement("a"));
            link.href = url;
            link.target = "_blank";
            link.click();
        }""",
        url,
    )


def see_the_app(page: Page, url: str, title: str) -> None:
    expect(page).to_have_url(url)
    expect(page.get_by_role("heading")).to_have_text(title)
    expect(page.locator("#who")).to_have_text("signed in as alice")


def fetched(page: Page, url: str) -> dict[str, object]:
    """What a script of this page gets from a URL, as JSON."""
    text = page.evaluate("url => fetch(url).then(answer => answer.text())", url)
    value: dict[str, object] = json.loads(text)
    return value
