"""The test app with little patience, so that what hangs at a hundred offsets takes seconds; and
with much, so that a busy machine is not taken for a service that hangs."""

from __future__ import annotations

from tests.support.hostapp import MOUNT, app, may_view
from wsgi_portproxy import PortProxy

patient = PortProxy(app, authorizer=may_view, mount=MOUNT, head_timeout=20.0)
impatient = PortProxy(app, authorizer=may_view, mount=MOUNT, head_timeout=0.3)
