"""Ends what its visitor may no longer use: streams, WebSockets and requests that wait for long.

A request is authorized when it comes, and an open WebSocket would go on for days after the account
was switched off. So the authorizer is asked again from time to time, with what the request came
with. `PortProxy.revoke` ends requests at once.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from .errors import PortProxyError, Refused
from .names import log

_in_this_process: weakref.WeakSet[LastingRequests] = weakref.WeakSet()


class LastingRequest(Protocol):
    """What is needed of a request here, see `InFlight`."""

    visitor: str
    revoked: PortProxyError | None

    @property
    def port(self) -> int: ...
    @property
    def params(self) -> Mapping[str, str]: ...
    @property
    def kind(self) -> str: ...
    @property
    def has_ended(self) -> bool: ...


#: Ends a request; a visitor who still waits for the response gets the error.
Stop: TypeAlias = Callable[[LastingRequest, PortProxyError], None]


class LastingRequests:
    """The requests of one `PortProxy`, and of them those that last.

    may_go_on: asks the authorizer again about a request. Raises `PortProxyError`: `Refused` is a
        no, anything else is no answer, and the request goes on until there is one.
    every: seconds between two such questions about a request; None: never asked again.
    """

    def __init__(self, may_go_on: Callable[[Any], bool], every: float | None) -> None:
        if every is not None and not (type(every) in (int, float) and every > 0):
            raise ValueError(f"recheck_after takes more than 0 seconds, or None, not {every!r}")
        self._may_go_on = may_go_on
        self._every = every
        self.forget()
        _in_this_process.add(self)

    def forget(self) -> None:
        """In a forked child: the requests of the parent are not ours."""
        # Changed without the lock: also by the relay's thread, which must not wait for one.
        self._all: set[LastingRequest] = set()
        self._stops: dict[LastingRequest, Stop] = {}
        self._due: dict[LastingRequest, float] = {}  # when each is asked about, monotonic
        self._lock = threading.Lock()
        self._has_thread = False

    def begin(self, request: LastingRequest) -> None:
        """Keep a request in mind until `end`."""
        self._all.add(request)

    def end(self, request: LastingRequest) -> None:
        self._all.discard(request)
        self._stops.pop(request, None)
        self._due.pop(request, None)

    def last(self, request: LastingRequest, stop: Stop) -> None:
        """Watch a request that will last. `stop` ends it, and may be called in any thread."""
        self._stops[request] = stop
        if request.revoked is not None:  # between its verdict and now
            stop(request, request.revoked)
        elif self._every is not None:
            self._due[request] = time.monotonic() + self._every
            self._ask_in_thread()
        if request.has_ended:  # meanwhile, in the relay's thread
            self.end(request)

    def revoke(self, port: int | None, visitor: str | None, params: Mapping[str, str]) -> int:
        """See `PortProxy.revoke`."""
        if port is None and visitor is None and not params:
            raise TypeError("revoke takes a port, a visitor, or parameters of the mount")
        meant = [
            request
            for request in list(self._all)
            if request.revoked is None
            and port in (None, request.port)
            and visitor in (None, request.visitor)
            and params.items() <= request.params.items()
        ]
        for request in meant:
            self._stop(request, Refused("Your access to this service has been withdrawn."))
        return len(meant)

    def _stop(self, request: LastingRequest, error: Refused) -> None:
        request.revoked = error
        stop = self._stops.get(request)
        if stop is not None:
            log.info("port %d: a %s loses its access", request.port, request.kind)
            stop(request, error)

    def _ask_in_thread(self) -> None:
        """Make sure that a thread asks: not the relay's, since an authorizer may take long."""
        with self._lock:
            if not self._has_thread:
                threading.Thread(target=self._ask, name="portproxy-recheck", daemon=True).start()
                self._has_thread = True

    def _ask(self) -> None:
        while True:
            now = time.monotonic()
            for request, due in list(self._due.items()):
                if due <= now:
                    self._ask_about(request)
            with self._lock:
                if not self._due:
                    self._has_thread = False
                    return
            # None can become due earlier: a new one has its whole time before it.
            due = min(list(self._due.values()), default=0.0)
            time.sleep(max(0.0, due - time.monotonic()))

    def _ask_about(self, request: LastingRequest) -> None:
        try:
            may_go_on = self._may_go_on(request)
        except Refused:
            may_go_on = False
        except BaseException as error:  # also a SystemExit, or nobody would be asked about again
            log.warning("port %d: no verdict on an open request", request.port, exc_info=error)
            may_go_on = True
        if request not in self._due:
            return  # it has ended meanwhile
        if may_go_on:
            self._due[request] = time.monotonic() + (self._every or 0.0)
            if request.has_ended:  # just now, in the relay's thread
                self._due.pop(request, None)
            return
        self._due.pop(request, None)
        self._stop(request, Refused("You no longer have access to this service."))


def _after_fork() -> None:
    for requests in _in_this_process:
        requests.forget()


os.register_at_fork(after_in_child=_after_fork)
