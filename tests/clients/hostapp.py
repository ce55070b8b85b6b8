"""The wrapped app of these tests. Programs are known to it by a bearer token, which is its own."""

from __future__ import annotations

import hmac

from webob import Request
from webob.exc import HTTPNotFound

from wsgi_portproxy import PortProxy, Target, UrlForms, Withhold

TOKEN = "alices-token"


def may_open(request: Request, target: Target) -> bool:
    """Alice may, and only in her own projects; a host name carries no project."""
    given = request.headers.get("Authorization", "")
    is_alice = hmac.compare_digest(given.encode(), f"Bearer {TOKEN}".encode())
    return is_alice and target.params.get("username", "alice") == "alice"


application = PortProxy(
    HTTPNotFound("The app has no such page."),
    authorizer=may_open,
    mount="/{username}/{project}",
    urls=UrlForms(host_template="{port}.app.test"),
    withhold=Withhold(authorization=True),
)
