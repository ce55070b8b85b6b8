"""`AskApp`: visitors who may see a project's page in the wrapped app may use the project's ports.

Makes the internal request that asks the app, and caches positive verdicts.
"""

from __future__ import annotations

import hashlib
import io
import marshal
import threading
import time
from collections import OrderedDict
from functools import lru_cache
from itertools import compress
from operator import itemgetter
from string import Formatter
from typing import TYPE_CHECKING

from webob import Request

from ..locate.target import Target
from ..names import COOKIE_PREFIX, LINKS_KEY
from ..rewrite.cookies import without_own
from ..servers import KEY_PREFIXES
from ..subrequest import CapturedResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

# Keys that belong to the request at hand, not to the visitor: left out of the question, and hence
# of the key of a cached verdict. All other keys count: an app or a front end may identify visitors
# by any of them (cookies, REMOTE_USER, certificates, addresses).
_OF_THE_REQUEST = frozenset(
    {
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "DOCUMENT_URI",
        "HTTP_ACCEPT",
        "HTTP_ACCEPT_ENCODING",
        "HTTP_CACHE_CONTROL",
        "HTTP_CONNECTION",
        "HTTP_CONTENT_LENGTH",
        "HTTP_CONTENT_TYPE",
        "HTTP_EXPECT",
        "HTTP_KEEP_ALIVE",
        "HTTP_ORIGIN",
        "HTTP_PRAGMA",
        "HTTP_PRIORITY",
        "HTTP_PURPOSE",
        "HTTP_RANGE",
        "HTTP_REFERER",
        "HTTP_SERVICE_WORKER",
        "HTTP_TE",
        "HTTP_TRANSFER_ENCODING",
        "HTTP_UPGRADE",
        "HTTP_UPGRADE_INSECURE_REQUESTS",
        "HTTP_X_CORRELATION_ID",
        "HTTP_X_REQUESTED_WITH",
        "HTTP_X_REQUEST_ID",
        "PATH_INFO",
        "PATH_TRANSLATED",
        "QUERY_STRING",
        "RAW_URI",
        "REMOTE_PORT",
        "REQUEST_METHOD",
        "REQUEST_URI",
        "SCRIPT_URI",
        "SCRIPT_URL",
        "UNIQUE_ID",
    }
)
_OF_THE_REQUEST_PREFIXES = (
    "HTTP_IF_",
    "HTTP_SEC_",
    "HTTP_X_CSRF",
    "HTTP_X_XSRF",
    # With these, some apps act on, or show, a different page from the one that is asked for: a
    # visitor could get a page judged that is open to everybody, or cause a DELETE.
    "HTTP_X_HTTP_METHOD",
    "HTTP_X_METHOD_OVERRIDE",
    "HTTP_X_ORIGINAL_",
    "HTTP_X_REWRITE_",
    "HTTP_X_SCRIPT_NAME",
)
# Types whose equal values say the same about the visitor.
_COMPARABLE = frozenset({str, bytes, int, float, bool, type(None)})
# Not about the visitor: PEP 3333's keys in every environ, and ours. Cookies are compared
# separately, without ours.
_APART = frozenset({"wsgi.errors", "wsgi.input", "wsgi.version", LINKS_KEY, "HTTP_COOKIE"})
# Here the wrapped app must not use the visitor's connection, nor what a server offers on it.
_OF_THE_CONNECTION = frozenset({"wsgi.early_hints", "wsgi.file_wrapper", "wsgi.input_terminated"})
_OF_THE_CONNECTION_PREFIXES = (
    *KEY_PREFIXES,
    "x-wsgiorg.",
    "webob.",  # set by our own `Request`
)


