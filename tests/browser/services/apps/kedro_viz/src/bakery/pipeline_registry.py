"""The one pipeline: from flour to bread."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline


def knead(flour: str) -> str:
    return f"dough of {flour}"


def bake(dough: str) -> str:
    return f"bread of {dough}"


def register_pipelines() -> dict[str, Pipeline]:
    return {"__default__": pipeline([node(knead, "flour", "dough"), node(bake, "dough", "bread")])}
