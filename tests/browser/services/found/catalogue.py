"""The services of found.md, by theme; each works in the forms that it says, or else the tests fail.

A theme is a module with a tuple of its services, and one line here.
"""

from __future__ import annotations

from ..service import Service
from .node_frameworks import NODE_FRAMEWORKS
from .node_servers import NODE_SERVERS
from .node_tools import NODE_TOOLS
from .node_vite import VITE
from .other_servers import OTHER_SERVERS
from .other_tools import OTHER_TOOLS
from .python_dashboards import PYTHON_DASHBOARDS

FOUND: tuple[Service, ...] = (
    *PYTHON_DASHBOARDS,
    *NODE_FRAMEWORKS,
    *NODE_SERVERS,
    *NODE_TOOLS,
    *VITE,
    *OTHER_SERVERS,
    *OTHER_TOOLS,
)
