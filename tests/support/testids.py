"""Whether a test that a document names is there."""

from __future__ import annotations

import ast
from functools import cache

from .servers import ROOT


def has_test(test_id: str) -> bool:
    """Whether `folder/test_file.py::test_name`, below tests/, is a test."""
    path, _, name = test_id.partition("::")
    return name.startswith("test_") and name in _functions_of(path)


@cache
def _functions_of(path: str) -> frozenset[str]:
    file = ROOT / "tests" / path
    tree = ast.parse(file.read_text("utf-8")) if file.exists() else ast.Module([], [])
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))
