"""Settings of the small Django site for these tests, made in the process that needs them."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command

SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"


def set_up(folder: str = "") -> None:
    """Configure Django in this process, once, with a fresh database."""
    if settings.configured:
        return
    if not folder:
        folder = tempfile.mkdtemp(prefix="portproxy-django-")
        atexit.register(shutil.rmtree, folder)
    settings.configure(
        SECRET_KEY="for the tests only",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="tests.contrib.djangosite",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
        ],
        MIDDLEWARE=["django.middleware.common.CommonMiddleware", SESSION, AUTH],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(Path(folder, "db.sqlite3")),
            }
        },
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        USE_TZ=True,
    )
    django.setup()
    call_command("migrate", verbosity=0)
