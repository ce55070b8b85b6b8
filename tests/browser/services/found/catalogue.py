"""Every service that was found to work or to fail in a browser, by theme.

A theme is a module with a tuple of its services; its name goes here.
"""

from __future__ import annotations

from ..service import Service
from .python_apps import PYTHON_APPS
from .python_dashboards import PYTHON_DASHBOARDS
from .python_databases import PYTHON_DATABASES
from .python_frameworks import PYTHON_FRAMEWORKS
from .python_notebooks import PYTHON_NOTEBOOKS
from .python_runs import PYTHON_RUNS
from .python_suites import PYTHON_SUITES
from .python_tools import PYTHON_TOOLS

FOUND: tuple[Service, ...] = (
    *PYTHON_DASHBOARDS,
    *PYTHON_RUNS,
    *PYTHON_SUITES,
    *PYTHON_APPS,
    *PYTHON_DATABASES,
    *PYTHON_FRAMEWORKS,
    *PYTHON_NOTEBOOKS,
    *PYTHON_TOOLS,
)
