"""Reach the services on a server's ports through a WSGI app, under the app's own access control.

from wsgi_portproxy import PortProxy

application = PortProxy(app, authorizer=may_view, mount="/{username}/{project}")
"""

from .askapp import AskApp
from .authorize import Authorizer
from .errors import PortProxyError
from .locate import Target
from .middleware import PortProxy
from .ports import AllowedPorts

__all__ = ["AllowedPorts", "AskApp", "Authorizer", "PortProxy", "PortProxyError", "Target"]
__version__ = "0.1.0"
