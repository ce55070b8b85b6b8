"""Views and middlewares of the small Django site for these tests."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.urls import path


class PrivateSessionMiddleware(SessionMiddleware):
    """A project's own: a subclass is as good as the original."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.session["seen_by_subclass"] = True


class NotOnSundaysMiddleware(AuthenticationMiddleware):
    """One that answers itself."""

    def process_request(self, request: HttpRequest) -> Any:
        super().process_request(request)
        return HttpResponse("closed", status=451)


class CountingMiddleware:
    """Not for the authorizer: it would be called twice for one request."""

    calls = 0

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        type(self).calls += 1
        response: HttpResponse = self._get_response(request)
        return response


def function_middleware(get_response: Any) -> Any:
    """Middlewares may be functions."""
    return get_response


def page(request: HttpRequest, **kwargs: str) -> HttpResponse:
    return HttpResponse(f"page for {getattr(request, 'user', None)}", content_type="text/plain")


urlpatterns = [
    path("login/", page, name="login"),
    path("<username>/<project>/", page, name="project"),
]
