"""The tests. `LEAVING` in the environment says which requests leave their thread, in all servers
that the tests start: `all` of them at once, or `none`; without it, those that a deployment's would.
"""

import os
import sys

LEAVING = os.environ.get("LEAVING", "")
_AFTER = {"all": 0.0, "none": None}
#: Whether a quick response keeps the visitor's connection, on servers where requests leave.
KEPT = LEAVING != "all"


def _set_default() -> None:
    """Change the default, which no test app does: there are dozens of them, in many processes."""
    from wsgi_portproxy import PortProxy

    defaults = PortProxy.__init__.__kwdefaults__
    assert defaults is not None
    assert "detach_after" in defaults
    defaults["detach_after"] = _AFTER[LEAVING]


# gevent has to patch `ssl` before anybody imports it; and under gevent nothing leaves.
if LEAVING and not any("gevent" in word for word in sys.argv[1:2]):
    _set_default()
