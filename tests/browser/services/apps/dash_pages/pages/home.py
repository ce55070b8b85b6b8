"""The first page: a callback."""

import dash
from dash import Input, Output, callback, dcc, html

dash.register_page(__name__, path="/", name="Home")
layout = html.Div([dcc.Dropdown(["tea", "coffee"], "tea", id="product"), html.P(id="chosen")])


@callback(Output("chosen", "children"), Input("product", "value"))
def chosen(product: str) -> str:
    return f"You chose {product}"
