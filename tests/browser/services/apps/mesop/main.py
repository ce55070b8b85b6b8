"""A Mesop app of two pages, with a state and an upload."""

import mesop as me


@me.stateclass
class State:
    clicks: int = 0
    file: str = ""


def count(event: me.ClickEvent) -> None:
    me.state(State).clicks += 1


def go(event: me.ClickEvent) -> None:
    me.navigate("/orders")


def uploaded(event: me.UploadEvent) -> None:
    me.state(State).file = event.file.name


@me.page(path="/", title="Bakery")
def home() -> None:
    me.text("Loaves", type="headline-4")
    me.button("Count", on_click=count)
    me.text(f"{me.state(State).clicks} clicks")
    me.button("Orders", on_click=go)


@me.page(path="/orders", title="Orders")
def orders() -> None:
    me.text("All orders", type="headline-4")
    me.uploader(label="Send a file", on_upload=uploaded)
    me.text(f"Got {me.state(State).file}")
