"""A real Chromium, and visitors who use it and note every complaint of the pages they see."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

from tests.support.servers import ROOT

OPTIONS = (
    "--no-sandbox",  # it cannot be had as root in a container, which is where CI runs
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 60_000.0  # JupyterLab on a busy machine; only waited out by a test that fails

expect.set_options(timeout=PATIENCE_MS)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser until the end of the block: the one that $CHROMIUM names, or is found."""
    found = subprocess.run([ROOT / "scripts/chromium.sh"], stdout=subprocess.PIPE, text=True)
    if found.returncode != 0:
        raise RuntimeError("There is no Chromium: the browser tests cannot run.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found.stdout.strip(), args=OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """Somebody with a browser profile of their own, on one site.

    complaints: errors on the console of any of the pages, uncaught exceptions, responses from 400
    on, and requests without a response. A test that expects some says so with `expects`; the rest
    fail it.
    """

    def __init__(self, site: str, context: BrowserContext) -> None:
        self.site = site
        self.context = context
        self.complaints: list[str] = []
        # Chromium's own question, for pages that name no icon.
        self._expected = [r"/favicon\.ico\b"]
        context.set_default_timeout(PATIENCE_MS)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.complaints.append(f"exception: {error.error}"))
        context.on("response", self._response)
        context.on("requestfailed", self._failed)

    def open(self, path: str) -> Page:
        """The page at `path`, in a tab of its own."""
        page = self.context.new_page()
        page.goto(self.site + path)
        return page

    def sign_in(self, user: str) -> None:
        """Sign in through the form of the Django example, and close its page."""
        page = self.open("/login/")
        fill_in_login(page, user)
        expect(page.get_by_role("heading", name="Projects")).to_be_visible()
        page.close()

    def expects(self, *patterns: str) -> None:
        """Complaints in which one of these regular expressions is found are as they should be."""
        self._expected += patterns

    def unexpected(self) -> list[str]:
        return [
            complaint
            for complaint in self.complaints
            if not any(re.search(pattern, complaint) for pattern in self._expected)
        ]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            url = message.location.get("url", "")
            self.complaints.append(f"console: {message.text} ({url})")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            method = response.request.method
            self.complaints.append(f"response: {response.status} {method} {response.url}")

    def _failed(self, request: Request) -> None:
        # Aborted: by the page itself or since it was left, so nobody waits for the answer.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"request: {request.failure} {request.method} {request.url}")


def fill_in_login(page: Page, user: str) -> None:
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password").fill(f"{user}-demo")
    page.get_by_role("button", name="Sign in").click()


def keep_pictures(visitors: list[Visitor], folder: Path, name: str) -> None:
    """A picture of every open page, for whoever looks into a failure."""
    folder.mkdir(exist_ok=True)
    stem = re.sub(r"[^A-Za-z0-9-]+", "_", name).strip("_")
    pages = [page for visitor in visitors for page in visitor.context.pages]
    for number, page in enumerate(pages, 1):
        with contextlib.suppress(Exception):  # of a page that hangs: the failure itself is the news
            page.screenshot(path=folder / f"{stem}-{number}.png", timeout=5000)
