"""A Django project in one file, as it is deployed: with channels by ASGI, and without by WSGI."""

# ruff: noqa: E402 - what is imported below needs the settings

from __future__ import annotations

import hashlib
import os

import django
from django import forms
from django.conf import settings

HERE = os.path.dirname(os.path.abspath(__file__))
CONTEXT = ["django.contrib.auth.context_processors.auth"]

settings.configure(
    DEBUG=False,
    ALLOWED_HOSTS=["localhost"],
    SECRET_KEY="anything will do here",
    ROOT_URLCONF=__name__,
    LOGIN_REDIRECT_URL="/orders/",
    LOGOUT_REDIRECT_URL="/accounts/login/",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[f"django.contrib.{name}" for name in ("auth", "contenttypes", "sessions")],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{HERE}/db.sqlite3"}},
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [f"{HERE}/templates"],
            "OPTIONS": {"context_processors": CONTEXT},
        }
    ],
)
django.setup()

from channels.auth import AuthMiddlewareStack  # type: ignore[import-untyped]
from channels.generic.websocket import WebsocketConsumer  # type: ignore[import-untyped]
from channels.routing import ProtocolTypeRouter, URLRouter  # type: ignore[import-untyped]
from channels.security.websocket import (  # type: ignore[import-untyped]
    AllowedHostsOriginValidator,
)
from django.contrib.auth.decorators import login_required
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import include, path


class OrderForm(forms.Form):
    item = forms.CharField()


class UploadForm(forms.Form):
    photo = forms.FileField()


def start(request: HttpRequest) -> HttpResponse:
    return redirect("orders")


@login_required
def orders(request: HttpRequest) -> HttpResponse:
    form = OrderForm(request.POST or None)
    made = request.session.setdefault("orders", [])
    if form.is_valid():
        request.session["orders"] = [*made, form.cleaned_data["item"]]
        return redirect("orders")
    context = {"form": form, "upload_form": UploadForm(), "orders": made}
    return render(request, "orders.html", context)


@login_required
def upload(request: HttpRequest) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return redirect("orders")
    photo = form.cleaned_data["photo"]
    digest = hashlib.sha256(photo.read()).hexdigest()
    return render(request, "uploaded.html", {"photo": photo, "digest": digest})


@login_required
def greeting(request: HttpRequest) -> HttpResponse:
    return render(request, "greeting.html")


class Greeter(WebsocketConsumer):  # type: ignore[misc]
    """Answers by the name of the user, whom the session's cookie tells."""

    def receive(self, text_data: str) -> None:
        self.send(text_data=f"{text_data} {self.scope['user'].username}")


urlpatterns = [
    path("", start),
    path("orders/", orders, name="orders"),
    path("upload/", upload, name="upload"),
    path("greeting/", greeting, name="greeting"),
    path("accounts/", include("django.contrib.auth.urls")),
]
websocket_urlpatterns = [path("ws/greeting/", Greeter.as_asgi())]

wsgi_application = get_wsgi_application()
application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
        ),
    }
)

if __name__ == "__main__":
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    User.objects.create_user("carol", password="carol-demo")
