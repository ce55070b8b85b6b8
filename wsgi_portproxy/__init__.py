"""Reach the services on a server's ports through a WSGI app, under the app's own access control.

from wsgi_portproxy import PortProxy

application = PortProxy(app, authorizer=may_view, mount="/{username}/{project}")
"""

from .adapters import DEFAULT_PAGE_ADAPTERS
from .askapp import AskApp
from .authorize import Authorizer
from .errors import PortProxyError
from .links import url_for_port
from .locate import Target
from .metrics import OnRequest, RequestMetrics
from .middleware import PortProxy
from .pages import PageAdapter
from .ports import AllowedPorts
from .rewrite import View
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
