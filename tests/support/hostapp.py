"""The wrapped app of the tests: plain WSGI, many users, one cookie that says who it is.

`application` and its variants are what the test servers are told to serve.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from webob import Request

from wsgi_portproxy import AskApp, Limits, PortProxy, Target, Timeouts, UrlForms, Withhold
from wsgi_portproxy.policy.hosts import LOOPBACK

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MOUNT = "/{username}/{project}"


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Alice may see /alice/...; anonymous visitors are sent to /login; others get 403."""
    user = Request(dict(environ)).cookies.get("user")
    parts = environ["PATH_INFO"].split("/")
    if len(parts) >= 3 and parts[1] in ("alice", "bob"):
        if user is None:
            start_response("302 Found", [("Location", "/login"), ("Content-Type", "text/plain")])
            return [b"sign in\n"]
        if user != parts[1]:
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"not yours\n"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"the app: {environ['PATH_INFO']}?{environ['QUERY_STRING']}\n".encode()]
    if environ["PATH_INFO"] in ("/", "/login"):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"the app: {environ['PATH_INFO']}?{environ['QUERY_STRING']}\n".encode()]
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"the app has no such page\n"]


def may_view(request: Request, target: Target) -> bool:
    return bool(request.cookies.get("user") == target.params.get("username", "alice"))


#: The names that the tests ask by.
HOSTS = [".test", *LOOPBACK]
# More than any server here has threads: it is these that the tests look at.
NO_CAP = 1000

application = PortProxy(
    app,
    authorizer=may_view,
    mount=MOUNT,
    hosts=HOSTS,
    timeouts=Timeouts(connect=1.0, head=30.0),
    limits=Limits(requests_per_port=NO_CAP),
)
named = PortProxy(
    app,
    authorizer=may_view,
    mount=MOUNT,
    hosts=["app.test", ".Below.test", "[::1]"],
    urls=UrlForms(host_template="{port}.ports.test"),
)
unnamed = PortProxy(app, authorizer=may_view, mount=MOUNT)
withholding = PortProxy(
    app,
    authorizer=may_view,
    mount=MOUNT,
    hosts=HOSTS,
    withhold=Withhold(
        headers=["X-Corp-User", "X-Team-*"],
        response_headers=["X-Order", "X-Depot-*", "Set-Cookie", "Content-Length"],
    ),
)
hinting = PortProxy(
    app, authorizer=may_view, mount=MOUNT, hosts=HOSTS, withhold=Withhold(early_hints=False)
)
asking = PortProxy(
    app,
    authorizer=AskApp(app, "/{username}/{project}/"),
    mount=MOUNT,
    hosts=HOSTS,
    timeouts=Timeouts(head=30.0),
)
whole = PortProxy(app, authorizer=may_view, hosts=HOSTS, timeouts=Timeouts(head=30.0))
