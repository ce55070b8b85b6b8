"""An app to be asked by `AskApp`, and the questions of a visitor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from wsgi_portproxy.locate.target import Target
from wsgi_portproxy.policy.ask_app import AskApp
from wsgi_portproxy.policy.authorize import authorize
from wsgi_portproxy.subrequest import CapturedResponse

from .given import COOKIES, a_target, environ, words

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MOUNT = "/{username}/{project}"


class App:
    """Answers with `status` and `headers`; keeps the environs of all questions."""

    def __init__(self, status: str = "200 OK") -> None:
        self.status = status
        self.headers = [("Content-Type", "text/plain")]
        self.asked: list[dict[str, Any]] = []

    def __call__(self, made: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.asked.append(made)
        start_response(self.status, self.headers)
        return [b"the app's own page"]


def bound(app: Any, **settings: Any) -> AskApp:
    return AskApp(app, f"{MOUNT}/", **settings)


def judge(ask: AskApp, target: Target | None = None, **fields: Any) -> CapturedResponse | None:
    return authorize(ask, environ(**fields), target or a_target(), COOKIES).refusal


# Fields of the environ that speak of one request and not of the visitor. The last two lines would
# make some apps act on, or show, another page than the one that is asked for.
OF_THE_REQUEST: dict[str, Any] = dict.fromkeys(
    words("""
    HTTP_RANGE HTTP_IF_NONE_MATCH HTTP_TRANSFER_ENCODING HTTP_EXPECT HTTP_UPGRADE HTTP_CONNECTION
    HTTP_KEEP_ALIVE HTTP_TE HTTP_SEC_FETCH_MODE HTTP_ORIGIN HTTP_REFERER HTTP_X_REQUESTED_WITH
    HTTP_X_CSRFTOKEN HTTP_X_XSRF_TOKEN HTTP_X_REQUEST_ID HTTP_X_CORRELATION_ID HTTP_CACHE_CONTROL
    HTTP_PRAGMA HTTP_PRIORITY HTTP_PURPOSE HTTP_ACCEPT_ENCODING HTTP_UPGRADE_INSECURE_REQUESTS
    HTTP_CONTENT_LENGTH HTTP_CONTENT_TYPE HTTP_SERVICE_WORKER CONTENT_TYPE REMOTE_PORT RAW_URI
    REQUEST_URI SCRIPT_URI SCRIPT_URL DOCUMENT_URI UNIQUE_ID PATH_TRANSLATED
    HTTP_X_HTTP_METHOD HTTP_X_HTTP_METHOD_OVERRIDE HTTP_X_METHOD_OVERRIDE HTTP_X_ORIGINAL_URL
    HTTP_X_REWRITE_URL HTTP_X_SCRIPT_NAME
    """),
    "16006",
)
