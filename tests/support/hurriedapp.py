"""The test app of streams, with a relay that is quick to give up on ends that linger."""

from __future__ import annotations

from wsgi_portproxy.tunnel import relay

from .streamapp import quick

LINGER = 0.4  # seconds; a test that waits for the real ten would be left out

relay.LINGER = LINGER
relay._SWEEP = LINGER / 4

application = quick
