"""A Dash app: a graph, and two pages by dcc.Location, whose addresses begin with a slash."""

from __future__ import annotations

import plotly.graph_objects as go
from dash import Dash, Input, Output, callback, dcc, html

app = Dash(title="Sales")
app.layout = html.Div(
    [
        dcc.Location(id="location"),
        html.H1("Sales"),
        dcc.Dropdown(["tea", "coffee"], "tea", id="product", clearable=False),
        html.P(id="chosen"),
        dcc.Graph(figure=go.Figure(go.Scatter(x=[1, 2, 3], y=[4, 1, 2]))),
    ]
)


@callback(Output("chosen", "children"), Input("product", "value"))
def choose(product: str) -> str:
    return f"You chose {product}"


if __name__ == "__main__":
    app.run(port=15050)
