"""The services that are tried, in the order of the documentation."""

from __future__ import annotations

from .dashboards import BOKEH, DASH, PANEL, STREAMLIT
from .deployed_apps import DJANGO_ASGI, DJANGO_WSGI, FASTAPI_SESSION, FLASK_SOCKETIO
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
    FLASK_SOCKETIO,
    FASTAPI,
    FASTAPI_SESSION,
    DJANGO,
    DJANGO_WSGI,
    DJANGO_ASGI,
    STREAMLIT,
    DASH,
    BOKEH,
    PANEL,
)
