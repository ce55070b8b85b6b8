"""An authorizer that can use Django's request, session and user.

from wsgi_portproxy.contrib.django import authorizer

def may_view(request, target):
    project = get_object_or_404(Project, owner__username=target.params["username"], ...)
    return project.is_visible_to(request.user)

application = PortProxy(get_wsgi_application(), authorizer=authorizer(may_view), mount=...)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.core.handlers.wsgi import WSGIRequest, get_script_name
from django.db import close_old_connections
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.urls import set_script_prefix
from django.utils.module_loading import import_string
from webob import Request

from ..locate.target import Target
from ..policy.authorize import Allowed

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: `check(request, target)` gives the same verdicts as an `Authorizer`, or Django's own: an
#: HttpResponse is sent as the refusal; `PermissionDenied` and `Http404` count as 403 and 404.
Check: TypeAlias = Callable[
    [HttpRequest, Target], "bool | Allowed | HttpResponseBase | WSGIApplication"
]


def authorizer(check: Check) -> DjangoAuthorizer:
    """An authorizer that calls `check(request, target)` with `request.session` and `request.user`.

    Of `settings.MIDDLEWARE`, only the session and authentication middlewares (or subclasses of
    them) run. The session is read-only: changes are not saved. Raises `ImproperlyConfigured` if
    `settings.MIDDLEWARE` lacks one of the two.
    """
    return DjangoAuthorizer(check)


class DjangoAuthorizer:
    """See `authorizer`. `withhold_cookies`: the names of the app's own cookies, from its settings;
    `hosts`: the host names that the app allows."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._middlewares = [
            middleware(_unused_get_response) for middleware in _session_and_auth_middlewares()
        ]
        self.hosts = frozenset(settings.ALLOWED_HOSTS)
        self.withhold_cookies = frozenset(
            {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, "messages"}
        )

    def __call__(self, request: Request, target: Target) -> bool | Allowed | WSGIApplication:
        # Django's request signals do the same: a connection that the database closed must not be
        # used, and no connection may be kept longer than CONN_MAX_AGE.
        close_old_connections()
        # Django's handler does the same: reverse() needs it to build the URL of a login page.
        set_script_prefix(get_script_name(request.environ))
        try:
            verdict = self._verdict(WSGIRequest(request.environ), target)
            if not isinstance(verdict, HttpResponseBase):
                return verdict
            if isinstance(verdict, SimpleTemplateResponse):
                verdict.render()
            return as_wsgi(verdict)
        finally:
            close_old_connections()

    def _verdict(
        self, request: HttpRequest, target: Target
    ) -> bool | Allowed | HttpResponseBase | WSGIApplication:
        try:
            for middleware in self._middlewares:
                response = middleware.process_request(request)
                if response is not None:  # the project's own subclass refuses
                    return cast(HttpResponseBase, response)
            return self._check(request, target)
        except PermissionDenied:
            return False
        except Http404:
            return HttpResponse("Not Found\n", status=404, content_type="text/plain")


def as_wsgi(response: HttpResponseBase) -> WSGIApplication:
    """A Django response as a WSGI application, including its cookies."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        headers = list(response.items())
        headers += [("Set-Cookie", morsel.OutputString()) for morsel in response.cookies.values()]
        start_response(f"{response.status_code} {response.reason_phrase}", headers)
        return response

    return application


def _session_and_auth_middlewares() -> list[type]:
    # Imported here: they need the settings and the app registry, which are ready only after wsgi.py
    # has called get_wsgi_application(), and its imports run before that.
    from django.contrib.auth.middleware import AuthenticationMiddleware
    from django.contrib.sessions.middleware import SessionMiddleware

    found = [
        middleware
        for middleware in map(import_string, settings.MIDDLEWARE)
        if isinstance(middleware, type)
        and issubclass(middleware, (SessionMiddleware, AuthenticationMiddleware))
    ]
    for needed in (SessionMiddleware, AuthenticationMiddleware):
        if not any(issubclass(middleware, needed) for middleware in found):
            raise ImproperlyConfigured(
                f"wsgi_portproxy's authorizer needs {needed.__name__} in settings.MIDDLEWARE"
            )
    return found


def _unused_get_response(request: HttpRequest) -> HttpResponse:
    raise AssertionError("only process_request of these middlewares is called")
