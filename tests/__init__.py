"""The tests. `LEAVING` in the environment says which requests leave their thread, in all servers
that the tests start: `all` of them at once, or `none`; without it, those that a deployment's would.
"""

import os

from wsgi_portproxy import PortProxy

LEAVING = os.environ.get("LEAVING", "")
_AFTER = {"all": 0.0, "none": None}

#: Whether a quick response keeps the visitor's connection, on servers where requests leave.
KEPT = LEAVING != "all"

if LEAVING:
    # The default, which no test app changes: there are dozens of them, in many processes.
    defaults = PortProxy.__init__.__kwdefaults__ or {}
    assert "detach_after" in defaults
    defaults["detach_after"] = _AFTER[LEAVING]
