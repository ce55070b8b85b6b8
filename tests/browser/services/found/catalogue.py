"""Every service that was found to work or to fail in a browser, by theme.

A theme is a module with a tuple of its services; its name goes here.
"""

from __future__ import annotations

from ..service import Service
from .node_frameworks import NODE_FRAMEWORKS
from .node_servers import NODE_SERVERS
from .node_tools import NODE_TOOLS
from .node_vite import VITE
from .other_servers import OTHER_SERVERS
from .other_tools import OTHER_TOOLS
from .python_apps import PYTHON_APPS
from .python_dashboards import PYTHON_DASHBOARDS
from .python_databases import PYTHON_DATABASES
from .python_frameworks import PYTHON_FRAMEWORKS
from .python_runs import PYTHON_RUNS
from .python_suites import PYTHON_SUITES
from .python_tools import PYTHON_TOOLS

FOUND: tuple[Service, ...] = (
    *PYTHON_DASHBOARDS,
    *NODE_FRAMEWORKS,
    *NODE_SERVERS,
    *NODE_TOOLS,
    *VITE,
    *OTHER_SERVERS,
    *OTHER_TOOLS,
    *PYTHON_RUNS,
    *PYTHON_SUITES,
    *PYTHON_APPS,
    *PYTHON_DATABASES,
    *PYTHON_FRAMEWORKS,
    *PYTHON_TOOLS,
)
