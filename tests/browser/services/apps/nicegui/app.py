"""A NiceGUI app with two pages: a button that counts, and a file that is sent."""

from __future__ import annotations

import os

from nicegui import events, ui

os.environ.pop("PYTEST_CURRENT_TEST", None)  # with it NiceGUI believes that itself is tested


@ui.page("/")
def home() -> None:
    clicks = 0
    ui.label("Counting")
    told = ui.label("0 clicks")

    def count() -> None:
        nonlocal clicks
        clicks += 1
        told.text = f"{clicks} clicks"

    ui.button("Count", on_click=count)
    ui.link("Orders", "/orders")


@ui.page("/orders")
def orders() -> None:
    ui.label("All orders")
    told = ui.label("No file yet")

    def take(upload: events.UploadEventArguments) -> None:
        told.text = f"Got {upload.file.name}"

    ui.upload(on_upload=take, auto_upload=True)
    ui.button("Home", on_click=lambda: ui.navigate.to("/"))


ui.run(port=15040, host="127.0.0.1", show=False, reload=False, title="Bakery")
