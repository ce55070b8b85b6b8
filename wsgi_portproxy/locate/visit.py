"""Holds one request as it came, and the facts about it that every later step needs.

Each fact is established once, here; no other module reads it from the environ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from ..servers import Adapter, VisitorSocket, connection_of
from . import browser
from .address import Address
from .kept import environ_of, kept_of
from .origin import own_address
from .request_target import RawTarget, raw_target

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


T = TypeVar("T")
#: Sends the headers of a 103, as `wsgi.early_hints` of gunicorn does.
SendHints: TypeAlias = Callable[[list[tuple[str, str]]], object]


class fact(Generic[T]):  # lower case, like `property`
    """Like `functools.cached_property`, without the lock that it takes before Python 3.12."""

    def __init__(self, find: Callable[[Any], T]) -> None:
        self._find = find
        self._name = find.__name__
        self.__doc__ = find.__doc__

    def __get__(self, visit: Any, owner: object = None) -> T:
        value = visit.__dict__[self._name] = self._find(visit)
        return value


class Visit:
    """A request. Each fact is established when it is first needed: nearly every request is the
    wrapped app's own and needs none.

    environ: the WSGI environ, which we may change. answer: the start_response that came with it.
    """

    def __init__(self, environ: WSGIEnvironment, answer: StartResponse | None = None) -> None:
        self.environ = environ
        self.answer = answer
        self.method: str = environ["REQUEST_METHOD"]

    @fact
    def raw(self) -> RawTarget:
        """The request target as it was sent."""
        return raw_target(self.environ)

    @property
    def script(self) -> str:
        """SCRIPT_NAME as it appears in a URL, without a final slash."""
        return self.raw.script

    @fact
    def address(self) -> Address:
        """The address at which the visitor sees the site."""
        return own_address(self.environ)

    @property
    def origin(self) -> str:
        """The origin of that address: `https://app.example.com`."""
        return self.address.origin

    @fact
    def is_websocket(self) -> bool:
        """Whether it is a WebSocket handshake."""
        return "HTTP_UPGRADE" in self.environ and browser.is_websocket(self.environ)

    @fact
    def is_navigation(self) -> bool:
        """Whether a browser is about to show the response as a page."""
        return browser.is_navigation(self.environ)

    @fact
    def shows_page(self) -> bool:
        """Whether a browser will show the response as a page, also after a form was posted."""
        return browser.shows_page(self.environ)

    @property
    def loads_asset(self) -> bool:
        """Whether a page loads a script, style, image, font or media file (Sec-Fetch-Dest)."""
        return self.environ.get("HTTP_SEC_FETCH_DEST") in browser.ASSETS

    @fact
    def is_browser(self) -> bool:
        """Whether a browser sent the request."""
        return browser.is_browser(self.environ)

    @fact
    def connection(self) -> tuple[Adapter, VisitorSocket] | None:
        """The WSGI server's adapter and the visitor's connection; None if the connection is closed
        or the server does not show it."""
        return connection_of(self.environ)

    @fact
    def send_early_hints(self) -> SendHints | None:
        """Sends the visitor a 103 with these headers; None if the server cannot."""
        return self.environ.get("wsgi.early_hints") or None

    @fact
    def reached(self) -> tuple[int, Any] | None:
        """Socket family and address at which the server was reached; None if it does not show."""
        sock: Any = self.socket
        try:
            return None if sock is None else (int(sock.family), sock.getsockname())
        except (AttributeError, OSError):
            return None

    def forget_server(self, send_early_hints: SendHints) -> None:
        """Drop what belongs to the server, which no longer has the connection.

        The request may last for days, so that of the environ only what `kept_of` keeps stays.
        """
        self._kept = kept_of(self.environ)
        self.answer = None
        self.__dict__.update(connection=None, send_early_hints=send_early_hints)
        del self.environ

    def __getattr__(self, name: str) -> WSGIEnvironment:
        """The environ of a request that forgot its server, made anew for each use."""
        if name != "environ":
            raise AttributeError(name)
        return environ_of(self._kept)

    @property
    def server(self) -> Adapter | None:
        """The WSGI server's adapter; None if there is no `connection`."""
        return None if self.connection is None else self.connection[0]

    @property
    def socket(self) -> VisitorSocket | None:
        """The visitor's connection; None if there is no `connection`."""
        return None if self.connection is None else self.connection[1]
