"""The services of found.md, by theme; each works in the forms that it says, or else the tests fail.

A theme is a module with a tuple of its services, and one line here.
"""

from __future__ import annotations

from ..service import Service
from .python_apps import PYTHON_APPS
from .python_dashboards import PYTHON_DASHBOARDS
from .python_databases import PYTHON_DATABASES
from .python_frameworks import PYTHON_FRAMEWORKS
from .python_tools import PYTHON_TOOLS

FOUND: tuple[Service, ...] = (
    *PYTHON_DASHBOARDS,
    *PYTHON_APPS,
    *PYTHON_DATABASES,
    *PYTHON_FRAMEWORKS,
    *PYTHON_TOOLS,
)
