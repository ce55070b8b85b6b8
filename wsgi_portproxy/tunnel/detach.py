"""Responses that go on streaming leave their thread in mid-body, as tunnels leave theirs.

Owns when and whether. Only where the framing that the server began is known for sure: gunicorn's
own response object, reached by nothing between it and us, on a plain socket. Everywhere else a
response stays in its thread and works as ever.
"""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING, Any

from ..locate.visit import Visit
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
    """The chance of one response to leave its thread.

    after: seconds from the head on; an event stream leaves at its first block already.
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
        # It has to be said in the head, which is still to come: a front-end (nginx with
        # `keepalive`) or browser that learns of it by the connection's end alone may have sent the
        # next request there already, and may not repeat a POST (RFC 9112 section 9.3.1).
        gunicorn_response.force_close()
        self._tunnels = tunnels
        self._due = time.monotonic() + after
        self._is_event_stream = is_event_stream
        self._visitor = visit.environ["gunicorn.socket"]
        self._writable = select.poll()
        self._writable.register(self._visitor, select.POLLOUT)

    def is_due(self, response: UpstreamResponse, passed: int, size: int) -> bool:
        """Whether `response`, of whose body `passed` bytes went out, is to leave now.

        Waits for its next block, of at most `size` bytes, and until the visitor takes one, or until
        it is time. Raises as reading it does.
        """
        if response.framing.complete or not response.holds_connection:
            return False  # what is left has come, or broke off
        remaining = max(0.0, self._due - time.monotonic())
        if response.request_is_sent and not self._writable.poll(remaining * 1000):
            return True  # the server's writing would wait for this visitor, as long as it likes
        if response.is_ready:
            return False
        if response.request_is_sent and (not remaining or (self._is_event_stream and passed)):
            return True
        # Uploads are the thread's work: they go on here, and one that broke off keeps it.
        remaining = max(0.0, self._due - time.monotonic())
        return not response.wait(remaining, size) and response.request_is_sent

    def room(self) -> int:
        """How many bytes the server may be given, so that writing them does not wait.

        Linux calls a TCP socket writable when a third of its buffer is free
        (sk_stream_is_writeable), and a Unix one when three quarters are (unix_writable).
        """
        buffer: int = self._visitor.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        return max(1, buffer // 4)

    def leave(self, response: UpstreamResponse, request: InFlight, passed: int) -> bool:
        """Hand the rest of the body to the relay; False where there is no room for another.

        `passed`: bytes of the body that went out before. From then on the server's own connection
        is a dummy, which takes the end of the response as the server frames it, and `request` ends
        with the stream.
        """
        if not self._gunicorn.headers_sent:
            self._gunicorn.write(b"")
        # A middleware that holds blocks back would write them behind the hand-over, where they are
        # lost: it collects the body, or sees to the last block.
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
        ended = request.detach(status)

        def on_end(complete: bool, received: int, sent: int) -> None:
            ended(complete, 0, passed + stream.passed)

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
    """The chance of a response to leave, or None where it has to stay.

    A middleware that puts its own start_response between the server and us may change the body on
    its way, and is taken as if it did.
    """
    environ = visit.environ
    gunicorn_response = getattr(start_response, "__self__", None)
    if tunnels.detach_after is None or response.framing.complete:
        return None  # most answers are complete with what came with their head
    if type(gunicorn_response).__module__ != "gunicorn.http.wsgi":
        return None
    if not is_available() or any(not hasattr(gunicorn_response, name) for name in _USED):
        return None
    sock = environ.get("gunicorn.socket")
    # gevent's and eventlet's sockets have their own readers; their greenlets cost little anyway.
    if sock is None or is_tls(sock) or type(sock).__module__ != "socket":
        return None
    if environ.get("SERVER_PROTOCOL") not in ("HTTP/1.0", "HTTP/1.1"):
        return None
    # What was read ahead behind a chunked request is out of reach; gunicorn would serve it into the
    # dummy as the next request.
    if not hasattr(getattr(environ.get("wsgi.input"), "reader", None), "unreader"):
        return None
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Departure(
        visit,
        gunicorn_response,
        tunnels,
        after=tunnels.detach_after,
        is_event_stream=content_type == "text/event-stream",
    )


# What is read of gunicorn's response object; a release without one of them keeps its responses.
_USED = ("chunked", "force_close", "headers_sent", "response_length", "sent", "write")
