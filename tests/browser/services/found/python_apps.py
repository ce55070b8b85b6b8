"""Apps made of Python alone, which live on a WebSocket: NiceGUI, Gradio, Shiny, Bokeh."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from ..service import Service
from ..tour import Tour
from .steps import Steps, see

FONTS = r"https://fonts\.googleapis\.com/"

# --- NiceGUI


def count_to_two(tour: Tour, page: Page) -> None:
    for clicks in (1, 2):
        page.get_by_role("button", name="Count").click()
        see(page, f"text={clicks} clicks")


NICEGUI = Service(
    name="nicegui",
    title="NiceGUI",
    command="python3 app.py",
    port=15040,
    environment_of="nicegui",
    use=Steps(
        first="text=0 clicks",
        socket="/_nicegui_ws/",
        use=(count_to_two,),
        click="role=link[name='Orders']",
        then="text=All orders",
        at="orders",
        deep="orders",
        found="text=All orders",
        upload_at="orders",
        upload="input[type=file]",
        uploaded="text=Got dot.png",
    ),
)

# --- Gradio


def greet(tour: Tour, page: Page) -> None:
    page.get_by_label("Name").fill("Ada")
    page.get_by_role("button", name="Greet").click()
    expect(page.get_by_label("Greeting")).to_have_value("Hello Ada")


GRADIO = Service(
    name="gradio",
    title="Gradio with pages",
    command="python3 app.py",
    port=15041,
    environment_of="gradio",
    use=Steps(
        first="role=heading[name='Greetings']",
        use=(greet,),
        click="role=link[name='Orders']",
        then="role=heading[name='All orders']",
        at="orders",
        deep="orders",
        found="role=heading[name='All orders']",
        upload_at="orders",
        upload="input[type=file]",
        uploaded="role=cell[name='dot.png']",
    ),
)

# --- Streamlit

STREAMLIT_PAGES = Service(
    name="streamlit_pages",
    title="Streamlit with pages",
    command="streamlit run app.py --server.port={port}",
    port=15042,
    environment_of="streamlit",
    # Its statistics of use, which it asks a server of its own about.
    elsewhere=(r"https://data\.streamlit\.io/metrics\.json",),
    expected=(
        r"^console: (Failed to fetch|Undefined) metrics config\b",
        r"\b404\b.*/orders/_stcore/",  # where it looks first for its base
    ),
    use=Steps(
        first="text=0 clicks",
        socket="/_stcore/stream",
        use=(count_to_two,),
        click="role=link[name='Orders']",
        then="role=heading[name='All orders']",
        at="orders",
        deep="orders",
        found="role=heading[name='All orders']",
        upload_at="orders",
        upload="input[type=file]",
        uploaded="text=Got dot.png",
    ),
)

# --- Shiny


def square_seven(tour: Tour, page: Page) -> None:
    page.get_by_label("Number").fill("7")
    page.keyboard.press("Tab")
    see(page, "text=The square is 49")


def download_a_table(tour: Tour, page: Page) -> None:
    with page.expect_download() as download:
        page.get_by_role("link", name="Table").click()
    assert download.value.path().read_text() == "number,square\n3,9\n"


SHINY = Service(
    name="shiny",
    title="Shiny for Python",
    command="shiny run app.py --port {port}",
    port=15043,
    environment_of="shiny",
    use=Steps(
        first="text=The square is 9",
        socket="/websocket/",
        use=(square_seven, download_a_table),
        upload="input[type=file]",
        uploaded="text=Got dot.png",
    ),
)

# --- Bokeh


def click_the_button(tour: Tour, page: Page) -> None:
    page.get_by_role("button", name="Click").click()
    see(page, "text=clicked")
    expect(page.locator(".bk-Figure")).to_be_visible()


BOKEH_TWO = Service(
    name="bokeh_two",
    title="Bokeh with two apps",
    command="bokeh serve counting.py orders.py --port {port}",
    port=15044,
    environment_of="panel",
    use=Steps(
        path="counting",
        first="text=not clicked",
        socket="/counting/ws",
        use=(click_the_button,),
        deep="orders",
        found="text=All orders",
        upload_at="orders",
        upload="input[type=file]",
        uploaded="text=Got dot.png",
    ),
)

# --- Panel

PANEL_TWO = Service(
    name="panel_two",
    title="Panel with two apps",
    command="panel serve squares.py orders.py --port {port}",
    port=15045,
    environment_of="panel",
    elsewhere=(FONTS, r"https://cdn\.holoviz\.org/panel/.*logo"),
    expected=(r"/thumbnails/\w+\.png",),  # on its list of apps, which have none
    use=Steps(
        first="text=Squares",
        click="a:has-text('Squares')",
        then="text=The square is 9",
        at="squares",
        deep="orders",
        found="text=No file yet",
        upload_at="orders",
        upload="input[type=file]",
        uploaded="text=Got dot.png",
    ),
)

# --- Dash


def bake_in_the_background(tour: Tour, page: Page) -> None:
    page.get_by_role("button", name="Bake").click()
    see(page, "text=hot")
    see(page, "text=baked 1")
    see(page, "text=cold")


DASH_BACKGROUND = Service(
    name="dash_background",
    title="Dash with a callback in the background",
    command="python3 app.py",
    port=15046,
    environment_of="dash_diskcache",
    use=Steps(
        first="text=nothing baked",
        use=(bake_in_the_background,),
        upload="input[type=file]",
        uploaded="text=Got dot.png",
    ),
)

# --- Chainlit


def say_hello(tour: Tour, page: Page) -> None:
    page.locator("#chat-input").click()
    page.keyboard.insert_text("hello")
    page.keyboard.press("Enter")
    see(page, "text=You said hello")


CHAINLIT = Service(
    name="chainlit",
    title="Chainlit",
    command="chainlit run app.py --headless --port {port}",
    port=15049,
    environment_of="chainlit",
    elsewhere=(FONTS, r"https://cdn\.jsdelivr\.net/npm/katex"),
    use=Steps(first="text=The bakery is open", socket="/ws/socket.io", use=(say_hello,)),
)

PYTHON_APPS = (
    NICEGUI,
    GRADIO,
    STREAMLIT_PAGES,
    SHINY,
    BOKEH_TWO,
    PANEL_TWO,
    DASH_BACKGROUND,
    CHAINLIT,
)
