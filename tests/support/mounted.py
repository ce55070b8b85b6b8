"""The test app below a SCRIPT_NAME, put there by a dispatcher."""

from __future__ import annotations

from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from . import hostapp

application = DispatcherMiddleware(NotFound(), {"/apps": hostapp.application})
