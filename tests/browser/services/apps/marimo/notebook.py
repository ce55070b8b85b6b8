"""A marimo notebook: a slider, and a cell that depends on it."""

import marimo

app = marimo.App()


@app.cell
def _():  # type: ignore[no-untyped-def]
    import marimo as mo

    return (mo,)


@app.cell
def _(mo):  # type: ignore[no-untyped-def]
    number = mo.ui.number(start=1, stop=9, value=3, label="Number")
    number  # noqa: B018  as a cell ends, which shows it
    return (number,)


@app.cell
def _(mo, number):  # type: ignore[no-untyped-def]
    mo.md(f"The square is {number.value**2}")
    return


if __name__ == "__main__":
    app.run()
