"""A Panel app: a number and what the service makes of it."""

from __future__ import annotations

import panel as pn

pn.extension()
number = pn.widgets.IntInput(name="Number", value=3)
square = pn.bind(lambda value: f"The square is {value * value}", number)
pn.Column("# Squares", number, square).servable(title="Squares")
