"""The promises of SECURITY.md: each names tests that hold it, and they are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEST_ID = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def promises() -> dict[str, str]:
    """The text of each promise, by the words in bold that it begins with."""
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    section = text.partition("## What is promised today")[2].partition("\n## ")[0]
    items = re.split(r"^- ", section, flags=re.MULTILINE)[1:]
    return {item.split("**")[1].replace("\n ", ""): item for item in items}


@cache
def tests_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    names = (node.name for node in tree.body if isinstance(node, ast.FunctionDef))
    return frozenset(name for name in names if name.startswith("test_"))


@pytest.mark.parametrize("promise", promises())
def test_a_promise_names_the_tests_that_hold_it(promise: str) -> None:
    held_by = TEST_ID.findall(promises()[promise].partition("→")[2])
    assert held_by
    for path, name in held_by:
        assert name in tests_in(path), f"{path}::{name}"


def test_the_promises_are_found() -> None:
    assert len(promises()) > 12
