"""The page of a port that nothing runs on: it waits, and opens the service when there is one."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.ports import free_port

from .chromium import fill_in_login
from .conftest import Visit

BAD_GATEWAY = r"\b502\b.*/alice/vision/"
WAITING = "This page will open the service as soon as it responds."


@pytest.fixture
def port() -> int:
    """Of nobody, until a test starts something there."""
    return free_port()


@contextlib.contextmanager
def serving(port: int, handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class Files(SimpleHTTPRequestHandler):
    """What `python3 -m http.server` runs, as the page itself proposes."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., Files]:
    (tmp_path / "results.csv").write_text("step,loss\n1,0.5\n")
    return partial(Files, directory=str(tmp_path))


def wait_for_listing(page: Page) -> None:
    expect(page).to_have_title("Directory listing for /")
    expect(page.get_by_role("link")).to_have_text(["results.csv"])


def test_it_waits_and_opens_the_service_that_is_started(
    visit: Visit, port: int, files: Callable[..., Files]
) -> None:
    alice = visit("alice")
    alice.expects(BAD_GATEWAY)
    page = alice.open(f"/alice/vision/?port={port}")
    expect(page).to_have_title(f"Waiting for port {port}")
    heading = page.get_by_role("heading")
    expect(heading).to_have_text(f"Nothing is running on port {port} yet")
    expect(page.get_by_text(f"Failed to connect to service on port {port}.")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text(re.compile(f"{WAITING}$"))
    expect(page.get_by_text(f"tensorboard --logdir=./logs --port={port}")).to_be_visible()

    # It has asked in vain before, so that it is its own asking that finds the service.
    with page.expect_response(lambda response: response.request.method == "HEAD") as looked:
        pass
    assert looked.value.status == 502
    with serving(port, files):
        wait_for_listing(page)
    assert page.url == f"{alice.site}/alice/vision/proxy/{port}/"


def test_it_follows_the_light_and_the_dark_scheme_and_fits_a_telephone(
    visit: Visit, port: int
) -> None:
    paper, ink = {}, {}
    for scheme in ("light", "dark"):
        alice = visit("alice", color_scheme=scheme, viewport={"width": 390, "height": 844})
        alice.expects(BAD_GATEWAY)
        page = alice.open(f"/alice/vision/?port={port}")
        expect(page.get_by_role("status")).to_be_in_viewport(ratio=1)
        paper[scheme] = lightness(page, "body", "background-color")
        ink[scheme] = lightness(page, "h1", "color")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        cut = "[...document.querySelectorAll('dd')].filter(e => e.scrollWidth > e.clientWidth)"
        assert page.evaluate(cut) == []
    assert paper["light"] > ink["light"]
    assert paper["dark"] < ink["dark"]
    assert paper["light"] > paper["dark"]


def lightness(page: Page, selector: str, name: str) -> int:
    """Of a computed colour, from 0 to 765."""
    computed = page.locator(selector).evaluate(
        "(element, name) => getComputedStyle(element).getPropertyValue(name)", name
    )
    return sum(map(int, re.findall(r"\d+", computed)[:3]))


def test_without_javascript_it_refreshes_itself(
    visit: Visit, port: int, files: Callable[..., Files]
) -> None:
    alice = visit("alice", java_script_enabled=False)
    alice.expects(BAD_GATEWAY)
    page = alice.open(f"/alice/vision/?port={port}")
    expect(page.get_by_role("heading")).to_have_text(f"Nothing is running on port {port} yet")
    with serving(port, files):
        wait_for_listing(page)


def test_a_session_that_ends_meanwhile_leads_to_the_login_and_back(visit: Visit, port: int) -> None:
    alice = visit("alice")
    alice.expects(BAD_GATEWAY)
    page = alice.open(f"/alice/vision/?port={port}")
    expect(page).to_have_title(f"Waiting for port {port}")
    alice.context.clear_cookies()
    page.wait_for_url(re.compile(r"/login/\?next="))
    fill_in_login(page, "alice")
    expect(page).to_have_title(f"Waiting for port {port}")


def test_a_tab_that_nobody_sees_asks_for_nothing_until_it_is_looked_at(
    visit: Visit, port: int, files: Callable[..., Files]
) -> None:
    alice = visit("alice")
    alice.expects(BAD_GATEWAY)
    page = alice.open("/alice/vision/")
    page.clock.install()
    # Headless pages are always in sight; this one learns otherwise before its script runs.
    page.add_init_script(
        "Object.defineProperty(document, 'hidden', { get: () => !window.seen, configurable: true })"
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    page.goto(f"{alice.site}/alice/vision/proxy/{port}/")
    expect(page).to_have_title(f"Waiting for port {port}")
    page.clock.fast_forward(120_000)
    assert asked == ["GET"]

    with serving(port, files):
        page.evaluate("window.seen = true; document.dispatchEvent(new Event('visibilitychange'))")
        wait_for_listing(page)
    # Just one more question, so that none was under way before.
    assert asked == ["GET", "HEAD", "GET"]


# --- What must not be repeated -------------------------------------------------------------------


class Shop(BaseHTTPRequestHandler):
    """Takes orders by POST."""

    def __init__(self, *args: Any, orders: list[bytes]) -> None:
        self.orders = orders
        super().__init__(*args)

    def do_GET(self) -> None:
        self._page(
            "Shop", "<form method=post><input name=item value=tea><button>Order</button></form>"
        )

    def do_POST(self) -> None:
        self.orders.append(self.rfile.read(int(self.headers["Content-Length"])))
        self._page("Thanks", f"{len(self.orders)} ordered")

    def _page(self, title: str, content: str) -> None:
        body = f"<!doctype html><title>{title}</title><link rel=icon href='data:,'>{content}"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_form_is_not_sent_again_by_itself(visit: Visit, port: int) -> None:
    alice = visit("alice")
    alice.expects(BAD_GATEWAY)
    orders: list[bytes] = []
    shop = partial(Shop, orders=orders)
    with serving(port, shop):
        page = alice.open(f"/alice/vision/?port={port}")
        expect(page).to_have_title("Shop")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    page.clock.install()
    page.get_by_role("button", name="Order").click()
    expect(page.get_by_text(f"Failed to connect to service on port {port}.")).to_be_visible()

    with serving(port, shop):
        page.clock.fast_forward(120_000)
        assert page.locator("script, meta[http-equiv]").count() == 0
        assert (sent, orders) == (["POST"], []), "it neither waits nor sends anything"

        page.reload()  # the visitor's own decision, after the browser has asked
        expect(page.get_by_text("1 ordered")).to_be_visible()
        page.clock.fast_forward(120_000)
        assert (sent, orders) == (["POST", "POST"], [b"item=tea"])
