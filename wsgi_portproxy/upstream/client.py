"""Step 4: the way to the services on the loopback.

Decides which connection a request goes out on, when a request is repeated, and what becomes of the
connection after the response. `connection` has one exchange, and `pool` the connections that wait
for their next one; they know nothing of each other.
"""

from __future__ import annotations

import _socket
import time
import weakref

from ..errors import NoResponse
from ..servers import VisitorSocket
from .channel import Limits
from .connection import EarlyHints, UpstreamConnection
from .pool import idle
from .request import UpstreamRequest
from .request_body import Upload
from .response import UpstreamResponse
from .reuse import may_share


class Upstream:
    """The way to all services.

    connect_timeout, head_timeout: seconds, for a connection to open and for the head of a response
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
        """When the head of a response must be there if it is asked for now, monotonic seconds."""
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
        """Send a request and return its response as soon as the head is there.

        Repeated once, on a fresh connection, if one that was used before turned out to be closed,
        before any byte of a response. `deadline`: for the head, from `head_deadline`. Raises as
        `UpstreamRequest.head`, `UpstreamConnection` and its `exchange` do.
        """
        head = request.head()  # before anything is opened: it may raise
        owner = self._owner  # `close` changes it
        has_body = upload is not None
        limits = Limits(deadline, self._head_timeout, self._idle_timeout)

        def exchange_on(connection: UpstreamConnection) -> UpstreamResponse:
            exchange = connection.exchange(
                request, head, upload, visitor=visitor, limits=limits, early_hints=early_hints
            )
            lease = _Lease(connection, owner)
            return UpstreamResponse(request, exchange, lease, has_body=has_body)

        if may_share(request, has_body=has_body):
            used = idle.take(owner, request.port)
            if used is not None:
                try:
                    return exchange_on(used)
                except NoResponse:
                    pass  # it was closed meanwhile; the same request may go out again
        return exchange_on(
            UpstreamConnection(
                request.port,
                timeout=self._connect_timeout,
                ipv6=self._ipv6,
                make_room=idle.close_all,
            )
        )

    def close(self) -> None:
        """Close all idle connections. Those in use close at the end of their exchange."""
        self._disown()
        self._owner = idle.owner()
        self._disown = weakref.finalize(self, idle.disown, self._owner)


class _Lease:
    """A connection while a response is read from it, see `response.Lease`."""

    def __init__(self, connection: UpstreamConnection, owner: int) -> None:
        self._connection = connection
        self._owner = owner

    def release(self, *, reusable: bool) -> None:
        if reusable:
            idle.put(self._connection, self._owner)
        else:
            self._connection.close()

    def detach(self) -> _socket.socket:
        return _socket.socket(fileno=self._connection.sock.detach())
