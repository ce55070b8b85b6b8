"""Step 4: the way to the services on the loopback.

Owns which connection a request goes out on, and when a request is repeated. urllib3 owns
connecting; the connection class is `exchange`'s, and connections wait for their next request in
`idle`.
"""

from __future__ import annotations

import time
import weakref

from ..errors import NoResponse
from ..servers import VisitorSocket
from .channel import Limits
from .connection import EarlyHints, UpstreamConnection, UpstreamRequest
from .pool import idle
from .request_body import Upload
from .response import UpstreamResponse
from .reuse import may_share


class Upstream:
    """The way to all services.

    connect_timeout, head_timeout: seconds, for a connection to open and for the head of an answer
    to come (counted from the last byte of an upload that the service took, else from the start).
    idle_timeout: seconds that its body may pause; None: any number.
    ipv6: whether [::1] is tried where nothing listens on 127.0.0.1.
    """

    def __init__(
        self,
        *,
        connect_timeout: float,
        head_timeout: float,
        idle_timeout: float | None = None,
        ipv6: bool = False,
    ) -> None:
        if not (connect_timeout > 0 and head_timeout > 0):
            raise ValueError("connect_timeout and head_timeout must be more than 0 seconds")
        if idle_timeout is not None and not idle_timeout > 0:
            raise ValueError("stream_idle_timeout must be more than 0 seconds, or None")
        self._connect_timeout = min(connect_timeout, head_timeout)
        self._head_timeout = head_timeout
        self._idle_timeout = idle_timeout
        self._ipv6 = ipv6
        self._owner = idle.owner()
        self._disown = weakref.finalize(self, idle.disown, self._owner)

    def head_deadline(self) -> float:
        """When the head of an answer has to be there which is asked for now, monotonic seconds."""
        return time.monotonic() + self._head_timeout

    def send(
        self,
        request: UpstreamRequest,
        upload: Upload | None = None,
        *,
        deadline: float,
        visitor: VisitorSocket | None = None,
        early_hints: EarlyHints | None = None,
    ) -> UpstreamResponse:
        """Send a request and return its answer as soon as the head is there.

        Repeated once, on a fresh connection, if one that was used before turned out to be closed,
        before any byte of an answer. `deadline`: for the head, from `head_deadline`. Raises as
        `UpstreamConnection.exchange` does.
        """
        limits = Limits(deadline, self._head_timeout, self._idle_timeout)
        if may_share(request, has_body=upload is not None):
            connection = idle.take(self._owner, request.port)
            if connection is not None:
                try:
                    return connection.exchange(request, upload, visitor, limits, early_hints)
                except NoResponse:
                    pass  # it was closed meanwhile; the same request may go out again
        connection = UpstreamConnection(
            request.port, timeout=self._connect_timeout, ipv6=self._ipv6, owner=self._owner
        )
        return connection.exchange(request, upload, visitor, limits, early_hints)

    def close(self) -> None:
        """Close all idle connections. Those in use close at the end of their exchange."""
        self._disown()
        self._owner = idle.owner()
        self._disown = weakref.finalize(self, idle.disown, self._owner)
