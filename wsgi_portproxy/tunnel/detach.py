"""Detaches streams: hands the rest of a body to the relay, which frees the server's thread.

Decides which responses leave, and when. A response may leave only if the framing that the server
began is known for sure (`servers.base.ServerResponse`); all others stay in their threads and work
as usual.
"""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING, Any

from ..errors import TooManyTunnels
from ..locate.visit import Visit
from ..servers import ServerResponse
from ..settings import Timeouts
from ..upstream.steps import in_thread
from .hijack import Hijacker
from .records import NewTunnel
from .reframe import Reframer
from .shared import is_available, relay

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

    from ..inflight import InFlight
    from ..upstream.response import UpstreamResponse


class Detaching:
    """Decides which responses of one `PortProxy` may leave. Settings as in `PortProxy`."""

    def __init__(self, hijacker: Hijacker, timeouts: Timeouts, *, after: float | None) -> None:
        if after is not None and not (type(after) in (int, float) and after >= 0):
            raise ValueError(f"detach_after takes seconds from 0 on, or None, not {after!r}")
        self.hijacker = hijacker
        self.idle_timeout = timeouts.stream_idle or float("inf")
        self._after = after

    def chance_of(
        self, visit: Visit, start_response: StartResponse, response: UpstreamResponse
    ) -> Detachment | None:
        """The response's chance to leave its thread, or None if it has to stay."""
        if self._after is None or response.framing.complete:
            return None  # most bodies arrive together with their head
        if not is_available() or visit.connection is None:
            return None
        server, visitor = visit.connection
        sent = server.response(visit.environ, start_response)
        if sent is None:
            return None
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return Detachment(
            self,
            visit,
            visitor,
            sent,
            due=time.monotonic() + self._after,
            is_event_stream=content_type == "text/event-stream",
        )


class Detachment:
    """One response's chance to leave its thread.

    visitor: the visitor's socket. sent: the server's record of the response. due: the monotonic
        time at which it is to leave; an event stream leaves after its first block already.
    """

    def __init__(
        self,
        detaching: Detaching,
        visit: Visit,
        visitor: Any,
        sent: ServerResponse,
        *,
        due: float,
        is_event_stream: bool,
    ) -> None:
        self._detaching = detaching
        self._visit = visit
        self._sent = sent
        # The head, not sent yet, must announce the close. Otherwise a front end (nginx with
        # `keepalive`) or browser may already have sent its next request on this connection when it
        # ends, and may not repeat a POST (RFC 9112 section 9.3.1).
        sent.close_connection()
        self._due = due
        self._is_event_stream = is_event_stream
        self._visitor = visitor
        self._writable = select.poll()
        self._writable.register(self._visitor, select.POLLOUT)

    def is_due(self, response: UpstreamResponse, passed: int, size: int) -> bool:
        """Whether `response` is to leave now.

        Waits until the visitor can take the next block, of at most `size` bytes, and the block has
        come, or until the response is due. Raises as reading the body does. `passed`: bytes of the
        body passed on so far.
        """
        if response.framing.complete or not response.holds_connection:
            return False  # the rest has come, or broke off
        remaining = max(0.0, self._due - time.monotonic())
        if response.request_is_sent and not self._writable.poll(remaining * 1000):
            return True  # the server's write could wait for this visitor indefinitely
        if response.is_ready:
            return False
        if response.request_is_sent and (not remaining or (self._is_event_stream and passed)):
            return True
        # Only the thread carries uploads: they go on here, and a broken one keeps its thread.
        remaining = max(0.0, self._due - time.monotonic())
        waited = in_thread(response.wait(remaining, size))
        return not waited and response.request_is_sent

    def room(self) -> int:
        """How many bytes the server can write without waiting.

        Linux calls a TCP socket writable when a third of its buffer is free
        (sk_stream_is_writeable), and a Unix socket when three quarters are (unix_writable).
        """
        buffer: int = self._visitor.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        return max(1, buffer // 4)

    def detach(self, response: UpstreamResponse, request: InFlight, passed: int) -> bool:
        """Hand the rest of the body to the relay; False if it stays, for instance for lack of room.

        `passed`: bytes of the body passed on so far. Afterwards the server writes to a dummy, which
        swallows the end of the response as the server frames it, and `request` ends with the
        stream.
        """
        self._sent.send_head()
        # A middleware that holds blocks back (to collect the body, or to change the last block)
        # would later write them to the dummy, where they are lost.
        if self._sent.sent != passed:
            return False
        try:
            hijacked = self._detaching.hijacker.hijack(self._visit, request.port)
        except (OSError, TooManyTunnels):
            return False
        is_chunked = self._sent.is_chunked
        stream = Reframer(
            response.framing,
            chunked=is_chunked,
            needs_reset=not is_chunked and not self._sent.has_length,
        )
        status = response.status
        service, ready = response.detach()
        ended = request.detach(status)

        def on_end(complete: bool, received: int, sent: int) -> None:
            ended(complete, 0, passed + stream.passed)

        relay().add(
            NewTunnel(
                port=request.port,
                visitor=hijacked.sock,
                service=service,
                to_visitor=b"".join(stream.encode([ready] if ready else [])),
                to_service=b"",
                dummy=hijacked.dummy,
                idle_timeout=self._detaching.idle_timeout,
                stream=stream,
                on_end=on_end,
            )
        )
        return True
