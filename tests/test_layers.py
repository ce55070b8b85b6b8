"""Imports go down only: to rooms on lower lines of ARCHITECTURE.md, and never in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tests.support.servers import ROOT

# The table of ARCHITECTURE.md, highest first. Rooms on one line do not know each other.
LAYERS = """\
__main__  contrib
__init__
middleware
app_or_service  forward  stats  stream_back
respond
tunnel
inflight
lasting
upstream
policy
settings
rewrite
locate
servers
metrics  subrequest
errors  names
"""
PACKAGE = ROOT / "wsgi_portproxy"
HEIGHTS = {room: -line for line, row in enumerate(LAYERS.splitlines()) for room in row.split()}


def module_of(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported_by(module: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The modules of the package that a module imports, those for type checkers alone included."""
    path = MODULES[module]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.relative_to(PACKAGE).parent.parts
            base = folder[: len(folder) - node.level + 1]
            base += tuple(node.module.split(".")) if node.module else ()
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("wsgi_portproxy"):
            base = tuple(str(node.module).split("."))[1:]
        else:
            continue
        for name in node.names:
            yield next(one for one in ((*base, name.name), base or ("__init__",)) if one in MODULES)


IMPORTS = {module: set(imported_by(module)) for module in MODULES}


def test_every_room_has_its_layer() -> None:
    assert {module[0] for module in MODULES} == set(HEIGHTS)
    assert f"\n{LAYERS}```\n" in (ROOT / "ARCHITECTURE.md").read_text("utf-8")


def test_imports_go_down() -> None:
    up = [
        f"{'.'.join(module)} -> {'.'.join(other)}"
        for module, others in IMPORTS.items()
        for other in sorted(others)
        if module[0] != other[0] and HEIGHTS[module[0]] <= HEIGHTS[other[0]]
    ]
    assert up == []


def test_no_modules_import_each_other() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(".".join(module) for module in error.args[1])) from None
