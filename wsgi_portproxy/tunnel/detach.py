"""Detaches requests: takes a visitor's connection out of the server while it waits for a service,
and lets the relay go on with the exchange, which frees the server's thread.

Decides which requests leave, and when. Nothing was sent to the visitor before, so that any server
whose connections can be hijacked will do, and the relay sends the whole response.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from ..errors import TooManyTunnels
from ..inflight import InFlight
from ..rewrite.header_tables import Headers
from ..servers import is_tls
from ..settings import Timeouts
from ..upstream.response import UpstreamResponse
from ..upstream.steps import Leave, Ready, Step, Steps, Wait, in_thread, ready_for
from .hijack import Hijacker
from .records import NewTunnel, Reply
from .shared import is_available, relay
from .unpatched import is_patched
from .waiting import Waiting

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

T = TypeVar("T")
# A body that comes whole with its head, or soon after, keeps the connection to the service; so as
# many bytes of it are awaited, for as many seconds at least.
_GATHERED, _BODY_FOLLOWS = 65536, 0.005
_SHORTEST = 0.001  # seconds; poll(2) counts in milliseconds
_PORTS = 256  # whose patience is remembered

#: Makes the reply of an exchange, in the relay's thread, of its result or the exception that it
#: raised.
MakeReply = Callable[["tuple[UpstreamResponse, T] | BaseException"], Reply]


class Patience:
    """How long a request waits in its thread before it leaves, for each port.

    Where the last request had to leave, the next will probably too: it gets half the time. So a
    slow service takes little time of the threads, and quick responses keep the visitor's
    connection. The first response within the whole time restores it, also of one that left.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._shorter: dict[int, float] = {}

    def of(self, port: int) -> float:
        """In seconds."""
        return self._shorter.get(port, self._longest)

    def was_enough(self, port: int) -> None:
        if self._shorter:
            self._shorter.pop(port, None)

    def would_be_enough(self, port: int, seconds: float) -> None:
        """A request that left took so long in all."""
        if seconds <= self._longest:
            self.was_enough(port)

    def was_not_enough(self, port: int) -> None:
        if len(self._shorter) >= _PORTS:
            self._shorter.clear()
        shorter = max(self.of(port) / 2, _SHORTEST)
        self._shorter[port] = min(shorter, self._longest)


class Detaching:
    """Decides which requests of one `PortProxy` leave their thread. Settings as in `PortProxy`."""

    def __init__(self, hijacker: Hijacker, timeouts: Timeouts, *, after: float | None) -> None:
        if after is not None and not (type(after) in (int, float) and after >= 0):
            raise ValueError(f"detach_after takes seconds from 0 on, or None, not {after!r}")
        self._hijacker = hijacker
        self._idle = timeouts.stream_idle or float("inf"), timeouts.tunnel_idle
        self._is_off = after is None
        self._patience = Patience(after or 0.0)

    def drive(
        self,
        steps: Steps[tuple[UpstreamResponse, T]],
        request: InFlight,
        make_reply: MakeReply[T],
    ) -> tuple[UpstreamResponse, T] | None:
        """Drive an exchange in this thread, as long as it takes no longer than `detach_after`.

        Returns its result, or None if the request was detached: then `make_reply` is called in the
        relay's thread. Raises as the exchange does.
        """
        if self._is_off or not self._may_leave(request):
            request.hold_thread()
            return in_thread(steps)
        # Where threads are scarce, nothing waits in one.
        patience = self._patience.of(request.port) if request.try_hold_thread() else 0.0
        until = time.monotonic() + patience
        steps = _leaving_at_head(steps, until)
        try:
            wait = next(steps)
            while True:
                ready = _ready_in_time(wait, until)
                if ready is None and self._leaves(steps, wait, request, make_reply):
                    if patience and time.monotonic() >= until:
                        self._patience.was_not_enough(request.port)
                    return None
                if ready is None:
                    request.hold_thread()
                    ready = ready_for(wait)
                wait = steps.send(ready)
        except StopIteration as done:
            self._patience.was_enough(request.port)
            result: tuple[UpstreamResponse, T] = done.value
            return result
        finally:
            if not request.is_detached:
                steps.close()  # if there was no slot to go on in the thread

    def _may_leave(self, request: InFlight) -> bool:
        visit = request.visit
        if visit.server is None or not is_available() or is_patched():
            return False
        if request.target.websocket and request.target.is_astray:
            return False  # whether the service accepts it decides who is asked next
        if visit.environ.get("SERVER_PROTOCOL") not in ("HTTP/1.0", "HTTP/1.1"):
            return False
        server, sock = visit.server, visit.socket
        return server.hands_over(visit.environ) and not is_tls(sock) and server.owns(visit.answer)

    def _leaves(
        self,
        steps: Steps[tuple[UpstreamResponse, T]],
        wait: Step,
        request: InFlight,
        make_reply: MakeReply[T],
    ) -> bool:
        """Hand an exchange to the relay; False if there is no room, or if only the server can read
        the rest of the upload."""
        upload = request.upload
        if upload is not None and not upload.may_leave:
            return False
        try:
            hijacked = self._hijacker.hijack(request.visit, request.port)
        except (OSError, TooManyTunnels):
            return False
        read_ahead = hijacked.read_ahead
        if upload is not None:
            read_ahead = upload.leave(hijacked.sock, read_ahead)
        if request.visit.environ.get("SERVER_PROTOCOL") == "HTTP/1.1":
            request.detach(partial(send_early_hints, hijacked.sock))
        else:
            request.detach()  # HTTP/1.0 has no 1xx

        finish = Finisher(
            request, make_reply, hijacked.sock, read_ahead, self._idle, self._patience
        )
        awaits_upload = isinstance(wait, Wait) and wait.for_more
        has_upload = awaits_upload and upload is not None and upload.reader.buffered()
        sock, dummy = hijacked.sock, hijacked.dummy
        relay().add(
            Waiting(
                request.port, steps, wait, finish, sock, dummy, key=request, has_upload=has_upload
            )
        )
        request.last(relay().stop)
        return True


