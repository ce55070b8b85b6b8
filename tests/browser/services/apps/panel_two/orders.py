"""Another Panel app: a template with a file, and a location that follows."""

from __future__ import annotations

import panel as pn

pn.extension()
file = pn.widgets.FileInput()
told = pn.bind(lambda name: f"Got {name}!" if name else "No file yet", file.param.filename)
page = pn.template.FastListTemplate(title="All orders", main=[file, told])
page.servable()
