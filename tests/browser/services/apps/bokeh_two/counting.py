"""A Bokeh app: a plot, and a button whose callback runs in the service."""

from __future__ import annotations

from bokeh.layouts import column
from bokeh.models import Button, Div
from bokeh.plotting import curdoc, figure

plot = figure(height=200, title="A line")
plot.line([1, 2, 3], [4, 1, 2])
told = Div(text="not clicked")
button = Button(label="Click")
button.on_click(lambda: told.update(text="clicked"))
curdoc().add_root(column(plot, button, told))
