"""The test app with little patience, so that what hangs at a hundred offsets takes seconds; and
with much, so that a busy machine is not taken for a service that hangs."""

from __future__ import annotations

from tests.support.hostapp import MOUNT, app, may_view
from wsgi_portproxy import PortProxy

# Visitors who left are noticed within a second; more than the usual half of the threads may be held
# by them meanwhile.
CAP = 1000
patient = PortProxy(
    app, authorizer=may_view, mount=MOUNT, head_timeout=20.0, max_requests_per_port=CAP
)
impatient = PortProxy(
    app, authorizer=may_view, mount=MOUNT, head_timeout=0.3, max_requests_per_port=CAP
)
