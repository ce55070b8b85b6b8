"""A Dash app of two pages, by Dash's own router."""

import dash
from dash import Dash, dcc, html

app = Dash(__name__, use_pages=True)
app.layout = html.Div(
    [
        html.H1("Bakery"),
        *(
            dcc.Link(page["name"], href=page["relative_path"])
            for page in dash.page_registry.values()
        ),
        dash.page_container,
    ]
)

if __name__ == "__main__":
    app.run(port=15050)
