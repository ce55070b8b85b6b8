"""Step 4: sends requests to the services on the loopback.

Decides which connection a request uses, when a request is repeated, and where the connection goes
after the response. `connection` performs one exchange, and `pool` keeps idle connections.
"""

from __future__ import annotations

import time
import weakref
from typing import NamedTuple

from ..errors import NoResponse
from ..servers import VisitorSocket
from ..settings import Timeouts
from .channel import Limits
from .connection import EarlyHints, UpstreamConnection
from .pool import Lease, idle
from .request import UpstreamRequest
from .request_body import Upload
from .response import UpstreamResponse
from .reuse import may_share


class Route(NamedTuple):
    """How to send a request, and the requests that follow its redirects.

    deadline: for the head of the response, from `Upstream.head_deadline`.
    visitor: the visitor's connection; the request ends when it closes.
    ipv6: whether to try [::1] if nothing listens on 127.0.0.1.
    """

    deadline: float
    visitor: VisitorSocket | None = None
    ipv6: bool = False


class Upstream:
    """Sends the requests of one `PortProxy` to services."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._owner = idle.owner()
        self._disown = weakref.finalize(self, idle.disown, self._owner)

    def head_deadline(self) -> float:
        """When the response head to a request sent now is due, in monotonic seconds."""
        return time.monotonic() + self._timeouts.head

    def send(
        self,
        request: UpstreamRequest,
        route: Route,
        upload: Upload | None = None,
        *,
        early_hints: EarlyHints | None = None,
    ) -> UpstreamResponse:
        """Send a request and return its response as soon as the head has come.

        Repeats the request once, on a fresh connection, if a used one turns out to be closed before
        any byte of a response. Raises what `UpstreamRequest.head`, `UpstreamConnection` and its
        `exchange` raise.
        """
        head = request.head()  # before a connection is opened: it may raise
        owner = self._owner  # `close` changes it
        has_body = upload is not None
        timeouts = self._timeouts
        limits = Limits(route.deadline, timeouts.head, timeouts.stream_idle)

        def exchange_on(lease: Lease) -> UpstreamResponse:
            exchange = lease.connection.exchange(
                request, head, upload, visitor=route.visitor, limits=limits, early_hints=early_hints
            )
            return UpstreamResponse(request, exchange, lease, has_body=has_body)

        if may_share(request, has_body=has_body):
            used = idle.take(owner, request.port)
            if used is not None:
                try:
                    return exchange_on(used)
                except NoResponse:
                    pass  # closed meanwhile; the request may be repeated
        connection = UpstreamConnection(
            request.port,
            timeout=min(timeouts.connect, timeouts.head),
            ipv6=route.ipv6,
            make_room=idle.close_all,
        )
        return exchange_on(Lease(connection, owner))

    def close(self) -> None:
        """Close all idle connections. Connections in use close after their exchange."""
        self._disown()
        self._owner = idle.owner()
        self._disown = weakref.finalize(self, idle.disown, self._owner)
