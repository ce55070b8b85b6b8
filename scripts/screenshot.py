"""Makes the pictures of the README anew, from the running demo: python -m scripts.screenshot

docs/images/demo.png is TensorBoard as alice sees it through the proxy, docs/images/waiting.png the
page of a port that nothing runs on. Needs what the browser tests need.
"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.chromium import Visitor, chromium
from tests.browser.demo import Demo, running_demo
from tests.browser.tensorboard import colours_of_runs, look_at
from tests.support.servers import ROOT

IMAGES = ROOT / "docs" / "images"
WINDOW: ViewportSize = {"width": 1280, "height": 800}
PINNED = ("accuracy/validation", "loss/validation")  # side by side at the top
WAITED_FOR = 15000  # the port in the picture; nothing may run on it


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with chromium() as browser, running_demo() as demo:
        alice = Visitor(demo.site, browser.new_context(viewport=WINDOW))
        alice.sign_in("alice")
        take(tensorboard(alice, demo), IMAGES / "demo.png")
        take(waiting(alice), IMAGES / "waiting.png")


def tensorboard(alice: Visitor, demo: Demo) -> Page:
    page = alice.open(f"/alice/vision/?port={demo.tensorboard_port}")
    expect(page.locator("scalar-card")).to_have_count(2)
    page.get_by_role("button", name="Settings").click()
    group = page.locator("button.group-toolbar")
    group.filter(has_text="loss").click()
    for tag in PINNED:
        card = page.locator("scalar-card", has=page.locator(f'[title="{tag}"]'))
        card.get_by_role("button", name="Pin card").click()
    for name in ("accuracy", "learning_rate", "loss"):
        group.filter(has_text=name).click()  # folded up: what is pinned is enough to see

    cards = page.locator("scalar-card")
    expect(cards).to_have_count(len(PINNED))
    colours = colours_of_runs(page)
    for card in cards.all():
        look_at(card, colours)
    page.mouse.move(0, 0)  # nothing is to look pointed at
    return page


def waiting(alice: Visitor) -> Page:
    page = alice.open(f"/alice/vision/?port={WAITED_FOR}")
    expect(page).to_have_title(f"Waiting for port {WAITED_FOR}")
    return page


def take(page: Page, file: Path) -> None:
    page.screenshot(path=file, animations="disabled")
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
