"""A Shiny app: what the service makes of a number and of a file, and a table to download."""

from __future__ import annotations

from collections.abc import Iterator

from shiny import App, Inputs, Outputs, Session, reactive, render, ui

page = ui.page_fluid(
    ui.input_numeric("number", "Number", 3),
    ui.output_text("square"),
    ui.download_button("table", "Table"),
    ui.input_file("file", "File"),
    ui.output_text("told"),
    title="Bakery",
)


def server(input: Inputs, output: Outputs, session: Session) -> None:
    @render.text
    def square() -> str:
        return f"The square is {input.number() ** 2}"

    @reactive.calc
    def name() -> str:
        return input.file()[0]["name"] if input.file() else "nothing yet"

    @render.text
    def told() -> str:
        return f"Got {name()}"

    @render.download(filename="table.csv")
    def table() -> Iterator[str]:
        yield "number,square\n3,9\n"


app = App(page, server)
