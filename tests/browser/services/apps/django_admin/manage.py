"""Django's admin in one file, in DEBUG mode and with the default names of its cookies."""

from __future__ import annotations

import sys
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command, execute_from_command_line
from django.urls import path

APPS = ("admin", "auth", "contenttypes", "sessions", "messages", "staticfiles")
PROCESSORS = (
    "template.context_processors.request",
    "contrib.auth.context_processors.auth",
    "contrib.messages.context_processors.messages",
)
MIDDLEWARE = (
    "middleware.security.SecurityMiddleware",
    "contrib.sessions.middleware.SessionMiddleware",
    "middleware.common.CommonMiddleware",
    "middleware.csrf.CsrfViewMiddleware",
    "contrib.auth.middleware.AuthenticationMiddleware",
    "contrib.messages.middleware.MessageMiddleware",
    "middleware.clickjacking.XFrameOptionsMiddleware",
)

settings.configure(
    DEBUG=True,
    SECRET_KEY="anything will do here",
    ROOT_URLCONF=__name__,
    STATIC_URL="/static/",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[f"django.contrib.{name}" for name in APPS],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(__file__).with_name("db.sqlite3"),
        }
    },
    MIDDLEWARE=[f"django.{name}" for name in MIDDLEWARE],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": [f"django.{name}" for name in PROCESSORS]},
        }
    ],
)
django.setup()

from django.contrib import admin  # noqa: E402  once Django is up
from django.contrib.auth.models import User  # noqa: E402

urlpatterns = [path("admin/", admin.site.urls)]

if __name__ == "__main__":
    if sys.argv[1:] == ["prepare"]:
        call_command("migrate", verbosity=0)
        User.objects.create_superuser("carol", password="carol-demo")
    else:
        execute_from_command_line(sys.argv)
