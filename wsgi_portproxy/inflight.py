"""Tracks a request for a port from its arrival to its end: slot, byte counts, metrics.

Guarantees that the slot is released and the end reported exactly once, no matter whether the
request ends in its own thread or, once it was detached or became a WebSocket, in the relay's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from .errors import PortProxyError
from .lasting import LastingRequests, Stop
from .metrics import (
    Ending,
    OnFinished,
    RequestMetrics,
    call_hook,
    level_of,
    log_end,
    shown_method,
)
from .names import log
from .policy.concurrency import ConcurrencyLimits
from .settings import check_callable

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from .locate.target import Target
    from .locate.visit import SendHints, Visit
    from .upstream.request_body import Upload


#: Called at the end of a WebSocket or a detached request. Arguments: whether it was complete, and
#: how many bytes were received from the visitor and sent to the visitor.
OnEnd = Callable[[bool, int, int], None]


def _no_hints(headers: list[tuple[str, str]]) -> None:
    """Where no 103 can come any more."""


class InFlightRequests:
    """The requests of one `PortProxy`. Settings as in `PortProxy`."""

    def __init__(
        self,
        requests_per_port: int | None,
        on_finished: OnFinished | None,
        lasting: LastingRequests,
    ) -> None:
        if on_finished is not None:
            check_callable("on_finished", on_finished, "on_finished(metrics)", 1)
        self.limits = ConcurrencyLimits(requests_per_port)
        self.on_finished = on_finished
        self.lasting = lasting

    def begin(self, visit: Visit, target: Target) -> InFlight:
        """Start tracking a request for a port."""
        request = InFlight(self, visit, target)
        self.lasting.begin(request)
        return request


class InFlight:
    """One request. Used by one thread at a time.

    As a context manager it ends the request if the block raises, and sets the port of a
    `PortProxyError`. If the block returns a response, that response ends the request.
    """

    # Defaults that most requests never change.
    _holds_thread = False
    _is_detached = False
    _ended = False
    service = ""  # the service's name, once it is known
    upload: Upload | None = None  # counts the bytes read of the visitor's body
    visitor = ""  # the authorizer's name for the visitor, see `Allowed`
    revoked: PortProxyError | None = None  # why the visitor may no longer use the port

    def __init__(self, requests: InFlightRequests, visit: Visit, target: Target) -> None:
        self._requests = requests
        self.visit = visit
        self._method = visit.method
        self.target = target
        self._started = time.monotonic()

    def __enter__(self) -> InFlight:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, PortProxyError):
            self.refuse(error)
        elif error is not None:  # from the server's input, if the visitor's body is malformed
            self.end(500, "cut")

    @property
    def port(self) -> int:
        return self.target.port

    @property
    def params(self) -> Mapping[str, str]:
        """The mount's parameters."""
        return self.target.params

    @property
    def seconds(self) -> float:
        """Since it came."""
        return time.monotonic() - self._started

    @property
    def is_detached(self) -> bool:
        """Whether it goes on without its server."""
        return self._is_detached

    @property
    def has_ended(self) -> bool:
        return self._ended

    def hold_thread(self) -> None:
        """Take one of the port's slots, once. Raises `TooManyRequests`."""
        if not self._holds_thread:
            self._requests.limits.enter(self.target.port, self.visit.environ)
            self._holds_thread = True

    def try_hold_thread(self) -> bool:
        """Take one of the port's slots, if one is free."""
        if not self._holds_thread:
            limits = self._requests.limits
            self._holds_thread = limits.try_enter(self.target.port, self.visit.environ)
        return self._holds_thread

    def end_with(self, application: WSGIApplication, status: int, ended: Ending) -> WSGIApplication:
        """End the request with a response that is not the service's, and return that response."""
        self.end(status, ended)
        return application

    def detach(self, send_early_hints: SendHints = _no_hints) -> None:
        """Release the slot: the request goes on without its server. The upload must have left.

        send_early_hints: sends them to the visitor from now on.
        """
        self._is_detached = True
        self._release()
        self.visit.forget_server(send_early_hints)

    def ending(self, status: int) -> OnEnd:
        """The function to call when the request has ended, for the code that carries its bytes."""

        def on_end(complete: bool, received: int, sent: int) -> None:
            ended: Ending = "complete" if complete else "cut"
            self.end(status, ended, received=received, sent=sent)

        return on_end

    @property
    def kind(self) -> str:
        """What it is called in the log."""
        if self.target.websocket:
            return "WebSocket"
        return "stream" if self._is_detached else "response"

    def last(self, stop: Stop) -> None:
        """The request will last: its visitor may lose the access to it meanwhile, and then `stop`
        is called, in any thread."""
        self._requests.lasting.last(self, stop)

    def _release(self) -> None:
        if self._holds_thread:
            self._holds_thread = False
            self._requests.limits.leave(self.target.port)

    def end(self, status: int, ended: Ending, *, received: int = 0, sent: int = 0) -> None:
        """End the request. Further calls do nothing.

        received, sent: bytes from and to the visitor, without the body of the request.
        """
        if self._ended:
            return
        self._close()
        # Metrics cost time, so they are made only if somebody wants them.
        is_wanted = log.isEnabledFor(level_of(status, is_detached=self._is_detached))
        if is_wanted or self._requests.on_finished is not None:
            metrics = self._metrics(status, ended, received, sent)
            if is_wanted:
                log_end(metrics, is_detached=self._is_detached)
            self._report(metrics)

    def refuse(self, error: PortProxyError) -> None:
        """End the request with an error page, whose log line gives the reason."""
        error.port = self.target.port
        if not self._ended:
            self._close()
            metrics = self._metrics(error.status, "refused", 0, 0)
            error.log_extra = asdict(metrics)
            self._report(metrics)

    def _close(self) -> None:
        self._ended = True
        self._requests.lasting.end(self)
        self._seconds = time.monotonic() - self._started
        self._release()

    def _metrics(self, status: int, ended: Ending, received: int, sent: int) -> RequestMetrics:
        target = self.target
        received += self.upload.taken if self.upload is not None else 0
        return RequestMetrics(
            target.port,
            self.service,
            "stray" if target.is_astray else target.form.value,
            shown_method(self._method),
            target.websocket,
            status,
            self._seconds,
            bytes_received=received,
            bytes_sent=sent,
            ended=ended,
        )

    def _report(self, metrics: RequestMetrics) -> None:
        if self._requests.on_finished is not None:
            call_hook(self._requests.on_finished, metrics)
