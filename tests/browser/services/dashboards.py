"""Dashboards, which live on a WebSocket or on calls back to the service."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from .service import Guide, Service
from .tour import Tour

# --- Streamlit


def use_streamlit(tour: Tour) -> None:
    page = tour.open()
    click_the_button(page, 1)
    click_the_button(page, 2)
    page.get_by_label("Name").fill("Ada")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Hello Ada")).to_be_visible()
    content = {"name": "loaf.bin", "mimeType": "application/octet-stream", "buffer": bytes(3000)}
    page.locator("input[type=file]").set_input_files(content)  # type: ignore[arg-type]
    expect(page.get_by_text("loaf.bin: 3000 bytes")).to_be_visible()
    page.reload()
    click_the_button(page, 1)  # a new session of Streamlit's


def click_the_button(page: Page, clicks: int) -> None:
    page.get_by_role("button", name="Count").click()
    expect(page.get_by_text(f"{clicks} clicks", exact=True)).to_be_visible()


STREAMLIT = Service(
    name="streamlit",
    title="Streamlit",
    command="streamlit run app.py --server.port={port}",
    port=15600,
    use=use_streamlit,
    package="streamlit",
    # Its statistics of use, which it asks a server of its own about.
    elsewhere=(r"https://data\.streamlit\.io/metrics\.json",),
    expected=(r"^console: (Failed to fetch|Undefined) metrics config\b",),
    guide=Guide(
        tried=(
            "a button and a text field",
            "a file uploaded",
            "a reload, which begins a session of its own",
        ),
        loopback=(
            "Add `--server.address=127.0.0.1`; by default everybody on the network can open it. "
            "It has no login, so other users of the machine can open it in either case."
        ),
    ),
)

# --- Dash


def use_dash(tour: Tour) -> None:
    page = tour.open()
    see_dash(page)
    page.reload()
    see_dash(page)


def see_dash(page: Page) -> None:
    expect(page.get_by_role("heading", name="Sales")).to_be_visible()
    expect(page.get_by_text("You chose tea")).to_be_visible()
    expect(page.locator(".js-plotly-plot .scatterlayer path.js-line")).to_have_count(1)
    page.locator("#product").click()
    page.get_by_text("coffee").first.click()
    expect(page.get_by_text("You chose coffee")).to_be_visible()


DASH = Service(
    name="dash",
    title="Dash",
    command="python3 app.py",
    port=15050,
    use=use_dash,
    package="dash",
    guide=Guide(
        start="The app ends with `app.run(port=15050)`.",
        tried=("a callback, by a dropdown", "a graph", "a reload"),
        loopback=(
            "Dash listens on 127.0.0.1 by default. Other users of the machine can connect there "
            "too."
        ),
    ),
)

# --- Bokeh


def use_bokeh(tour: Tour) -> None:
    page = tour.open()
    for click in (1, 2):
        page.get_by_role("button", name="Count").click()
        expect(page.get_by_text(f"{click} clicks")).to_be_visible()
    expect(page).to_have_title("Plot")
    expect(page.locator(".bk-Figure")).to_be_visible()
    tour.stays(page, "app")


BOKEH = Service(
    name="bokeh",
    title="Bokeh",
    command="bokeh serve app.py --port {port}",
    port=15006,
    use=use_bokeh,
    package="bokeh",
    guide=Guide(
        tried=("a plot", "a button whose callback runs in the service"),
        loopback=(
            "Add `--address 127.0.0.1`; by default it listens on every address. It has no login."
        ),
    ),
)

# --- Panel


def use_panel(tour: Tour) -> None:
    page = tour.open()
    expect(page.get_by_text("The square is 9")).to_be_visible()
    page.get_by_role("spinbutton").or_(page.locator("input")).first.fill("7")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The square is 49")).to_be_visible()
    page.reload()
    expect(page.get_by_text("The square is 9")).to_be_visible()
    tour.stays(page, "app")


PANEL = Service(
    name="panel",
    title="Panel",
    command="panel serve app.py --port {port}",
    port=15007,
    use=use_panel,
    package="panel",
    guide=Guide(
        tried=("a number field, and what the service makes of it", "a reload"),
        loopback=(
            "Add `--address 127.0.0.1`; by default it listens on every address. It has no login."
        ),
    ),
)
