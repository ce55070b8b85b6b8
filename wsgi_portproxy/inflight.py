"""A request for a port, from its arrival to its end, and what it is charged with meanwhile.

Owns that its place under the cap is given back once, and its end told once, whichever way it ends:
in its own thread, or in the relay's, where a stream or a WebSocket goes on without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from .errors import PortProxyError
from .metrics import Ending, OnFinished, RequestMetrics, is_logged, log_end, shown_method, tell
from .policy.concurrency import ConcurrencyLimits

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from .locate.target import Target
    from .locate.visit import Visit
    from .upstream.request_body import Upload


#: Called at the end of a tunnel or a detached stream: whether it was complete, and the bytes
#: received from the visitor and sent to it.
OnEnd = Callable[[bool, int, int], None]


class InFlightRequests:
    """Those of one `PortProxy`. Settings as there."""

    def __init__(self, requests_per_port: int | None, on_finished: OnFinished | None) -> None:
        self.caps = ConcurrencyLimits(requests_per_port)
        self.on_finished = on_finished

    def begin(self, visit: Visit, target: Target) -> InFlight:
        """A request for a port has arrived."""
        return InFlight(self, visit, target)


class InFlight:
    """That of one request. Used by one thread at a time.

    As a context manager: whoever gives out an answer is to end it. If the block raises instead, it
    has ended, and a `PortProxyError` knows the port.
    """

    # What most requests never change.
    _holds_thread = False
    _is_detached = False
    _ended = False
    _received = 0
    upload: Upload | None = None  # counts what was read of the visitor's body

    def __init__(self, requests: InFlightRequests, visit: Visit, target: Target) -> None:
        self._requests = requests
        self.visit = visit
        self.target = target
        self._started = time.monotonic()

    def __enter__(self) -> InFlight:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, PortProxyError):
            self.refuse(error)
        elif error is not None:  # of the server's input, when the visitor's body is malformed
            self.end(500, "cut")

    @property
    def port(self) -> int:
        return self.target.port

    def hold_thread(self) -> None:
        """Take a place under the cap of the port, once. Raises `TooManyRequests`."""
        if not self._holds_thread:
            self._requests.caps.enter(self.port, self.visit.environ)
            self._holds_thread = True

    def refused(self, status: int, answer: WSGIApplication) -> WSGIApplication:
        """`answer`, which is not the service's; with it the request is over."""
        self.end(status, "refused")
        return answer

    def detach(self, status: int) -> OnEnd:
        """The request goes on without a thread of the server: its place is free for another.

        Returns what is to be called when it has ended there.
        """
        self._is_detached = True
        self._give_back()
        if self.upload is not None:  # with which the server's objects would be kept
            self._received, self.upload = self.upload.taken, None
        return self.ending(status)

    def ending(self, status: int) -> OnEnd:
        """What is to be called when the request has ended, by whoever carries its bytes."""

        def on_end(complete: bool, received: int, sent: int) -> None:
            ended: Ending = "complete" if complete else "cut"
            self.end(status, ended, received=received, sent=sent)

        return on_end

    def _give_back(self) -> None:
        if self._holds_thread:
            self._holds_thread = False
            self._requests.caps.leave(self.target.port)

    def end(self, status: int, ended: Ending, *, received: int = 0, sent: int = 0) -> None:
        """The request is over. Further calls do nothing.

        received, sent: bytes from and to the visitor, the body of the request not counted.
        """
        if self._ended:
            return
        self._close()
        is_told = is_logged(status, left=self._is_detached)
        if is_told or self._requests.on_finished is not None:
            metrics = self._metrics(status, ended, received, sent)
            if is_told:
                log_end(metrics, left=self._is_detached)
            self._tell(metrics)

    def refuse(self, error: PortProxyError) -> None:
        """The request is over with an error page of ours, whose line in the log has the reason."""
        error.port = self.target.port
        if not self._ended:
            self._close()
            metrics = self._metrics(error.status, "refused", 0, 0)
            error.fields = asdict(metrics)
            self._tell(metrics)

    def _close(self) -> None:
        self._ended = True
        self._seconds = time.monotonic() - self._started
        self._give_back()

    def _metrics(self, status: int, ended: Ending, received: int, sent: int) -> RequestMetrics:
        target = self.target
        received += self._received + (self.upload.taken if self.upload is not None else 0)
        return RequestMetrics(
            target.port,
            "stray" if target.is_astray else target.form.value,
            shown_method(self.visit.method),
            target.websocket,
            status,
            self._seconds,
            bytes_received=received,
            bytes_sent=sent,
            ended=ended,
        )

    def _tell(self, metrics: RequestMetrics) -> None:
        if self._requests.on_finished is not None:
            tell(self._requests.on_finished, metrics)
