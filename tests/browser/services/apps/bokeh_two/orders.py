"""Another Bokeh app: what the service gets of a file."""

from __future__ import annotations

from bokeh.layouts import column
from bokeh.models import Div, FileInput
from bokeh.plotting import curdoc

told = Div(text="All orders")
file = FileInput()
file.on_change("filename", lambda attr, old, new: told.update(text=f"Got {new}"))
curdoc().add_root(column(told, file))
