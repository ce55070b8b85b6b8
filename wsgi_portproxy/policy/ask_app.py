"""`AskApp`: whoever may see the project's page in the wrapped app may use the project's ports.

Owns the internal request that asks the app, and the cache of positive verdicts.
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

from ..locate.mount import Mount
from ..locate.target import Target
from ..names import COOKIE_PREFIX, LINKS_KEY
from ..rewrite.cookies import without_own
from ..servers import KEY_PREFIXES
from ..subrequest import CapturedResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

# What belongs to the request at hand and not to the visitor: left out of the internal request, and
# hence of the cache key. Everything else that is text counts, so that we miss no way in which an
# app or a server in front identifies its visitors (cookies, REMOTE_USER, certificates, addresses).
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
    # These make some apps act on, or show, another page than the one that we ask for: a visitor
    # could have us judge a page that is open to everybody, or cause a DELETE.
    "HTTP_X_HTTP_METHOD",
    "HTTP_X_METHOD_OVERRIDE",
    "HTTP_X_ORIGINAL_",
    "HTTP_X_REWRITE_",
    "HTTP_X_SCRIPT_NAME",
)
# Types whose equal values mean the same.
_COMPARABLE = frozenset({str, bytes, int, float, bool, type(None)})
# Not about the visitor: PEP 3333's own keys, and ours. Cookies are compared separately, without
# ours.
_APART = frozenset({"wsgi.errors", "wsgi.input", "wsgi.version", LINKS_KEY, "HTTP_COOKIE"})
# The visitor's connection, and what a server offers on it: the wrapped app may not use these here.
_OF_THE_CONNECTION = frozenset({"wsgi.early_hints", "wsgi.file_wrapper", "wsgi.input_terminated"})
_OF_THE_CONNECTION_PREFIXES = (
    *KEY_PREFIXES,
    "x-wsgiorg.",
    "webob.",  # our own request's notes
)


class AskApp:
    """An authorizer that asks the wrapped app itself, in any framework.

    It makes an internal GET request for the mount's page (`/alice/vision/`) with the visitor's
    cookies and everything else that identifies them, without a body. 2xx lets the visitor through;
    401, 403, 404 or a redirect (to the login page) is sent to the visitor unchanged; anything else
    counts as a failure (503). The body of a 2xx is not read.

    page: the path of another page to ask for, with the mount's parameters:
        `"/api/projects/{username}/{project}"`.
    seconds: how long a yes is remembered, per visitor, mount and port; 0 to ask each time. One page
        of a service makes many requests, and the app should not render its own page for each. A
        visitor who loses access keeps it for this long.
    entries: how many verdicts are remembered per process.
    """

    def __init__(
        self, *, page: str | None = None, seconds: float = 5.0, entries: int = 1024
    ) -> None:
        if page is not None and (not page.startswith("/") or "?" in page or "#" in page):
            raise ValueError(f"page must be a path that starts with '/': {page!r}")
        if entries < 0:
            raise ValueError(f"entries must not be negative: {entries}")
        self._page = page
        self._seconds = seconds
        self._entries = entries
        self._app: WSGIApplication | None = None
        self._mount = ""
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def bind(
        self, app: WSGIApplication, mount: str, host_names: frozenset[str] | None = None
    ) -> None:
        """Called by `PortProxy` with the app it wraps, and the parameters in its host names.

        Raises `ValueError` on a second app or mount, and if the mount, or the host form, lacks a
        parameter of `page`.
        """
        if self._app is not None and (self._app != app or self._mount != mount):
            raise ValueError("an AskApp belongs to one app and mount; make another")
        page = self._page or mount.rstrip("/") + "/"
        names = {name for _, name, _, _ in Formatter().parse(page) if name is not None}
        if not names <= Mount(mount).names:
            raise ValueError(f"page names a parameter that the mount does not have: {page!r}")
        if host_names is not None and not names <= host_names:
            raise ValueError(
                f"AskApp asks for {page!r}, whose parameters the host form has to carry, as in "
                "host='{port}--{project}--{username}.ports.example.com'"
            )
        self._app, self._mount, self._page = app, mount, page

    def __call__(self, request: Request, target: Target) -> bool | WSGIApplication:
        """The verdict. Raises RuntimeError for a response that means neither yes nor no."""
        assert self._app is not None, "AskApp works as the authorizer of a PortProxy only"
        assert self._page is not None
        path = self._page.format_map(target.params)
        key = _key(request.environ, path, target.port)
        if key is not None and self._is_known(key):
            return True
        answer = CapturedResponse(self._app, _question(request.environ, path))
        if 200 <= answer.status < 300:
            answer.close()
            self._remember(key)
            return True
        if 300 <= answer.status < 400 or answer.status in (401, 403, 404):
            return answer
        answer.close()
        raise RuntimeError(f"the wrapped app answered {answer.status} when asked")

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


def _is_asked_with(key: str) -> bool:
    """Whether the internal request has this key of the visitor's environ too."""
    return (
        key not in _OF_THE_REQUEST
        and key not in _OF_THE_CONNECTION
        and not key.startswith(_OF_THE_REQUEST_PREFIXES)
        and not key.startswith(_OF_THE_CONNECTION_PREFIXES)
    )


@lru_cache(maxsize=64)  # a browser's requests have only a few different sets of keys
def _bearing_on_verdict(keys: tuple[str, ...]) -> list[bool]:
    """For each key of an environ, whether the verdict may depend on its value. Cookies are handled
    by `_shown_cookies`."""
    return [_is_asked_with(key) and key not in _APART for key in keys]


def _shown_cookies(environ: WSGIEnvironment) -> str | None:
    """The visitor's cookies that the app is shown: all but ours."""
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
    if LINKS_KEY in question:  # so that the page's links are made for its own URL
        seen = dict(question)
        question[LINKS_KEY] = tuple((links, seen) for links, _ in question[LINKS_KEY])
    return question


def _key(environ: WSGIEnvironment, path: str, port: int) -> bytes | None:
    """The cache key: a digest of everything that the internal request would be made of, so that
    long cookies cost no memory.

    None if the verdict may depend on something that cannot be compared, such as a session object
    that a middleware around us put into the environ: then the app is asked each time.
    """
    pairs = [*compress(environ.items(), _bearing_on_verdict(tuple(environ)))]
    if not _COMPARABLE.issuperset(map(type, map(itemgetter(1), pairs))):
        others = [key for key, value in pairs if type(value) not in _COMPARABLE]
        if not all(key.startswith("wsgi.") for key in others):
            return None
        pairs = [pair for pair in pairs if pair[0] not in others]
    # Version 2 has no internal references: equal values give equal bytes.
    text = marshal.dumps((port, path, _shown_cookies(environ), pairs), 2)
    return hashlib.blake2b(text, digest_size=24).digest()
