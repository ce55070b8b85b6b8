"""A Celery app with one task."""

from __future__ import annotations

from celery import Celery

app = Celery("bakery", broker="memory://", backend="cache+memory://")


@app.task
def bake(name: str) -> str:
    return f"a {name} loaf"
