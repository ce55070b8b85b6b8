"""The second page: a file that is uploaded."""

import dash
from dash import Input, Output, callback, dcc, html

dash.register_page(__name__, path="/orders", name="Orders")
layout = html.Div(
    [html.H2("All orders"), dcc.Upload(html.Button("Send a file"), id="file"), html.P(id="sent")]
)


@callback(Output("sent", "children"), Input("file", "filename"), prevent_initial_call=True)
def sent(name: str) -> str:
    return f"Got {name}"
