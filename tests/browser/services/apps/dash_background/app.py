"""A Dash app whose callback takes long, and runs in the background: the page asks how far it is."""

from __future__ import annotations

import time

import diskcache
from dash import Dash, DiskcacheManager, Input, Output, dcc, html

manager = DiskcacheManager(diskcache.Cache("./cache"))
app = Dash(__name__, background_callback_manager=manager)
app.layout = html.Div(
    [
        html.H1("Baking"),
        html.Button("Bake", id="bake"),
        html.P("nothing baked", id="told"),
        html.P("cold", id="oven"),
        dcc.Upload("Choose a file", id="file"),
        html.P("No file yet", id="got"),
    ]
)


@app.callback(
    Output("told", "children"),
    Input("bake", "n_clicks"),
    background=True,
    running=[(Output("oven", "children"), "hot", "cold")],
    prevent_initial_call=True,
)
def bake(clicks: int) -> str:
    time.sleep(2)
    return f"baked {clicks}"


@app.callback(Output("got", "children"), Input("file", "filename"), prevent_initial_call=True)
def take(name: str) -> str:
    return f"Got {name}"


if __name__ == "__main__":
    app.run(port=15046)
