"""An authorizer that runs inside a Flask app's request context.

from wsgi_portproxy.contrib.flask import authorizer

def may_view(target):
    return session.get("user") == target.params["username"] or redirect(url_for("login"))

app.wsgi_app = PortProxy(app.wsgi_app, authorizer=authorizer(app, may_view), mount=...)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from flask import Flask
from webob import Request
from werkzeug.exceptions import HTTPException

from ..locate.target import Target
from ..policy.authorize import Allowed

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: `check(target)` gives the same verdicts as an `Authorizer`; an exception of `flask.abort` is sent
#: as the refusal. `flask.request`, `flask.session` and extensions such as Flask-Login's
#: `current_user` are available.
Check: TypeAlias = Callable[[Target], "bool | Allowed | WSGIApplication"]


def authorizer(app: Flask, check: Check) -> FlaskAuthorizer:
    """An authorizer that calls `check(target)` inside a request context of `app`.

    `before_request` functions do not run, and changes to the session are not saved.
    """
    return FlaskAuthorizer(app, check)


class FlaskAuthorizer:
    """See `authorizer`. `withhold_cookies`: the names of the app's own cookies, from its config;
    `hosts`: the host names that the app allows."""

    def __init__(self, app: Flask, check: Check) -> None:
        self._app = app
        self._check = check
        remember = app.config.get("REMEMBER_COOKIE_NAME", "remember_token")  # Flask-Login
        self.hosts = frozenset(app.config.get("TRUSTED_HOSTS") or ())  # since Flask 3.1
        self.withhold_cookies = frozenset(
            {app.session_interface.get_cookie_name(app), str(remember)}
        )

    def __call__(self, request: Request, target: Target) -> bool | Allowed | WSGIApplication:
        with self._app.request_context(request.environ):
            try:
                return self._check(target)
            except HTTPException as error:
                # Make the response now, while there is a request context.
                return error.get_response(request.environ)
