"""Detaches long responses from their thread in mid-body and gives them to the relay.

Owns when, and whether. It is done only if we know for sure how the server frames the response:
gunicorn's own response object, with nothing between it and us, on a plain socket. Everywhere else a
response stays in its thread and works as usual.
"""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING, Any

from ..locate.visit import Visit
from ..metrics import Ending
from ..servers import is_tls
from .records import NewTunnel
from .reframe import Transcoder
from .shared import is_available, relay
from .websocket import Tunnels

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

    from ..inflight import InFlight
    from ..upstream.response import UpstreamResponse


class Departure:
    """One response's chance to leave its thread.

    after: seconds, counted from the head; an event stream leaves at its first block.
    """

    def __init__(
        self,
        visit: Visit,
        gunicorn_response: Any,
        tunnels: Tunnels,
        *,
        after: float,
        is_event_stream: bool,
    ) -> None:
        self._visit = visit
        self._gunicorn = gunicorn_response
        # The head, which is still to come, must say `Connection: close`: a front end (nginx with
        # `keepalive`) or browser that only sees the connection end may have sent its next request
        # there already, and must not repeat a POST (RFC 9112 section 9.3.1).
        gunicorn_response.force_close()
        self._tunnels = tunnels
        self._due = time.monotonic() + after
        self._is_event_stream = is_event_stream
        self._visitor = visit.environ["gunicorn.socket"]
        self._writable = select.poll()
        self._writable.register(self._visitor, select.POLLOUT)

    def is_due(self, response: UpstreamResponse, passed: int, size: int) -> bool:
        """Whether `response` should leave now. `passed`: bytes of its body that were sent.

        Waits for its next block, of at most `size` bytes, and for the visitor to take one, or until
        it is time to leave. Raises like reading the response.
        """
        if response.framing.complete or not response.holds_connection:
            return False  # what is left has come, or broke off
        remaining = max(0.0, self._due - time.monotonic())
        if response.request_is_sent and not self._writable.poll(remaining * 1000):
            return True  # writing would block the thread until this visitor reads on
        if response.is_ready:
            return False
        if response.request_is_sent and (not remaining or (self._is_event_stream and passed)):
            return True
        # Uploads stay with the thread, and so does a response if the upload broke off.
        remaining = max(0.0, self._due - time.monotonic())
        return not response.wait(remaining, size) and response.request_is_sent

    def room(self) -> int:
        """How many bytes the server can write without blocking.

        Linux reports a TCP socket as writable when a third of its buffer is free
        (sk_stream_is_writeable), and a Unix socket when three quarters are (unix_writable).
        """
        buffer: int = self._visitor.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        return max(1, buffer // 4)

    def leave(self, response: UpstreamResponse, request: InFlight, passed: int) -> bool:
        """Hand the rest of the body to the relay; False if there is no room for another tunnel.

        `passed`: bytes of the body that were sent before. From then on the server's own connection
        is a dummy, which swallows the server's own end of the response, and `request` ends with the
        stream.
        """
        if not self._gunicorn.headers_sent:
            self._gunicorn.write(b"")
        # A middleware that holds blocks back (it collects the body, or handles the last block)
        # would write them after the hand-over, and they would be lost.
        if self._visit.server is None or self._gunicorn.sent != passed:
            return False
        try:
            taken = self._tunnels.take(self._visit, request.port)
        except OSError:
            taken = None
        if taken is None:
            return False
        chunked = bool(self._gunicorn.chunked)
        status = response.status
        stream = Transcoder(
            response.framing,
            chunked=chunked,
            needs_reset=not chunked and self._gunicorn.response_length is None,
        )
        service, ready = response.detach()
        request.detach()

        def on_end(complete: bool, received: int, sent: int) -> None:
            ended: Ending = "complete" if complete else "cut"
            request.end(status, ended, sent=passed + stream.passed)

        relay().add(
            NewTunnel(
                port=request.port,
                client=taken.sock,
                service=service,
                to_client=b"".join(stream.encode([ready] if ready else [])),
                to_service=b"",
                dummy=taken.dummy,
                idle_timeout=self._tunnels.stream_idle_timeout or float("inf"),
                stream=stream,
                on_end=on_end,
            )
        )
        return True


def departure(
    visit: Visit,
    start_response: StartResponse,
    response: UpstreamResponse,
    tunnels: Tunnels,
) -> Departure | None:
    """A response's chance to leave, or None if it has to stay.

    It stays if a middleware puts its own start_response between the server and us, since it may
    change the body.
    """
    environ = visit.environ
    gunicorn_response = getattr(start_response, "__self__", None)
    if tunnels.handover_after is None or response.framing.complete:
        return None  # most responses are complete when their head has come
    if type(gunicorn_response).__module__ != "gunicorn.http.wsgi":
        return None
    if not is_available() or any(not hasattr(gunicorn_response, name) for name in _USED):
        return None
    sock = environ.get("gunicorn.socket")
    # gevent's and eventlet's sockets have their own readers, and their greenlets cost little
    # anyway.
    if sock is None or is_tls(sock) or type(sock).__module__ != "socket":
        return None
    if environ.get("SERVER_PROTOCOL") not in ("HTTP/1.0", "HTTP/1.1"):
        return None
    # What gunicorn read ahead after a chunked request is out of reach; it would treat it as the
    # next request, and respond into the dummy.
    if not hasattr(getattr(environ.get("wsgi.input"), "reader", None), "unreader"):
        return None
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Departure(
        visit,
        gunicorn_response,
        tunnels,
        after=tunnels.handover_after,
        is_event_stream=content_type == "text/event-stream",
    )


# The attributes of gunicorn's response object that we use; without one of them responses stay.
_USED = ("chunked", "force_close", "headers_sent", "response_length", "sent", "write")