class Finisher(Generic[T]):
    """Makes the tunnel that carries the reply of an exchange, when it is over. A class, because a
    closure takes twice the memory."""

    __slots__ = ("_idle", "_make_reply", "_patience", "_read_ahead", "_request", "_sock")

    def __init__(
        self,
        request: InFlight,
        make_reply: MakeReply[T],
        sock: _socket.socket,
        read_ahead: bytes,
        idle: tuple[float, float],
        patience: Patience,
    ) -> None:
        """sock, read_ahead: the visitor's connection, and what the server had read of it after the
        request. idle: the timeouts of streams and WebSockets."""
        self._request = request
        self._make_reply = make_reply
        self._sock = sock
        self._read_ahead = read_ahead
        self._idle = idle
        self._patience = patience

    def __call__(self, result: object, error: BaseException | None) -> NewTunnel | None:
        self._patience.would_be_enough(self._request.port, self._request.seconds)
        reply = self._make_reply(error or result)  # type: ignore[arg-type]
        service = reply.service or _ended_socket(broken=reply.is_broken)
        if service is None:
            self._send_at_once(reply)
            return None
        ended, stream = self._request.ending(reply.status), reply.stream

        def on_end(complete: bool, received: int, sent: int) -> None:
            ended(complete, 0 if stream else received, stream.passed if stream else sent)

        return NewTunnel(
            port=self._request.port,
            visitor=self._sock,
            service=service,
            to_visitor=reply.body,
            # What follows a request is another one, which this connection does not serve.
            to_service=reply.to_service if stream else self._read_ahead,
            dummy=None,
            idle_timeout=self._idle[0 if stream else 1],
            head=reply.head,
            stream=stream,
            upload=reply.upload,
            is_sent=reply.is_sent,
            key=self._request,
            on_end=on_end,
        )

    def _send_at_once(self, reply: Reply) -> None:
        """Send as much of a reply as fits: no descriptor is left for a tunnel."""
        sent = 0
        with contextlib.suppress(OSError):
            sent = self._sock.send(reply.head + reply.body, _socket.MSG_NOSIGNAL)
        is_whole = not reply.is_broken and sent == len(reply.head) + len(reply.body)
        self._request.ending(reply.status)(is_whole, 0, len(reply.body) if is_whole else 0)


def _leaving_at_head(
    steps: Steps[tuple[UpstreamResponse, T]], until: float
) -> Steps[tuple[UpstreamResponse, T]]:
    """The same exchange, which asks to leave if the body does not come with the head."""
    response, other = yield from steps
    if response.is_whole or response.is_broken or response.status == 101:
        return response, other
    if not _is_event_stream(response):
        yield from response.gather(max(until, time.monotonic() + _BODY_FOLLOWS), _GATHERED)
    if response.may_go_on:
        yield Leave()
    return response, other


def _is_event_stream(response: UpstreamResponse) -> bool:
    content_type = response.headers.get("Content-Type", "")
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


def _ready_in_time(wait: Step, until: float) -> Ready | None:
    """What has happened; None if it is time to leave."""
    seconds = until - time.monotonic()
    if isinstance(wait, Leave) or seconds <= 0:
        return None
    ready = ready_for(wait, seconds)
    if not isinstance(wait, Wait) or ready.service or ready.visitor:
        return ready
    return ready if wait.until is not None and wait.until <= until else None


def _ended_socket(*, broken: bool) -> _socket.socket | None:
    """A socket whose peer has closed it, or has broken off; None if no descriptor is left."""
    try:
        ours, theirs = _socket.socketpair()
    except OSError:
        return None
    if broken:
        ours.send(b"x")  # closed with bytes unread: a reset (unix(7))
    theirs.close()
    return ours


def send_early_hints(sock: _socket.socket, headers: Headers) -> None:
    """Send a 103 to a visitor whose connection has left its server. Raises OSError."""
    lines = ["HTTP/1.1 103 Early Hints", *map(": ".join, headers), "", ""]
    head = "\r\n".join(lines).encode("latin-1")
    # Nothing was sent before, so that there is room for it, or the connection is of no use.
    if sock.send(head, _socket.MSG_DONTWAIT) < len(head):
        raise OSError(errno.EAGAIN, "no room for a 103")


def detached(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """What the server is left with: an empty response, for the dummy and the server's log."""
    start_response("202 Accepted", [("Content-Length", "0")])
    return []
