"""What is done with each service: open, use, reload, follow a link, back, deep link, upload.

A `Steps` is data, and is what a `Service` is used by. All that it looks for are Playwright's
selectors: `text=Runs`, `role=link[name="Runs"]`, `#runs`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page, WebSocket, expect

from tests.support.waiting import until

from ..tour import Tour

SOCKET_SECONDS = 60.0

#: Does what only this service has; in `Steps.use` its name becomes that of the step.
Use = Callable[[Tour, Page], None]
ONE_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8ffff"
    "ff7f0009fb03fd05432a0e0000000049454e44ae426082"
)


@dataclass(frozen=True)
class Steps:
    """The visit of a service. What is empty is left out.

    first: what its first page shows. path, query: where that is, if not at its root.
    use: what a user does there, an API called or something edited.
    kept: what the page shows after `use` and a reload, if not `first`.
    click: what leads to another page; then: what that shows; at: its path, to be in the address.
    deep: a path that is typed, or follows from a link sent by somebody; found: what it shows.
    upload: the field of a file, on the page at `upload_at`; uploaded: what is shown then.
    socket: a part of the URL of a WebSocket, of which at least one frame has to come.
    prepared: called before the first page is opened.
    """

    first: str
    path: str = ""
    query: str = ""
    use: tuple[Use, ...] = ()
    kept: str = ""
    click: str = ""
    then: str = ""
    at: str = ""
    deep: str = ""
    found: str = ""
    upload: str = ""
    upload_at: str = ""
    uploaded: str = ""
    file: tuple[str, str, bytes] = ("dot.png", "image/png", ONE_PIXEL)
    socket: str = ""
    prepared: Callable[[Tour], None] | None = None

    def __call__(self, tour: Tour) -> None:
        if self.prepared is not None:
            self.prepared(tour)
        frames = _frames(tour, self.socket) if self.socket else []
        page = self._open(tour)
        if self.socket:
            with tour.step("WebSocket"):
                until(lambda: _came(page, frames), f"a frame of {self.socket}", SOCKET_SECONDS)
        for use in self.use:
            with tour.step(use.__name__.strip("_").replace("_", " ")):
                use(tour, page)
        with tour.step("reload"):
            page.reload()
            see(page, self.kept or self.first)
            tour.stays(page)
        if self.click:
            self._follow(tour, page)
        if self.deep:
            with tour.step("deep link"):
                other = tour.open(self.deep)
                see(other, self.found)
                tour.stays(other)
        if self.upload:
            self._upload(tour)

    def _open(self, tour: Tour) -> Page:
        with tour.step("open"):
            page = tour.open(self.path, self.query)
            see(page, self.first)
            tour.stays(page)
        return page

    def _follow(self, tour: Tour, page: Page) -> None:
        with tour.step("link"):
            page.locator(self.click).first.click()
            see(page, self.then)
            tour.stays(page, self.at)
        with tour.step("back"):
            page.go_back()
            see(page, self.kept or self.first)
            tour.stays(page)

    def _upload(self, tour: Tour) -> None:
        with tour.step("upload"):
            page = tour.open(self.upload_at)
            name, kind, content = self.file
            page.locator(self.upload).first.set_input_files(
                {"name": name, "mimeType": kind, "buffer": content}
            )
            see(page, self.uploaded)
            tour.stays(page)


def see(page: Page, selector: str) -> None:
    """The page shows it, now or soon."""
    expect(page.locator(selector).locator("visible=true").first).to_be_visible()


def _frames(tour: Tour, part: str) -> list[str | bytes]:
    """The frames of WebSockets with this part in their URL, as they come to pages yet to open."""
    frames: list[str | bytes] = []

    def opened(socket: WebSocket) -> None:
        if part in socket.url:
            # A function, not frames.append: Playwright keeps a note on it.
            socket.on("framereceived", lambda frame: frames.append(frame))

    tour.guest.context.on("page", lambda page: page.on("websocket", opened))
    return frames


def _came(page: Page, frames: list[str | bytes]) -> bool:
    """Whether there is one. Playwright calls its listeners only while it waits itself."""
    page.wait_for_timeout(50)
    return bool(frames)
