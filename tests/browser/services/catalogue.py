"""The services that are tried, in the order of the documentation."""

from __future__ import annotations

from .dashboards import BOKEH, DASH, PANEL, STREAMLIT
from .jupyter import LAB, NOTEBOOK
from .own_apps import DJANGO, FASTAPI, FLASK
from .service import Service
from .viewers import HTTP_SERVER, MLFLOW, TENSORBOARD

SERVICES: tuple[Service, ...] = (
    TENSORBOARD,
    NOTEBOOK,
    LAB,
    HTTP_SERVER,
    MLFLOW,
    FLASK,
    FASTAPI,
    DJANGO,
    STREAMLIT,
    DASH,
    BOKEH,
    PANEL,
)
