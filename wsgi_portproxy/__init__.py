"""Reach the services on a server's ports through a WSGI app, under the app's own access control.

from wsgi_portproxy import PortProxy

application = PortProxy(app, authorizer=may_view, mount="/{username}/{project}")
"""

from .errors import PortProxyError
from .locate.links import url_for_port
from .locate.target import Target
from .metrics import OnRequest, RequestMetrics
from .middleware import PortProxy
from .policy.ask_app import AskApp
from .policy.authorize import Authorizer
from .policy.ports import AllowedPorts
from .rewrite.pages import PageAdapter
from .rewrite.pages.adapters import DEFAULT_PAGE_ADAPTERS
from .rewrite.urls import View
from .settings import Identity, StripMount
from .stats import Stats

__all__ = [
    "DEFAULT_PAGE_ADAPTERS",
    "AllowedPorts",
    "AskApp",
    "Authorizer",
    "Identity",
    "OnRequest",
    "PageAdapter",
    "PortProxy",
    "PortProxyError",
    "RequestMetrics",
    "Stats",
    "StripMount",
    "Target",
    "View",
    "url_for_port",
]
__version__ = "0.3.0"
