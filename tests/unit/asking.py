"""An app to be asked by `AskApp`, and the questions of a visitor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from wsgi_portproxy.askapp import AskApp
from wsgi_portproxy.authorize import authorize
from wsgi_portproxy.captured import CapturedResponse
from wsgi_portproxy.locate import Target

from .given import COOKIES, a_target, environ

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
    ask = AskApp(**settings)
    ask.bind(app, MOUNT)
    return ask


def judge(ask: AskApp, target: Target | None = None, **fields: Any) -> CapturedResponse | None:
    return authorize(ask, environ(**fields), target or a_target(), COOKIES)


# Fields of the environ that speak of one request and not of the visitor.
OF_THE_REQUEST: dict[str, Any] = {
    "HTTP_RANGE": "bytes=0-1",
    "HTTP_IF_NONE_MATCH": '"x"',
    "HTTP_IF_MODIFIED_SINCE": "Mon, 01 Jan 2024 00:00:00 GMT",
    "HTTP_TRANSFER_ENCODING": "chunked",
    "HTTP_EXPECT": "100-continue",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "upgrade",
    "HTTP_SEC_WEBSOCKET_KEY": "x",
    "HTTP_SEC_FETCH_MODE": "cors",
    "HTTP_ORIGIN": "http://app.test",
    "HTTP_REFERER": "http://app.test/alice/vision/?port=16006",
    "HTTP_X_REQUESTED_WITH": "XMLHttpRequest",
    "HTTP_X_CSRFTOKEN": "x",
    "HTTP_X_XSRF_TOKEN": "x",
    "HTTP_X_REQUEST_ID": "1",
    "CONTENT_TYPE": "text/plain",
    "REMOTE_PORT": "40000",
    "RAW_URI": "/alice/vision/?port=16006",
    "REQUEST_URI": "/alice/vision/?port=16006",
    "PATH_TRANSLATED": "/srv/alice",
    # These would make some apps act on, or show, another page than the one that is asked for.
    "HTTP_X_HTTP_METHOD_OVERRIDE": "DELETE",
    "HTTP_X_HTTP_METHOD": "DELETE",
    "HTTP_X_METHOD_OVERRIDE": "DELETE",
    "HTTP_X_ORIGINAL_URL": "/public",
    "HTTP_X_ORIGINAL_URI": "/public",
    "HTTP_X_REWRITE_URL": "/public",
    "HTTP_X_SCRIPT_NAME": "/alice",
}