class AskApp:
    """An authorizer that asks an app itself, in any framework: visitors who may see a page of the
    app may use the ports.

    The question is an internal GET of the page, without a body, with the visitor's cookies and
    everything else that identifies them. 2xx lets the visitor through. A 401, 403, 404 or redirect
    (to the login page) is sent to the visitor as it is. Any other response is an error (503). The
    body of a 2xx is not read.

    app: the app to ask, which `PortProxy` wraps.
    page: the path of the page, with the mount's parameters: `"/{username}/{project}/"`.
    seconds: how long a positive verdict is cached, per visitor, page and port; 0 to ask each time.
        A service's page makes many requests, and the app should not render its own page for each.
        Visitors who lose access keep it for up to this long.
    entries: how many verdicts are cached per process.

    Raises `TypeError` or `ValueError` for invalid settings.
    """

    def __init__(
        self, app: WSGIApplication, page: str, *, seconds: float = 5.0, entries: int = 1024
    ) -> None:
        if not callable(app):
            raise TypeError(f"AskApp takes a WSGI application to ask, not {app!r}")
        if not page.startswith("/") or "?" in page or "#" in page:
            raise ValueError(f"page takes a path that starts with '/', not {page!r}")
        if entries < 0:
            raise ValueError(f"entries takes a number of 0 or more, not {entries!r}")
        self._app = app
        self._page = page
        self._seconds = seconds
        self._entries = entries
        #: The parameters that `PortProxy` must find in the URL; see `AuthorizerFacts`.
        self.parameters = _parameters_of(page)
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, request: Request, target: Target) -> bool | WSGIApplication:
        """The verdict. Raises `RuntimeError` for a response that means neither yes nor no, and
        `KeyError` if the target lacks a parameter."""
        path = self._page.format_map(target.params)
        key = _key(request.environ, path, target.port)
        if key is not None and self._is_known(key):
            return True
        response = CapturedResponse(self._app, _question(request.environ, path))
        if 200 <= response.status < 300:
            response.close()
            self._remember(key)
            return True
        if 300 <= response.status < 400 or response.status in (401, 403, 404):
            return response
        response.close()
        raise RuntimeError(f"the app responded with {response.status} to AskApp's request")

    def _is_known(self, key: bytes) -> bool:
        with self._lock:
            until = self._until.get(key, 0.0)
            if until > time.monotonic():
                return True
            self._until.pop(key, None)
            return False

    def _remember(self, key: bytes | None) -> None:
        if key is None or self._seconds <= 0:
            return
        with self._lock:
            self._until[key] = time.monotonic() + self._seconds
            while len(self._until) > self._entries:
                self._until.popitem(last=False)


def _parameters_of(page: str) -> frozenset[str]:
    try:
        return frozenset(name for _, name, _, _ in Formatter().parse(page) if name is not None)
    except ValueError as error:
        raise ValueError(f"page takes a path with {{names}} in it, not {page!r}: {error}") from None


def _is_asked_with(key: str) -> bool:
    """Whether a key of the visitor's environ goes into the question."""
    return (
        key not in _OF_THE_REQUEST
        and key not in _OF_THE_CONNECTION
        and not key.startswith(_OF_THE_REQUEST_PREFIXES)
        and not key.startswith(_OF_THE_CONNECTION_PREFIXES)
    )


@lru_cache(maxsize=64)  # a browser's requests have only a few sets of keys
def _bearing_on_verdict(keys: tuple[str, ...]) -> list[bool]:
    """For each key of an environ, whether a verdict may depend on its value. Cookies are handled
    separately: see `_shown_cookies`."""
    return [_is_asked_with(key) and key not in _APART for key in keys]


def _shown_cookies(environ: WSGIEnvironment) -> str | None:
    """The visitor's cookies in the question: without ours."""
    cookies: str | None = environ.get("HTTP_COOKIE")
    return without_own(cookies) if cookies and COOKIE_PREFIX in cookies else cookies


def _question(environ: WSGIEnvironment, path: str) -> WSGIEnvironment:
    """The environ of the internal request."""
    question = {key: value for key, value in environ.items() if _is_asked_with(key)}
    if (cookies := _shown_cookies(environ)) is not None:
        question["HTTP_COOKIE"] = cookies
    question.update(
        {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path.encode("utf-8").decode("latin-1"),
            "QUERY_STRING": "",
            "HTTP_ACCEPT": "text/html,*/*;q=0.8",
            "CONTENT_LENGTH": "",
            "wsgi.input": io.BytesIO(),
            "wsgi.input_terminated": True,
        }
    )
    if LINKS_KEY in question:  # so that `url_for_port` sees the URL of the page
        seen = dict(question)
        question[LINKS_KEY] = tuple((links, seen) for links, _ in question[LINKS_KEY])
    return question


def _key(environ: WSGIEnvironment, path: str, port: int) -> bytes | None:
    """A digest of everything that a verdict depends on, so that long cookies cost no memory, and
    a cached verdict is found without making the question.

    None if the verdict may depend on a value that cannot be compared, such as a session object that
    an outer middleware put into the environ: then the app is asked for each request.
    """
    pairs = [*compress(environ.items(), _bearing_on_verdict(tuple(environ)))]
    if not _COMPARABLE.issuperset(map(type, map(itemgetter(1), pairs))):
        others = [key for key, value in pairs if type(value) not in _COMPARABLE]
        if not all(key.startswith("wsgi.") for key in others):
            return None
        pairs = [pair for pair in pairs if pair[0] not in others]
    # Version 2 writes no references: equal values give equal bytes.
    text = marshal.dumps((port, path, _shown_cookies(environ), pairs), 2)
    return hashlib.blake2b(text, digest_size=24).digest()
