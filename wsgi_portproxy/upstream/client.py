"""Step 4: sends requests to the services on the loopback.

Decides which connection a request uses, when a request is repeated, and where the connection goes
after the response. `connection` performs one exchange, and `pool` keeps idle connections.
"""

from __future__ import annotations

import time
import weakref

from ..errors import NoResponse
from ..servers import VisitorSocket
from ..settings import Timeouts
from .channel import Route
from .connection import EarlyHints, connect
from .pool import Lease, idle
from .request import UpstreamRequest
from .request_body import Upload
from .response import UpstreamResponse
from .reuse import may_share
from .steps import Steps


class Upstream:
    """Sends the requests of one `PortProxy` to services."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._owner = idle.owner()
        self._disown = weakref.finalize(self, idle.disown, self._owner)

    def route(self, visitor: VisitorSocket | None = None, *, ipv6: bool = False) -> Route:
        """The route of a request that goes out now."""
        timeouts = self._timeouts
        deadline = time.monotonic() + timeouts.head
        return Route(visitor, ipv6, deadline, timeouts.head, timeouts.stream_idle)

    def send(
        self,
        request: UpstreamRequest,
        route: Route,
        upload: Upload | None = None,
        *,
        early_hints: EarlyHints | None = None,
    ) -> Steps[UpstreamResponse]:
        """Send a request and return its response as soon as the head has come.

        Repeats the request once, on a fresh connection, if a used one turns out to be closed before
        any byte of a response. Raises what `UpstreamRequest.head`, `UpstreamConnection` and its
        `exchange` raise.
        """
        head = request.head()  # before a connection is opened: it may raise
        request = request.without_headers()
        owner = self._owner  # `close` changes it
        has_body = upload is not None
        may_share_one = may_share(request, has_body=has_body)
        lease = idle.take(owner, request.port) if may_share_one else None
        if lease is not None:
            try:
                exchange = yield from lease.connection.exchange(
                    request, head, upload, route, early_hints
                )
                return UpstreamResponse(request, exchange, lease, has_body=has_body)
            except NoResponse:
                pass  # closed meanwhile; the request may be repeated
        timeout = min(self._timeouts.connect, self._timeouts.head)
        connection = yield from connect(
            request.port, route, timeout=timeout, make_room=idle.close_all
        )
        exchanging = connection.exchange(request, head, upload, route, early_hints)
        del head  # the response may take long
        exchange = yield from exchanging
        lease = Lease(connection, owner)
        return UpstreamResponse(request, exchange, lease, has_body=has_body)

    def close(self) -> None:
        """Close all idle connections. Connections in use close after their exchange."""
        self._disown()
        self._owner = idle.owner()
        self._disown = weakref.finalize(self, idle.disown, self._owner)
