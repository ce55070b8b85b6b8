"""`AskApp`: whoever may see the project's page in the wrapped app may use the project's ports.

Owns the internal request that asks, and the cache of its yeses.
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

# What belongs to the request at hand and not to the visitor: left out of the question, and hence of
# what a cached verdict depends on. All else that is text counts, so that no way in which an app or
# a server in front knows its visitors (cookies, REMOTE_USER, certificates, addresses) is missed.
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
    # By these some apps would act on, or show, another page than the one that is asked for: a
    # visitor could have a page judged that is open to everybody, or cause a DELETE.
    "HTTP_X_HTTP_METHOD",
    "HTTP_X_METHOD_OVERRIDE",
    "HTTP_X_ORIGINAL_",
    "HTTP_X_REWRITE_",
    "HTTP_X_SCRIPT_NAME",
)
# Types whose values say the same about the visitor whenever they are equal.
_COMPARABLE = frozenset({str, bytes, int, float, bool, type(None)})
# What PEP 3333 has in every environ and is no word about the visitor; ours, the same for all; and
# the cookies, of which ours are none of the app's.
_APART = frozenset({"wsgi.errors", "wsgi.input", "wsgi.version", LINKS_KEY, "HTTP_COOKIE"})
# The visitor's connection and what a server offers on it are not the wrapped app's to use here.
_OF_THE_CONNECTION = frozenset({"wsgi.early_hints", "wsgi.file_wrapper", "wsgi.input_terminated"})
_OF_THE_CONNECTION_PREFIXES = (
    *KEY_PREFIXES,
    "x-wsgiorg.",
    "webob.",  # our own request's notes
)


class AskApp:
    """An authorizer that asks an app itself, in any framework: whoever may see a page of it may use
    the ports.

    The question is an internal GET of the page with the visitor's cookies and all else that
    identifies them, without a body. 2xx lets the visitor through; 401, 403, 404 or a redirect (to
    the login page) is sent to the visitor as it is; anything else counts as no answer (503). The
    body of a 2xx is not read.

    app: the app to ask, which `PortProxy` wraps.
    page: the path of the page, with the mount's parameters: `"/{username}/{project}/"`.
    seconds: how long a yes is remembered, per visitor, page and port; 0 to ask each time. A page of
        a service is many requests, and the app should not render its own page for each; what
        somebody may no longer see stays open for this long.
    entries: how many are remembered per process.

    Raises `TypeError` or `ValueError` for settings that could never work.
    """

    def __init__(
        self, app: WSGIApplication, page: str, *, seconds: float = 5.0, entries: int = 1024
    ) -> None:
        if not callable(app):
            raise TypeError(f"AskApp takes the app to ask first, a WSGI application, not {app!r}")
        if not page.startswith("/") or "?" in page or "#" in page:
            raise ValueError(f"page takes a path that starts with '/', not {page!r}")
        if entries < 0:
            raise ValueError(f"entries takes a number from 0 on, not {entries!r}")
        self._app = app
        self._page = page
        self._seconds = seconds
        self._entries = entries
        #: What `PortProxy` has to find in the URL, see `AuthorizerFacts`.
        self.parameters = _parameters_of(page)
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, request: Request, target: Target) -> bool | WSGIApplication:
        """The verdict. Raises RuntimeError for an answer that says neither yes nor no."""
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
        raise RuntimeError(f"the app answered {answer.status} when asked")

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
    """Whether a key of the visitor's environ is one of the question's too."""
    return (
        key not in _OF_THE_REQUEST
        and key not in _OF_THE_CONNECTION
        and not key.startswith(_OF_THE_REQUEST_PREFIXES)
        and not key.startswith(_OF_THE_CONNECTION_PREFIXES)
    )


@lru_cache(maxsize=64)  # a browser's requests have the same keys, but for a few kinds of them
def _bearing_on_verdict(keys: tuple[str, ...]) -> list[bool]:
    """Whether a verdict may depend on what is under each of the keys of an environ. Of the cookies
    it does, on those that the app is shown: see `_shown_cookies`."""
    return [_is_asked_with(key) and key not in _APART for key in keys]


def _shown_cookies(environ: WSGIEnvironment) -> str | None:
    """The visitor's cookies as the app is asked with them: without ours."""
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
    if LINKS_KEY in question:  # so that the page makes its links as the page that is asked for
        seen = dict(question)
        question[LINKS_KEY] = tuple((links, seen) for links, _ in question[LINKS_KEY])
    return question


def _key(environ: WSGIEnvironment, path: str, port: int) -> bytes | None:
    """What a verdict depends on, as a digest, so that long cookies cost no memory: all that the
    question would be made of, which a warm verdict never makes.

    None if the verdict may depend on what cannot be compared, such as a session object that a
    middleware around us put into the environ: then each request is asked for.
    """
    pairs = [*compress(environ.items(), _bearing_on_verdict(tuple(environ)))]
    if not _COMPARABLE.issuperset(map(type, map(itemgetter(1), pairs))):
        others = [key for key, value in pairs if type(value) not in _COMPARABLE]
        if not all(key.startswith("wsgi.") for key in others):
            return None
        pairs = [pair for pair in pairs if pair[0] not in others]
    # Version 2 has no references within: equal values give equal bytes.
    text = marshal.dumps((port, path, _shown_cookies(environ), pairs), 2)
    return hashlib.blake2b(text, digest_size=24).digest()
