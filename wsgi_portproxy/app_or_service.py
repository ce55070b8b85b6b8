"""Serves requests that name no port: the wrapped app's own, and strays from a service's pages.

Decides whether the app or the service is asked first. `locate.strays` recognises strays; each is
then checked, authorized and served like any other request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from .errors import PortProxyError
from .locate.strays import Strays, asks_app_first, is_offered, is_start_page
from .locate.target import Target
from .locate.visit import Visit
from .metrics import loggable
from .names import log
from .subrequest import CapturedResponse, CountedInput

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class AppOrService:
    """Chooses between `app` and the services whose pages may have made a request.

    serve: returns the response to a request for a target; raises `PortProxyError`.
    patience: seconds after which no further service is asked for a page.
    """

    def __init__(
        self,
        app: WSGIApplication,
        strays: Strays,
        serve: Callable[[Visit, Target], WSGIApplication],
        patience: float,
    ) -> None:
        self._app = app
        self._strays = strays
        self._serve = serve
        self._patience = patience

    def choose(self, visit: Visit) -> WSGIApplication:
        """The response of the wrapped app, or of the service whose page made the request. Raises
        `PortProxyError`."""
        if visit.is_websocket:
            return self._handshake(visit)
        target = self._strays.by_referer(visit)
        if target is None:
            return self._offered(visit) if is_offered(visit) else self._app
        if asks_app_first(visit):
            own = CapturedResponse(self._app, dict(visit.environ))  # apps write to it
            if own.status != 404:
                return own
            own.close()
        return self._serve(visit, target)

    def _offered(self, visit: Visit) -> WSGIApplication:
        """For a request without a Referer: the wrapped app's response or, if that is a 404, the
        response of the most recently opened service that has the page."""
        candidates = self._strays.by_hint(visit, websocket=False)
        if not candidates:
            return self._app
        given = dict(visit.environ)  # apps write to it
        body = CountedInput.in_place(given)
        own = CapturedResponse(self._app, given)
        with ExitStack() as unless_given:
            unless_given.callback(_close, own)
            if own.status == 404:
                if body is not None:  # some servers' input goes on after the body
                    visit.environ["CONTENT_LENGTH"] = str(body.rest)
                response = self._of_first(candidates, visit)
                if response is not None:
                    return response
            unless_given.pop_all()
        return own

    def _handshake(self, visit: Visit) -> WSGIApplication:
        """The tunnel to the first service that accepts the handshake, unless the wrapped app
        handles it."""
        candidates = self._strays.by_hint(visit, websocket=True)
        if not candidates or "wsgi.websocket" in visit.environ:  # gevent-websocket accepted it
            return self._app
        own = CapturedResponse(self._app, dict(visit.environ))  # apps write to it
        with ExitStack() as unless_given:
            unless_given.callback(_close, own)
            if own.status == 404 or is_start_page(own, visit):
                response = self._of_first(candidates, visit)
                if response is not None:
                    return response
            unless_given.pop_all()
        return own

    def _of_first(self, candidates: list[Target], visit: Visit) -> WSGIApplication | None:
        """The response of the first candidate that has one; None if none has.

        For a page, all candidates share the time of one, so that a 404 does not wait for each
        service that hangs.
        """
        deadline = time.monotonic() + self._patience
        for target in candidates:
            if not target.websocket and time.monotonic() > deadline:
                break
            try:
                response = self._serve(visit, target)
            except PortProxyError as error:
                text = loggable(error.detail or error.message)
                log.debug(
                    "port %d: no response to this stray: %s",
                    target.port,
                    text,
                    extra=error.log_extra,
                )
                continue
            if isinstance(response, CapturedResponse) and not target.websocket:
                _close(response)  # the authorizer's refusal, which must not hide the app's response
                continue
            return response
        return None


def _close(own: CapturedResponse) -> None:
    """Close a response that is not sent, and log any exception."""
    try:
        own.close()
    except Exception:
        log.exception("closing an unused response of the application failed")
