"""Reach the services on a server's ports through a WSGI app, under the app's own access control.

from wsgi_portproxy import PortProxy

application = PortProxy(app, authorizer=may_view, mount="/{username}/{project}")
"""

from .errors import PortProxyError
from .locate.links import url_for_port
from .locate.port_template import port_addresses
from .locate.target import Target
from .metrics import OnFinished, RequestMetrics
from .middleware import PortProxy
from .policy.ask_app import AskApp
from .policy.authorize import Allowed, Authorizer
from .policy.ports import AllowedPorts
from .rewrite.pages import Page, PageAdapter
from .rewrite.pages.adapters import DEFAULT_PAGE_ADAPTERS
from .settings import Limits, Listen, Service, Services, Timeouts, UrlForms, Withhold
from .stats import Stats

__all__ = [
    "DEFAULT_PAGE_ADAPTERS",
    "Allowed",
    "AllowedPorts",
    "AskApp",
    "Authorizer",
    "Limits",
    "Listen",
    "OnFinished",
    "Page",
    "PageAdapter",
    "PortProxy",
    "PortProxyError",
    "RequestMetrics",
    "Service",
    "Services",
    "Stats",
    "Target",
    "Timeouts",
    "UrlForms",
    "Withhold",
    "port_addresses",
    "url_for_port",
]
__version__ = "0.3.0"
