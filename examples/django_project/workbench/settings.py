"""Settings of the example project. Safe as they stand: DEBUG is off, the key is not in the code.

Read from the environment:
    WORKBENCH_DATA    folder of the database and the secret key (default: data/ beside manage.py)
    WORKBENCH_HOSTS   host names the site is reached by, separated by commas
    WORKBENCH_HTTPS   1 if visitors come over HTTPS: cookies are then sent over HTTPS only
    WORKBENCH_PORTS   such as :{port+10000}: a service on port 16006 then has a root of its own, at
                      port 26006 of this site; without it, it opens below its project's page
    WORKBENCH_DEBUG   1 for Django's debug pages, on your own machine
"""

import os
from pathlib import Path

from . import secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("WORKBENCH_DATA") or BASE_DIR / "data")

SECRET_KEY = secret_key.load_or_create(DATA_DIR / "secret-key")
DEBUG = os.environ.get("WORKBENCH_DEBUG") == "1"
ALLOWED_HOSTS = os.environ.get("WORKBENCH_HOSTS", "localhost,127.0.0.1,[::1]").split(",")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "projects",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "workbench.urls"
WSGI_APPLICATION = "workbench.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "db.sqlite3",
        # Readers do not wait for the writer, and two writers queue instead of failing.
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL;", "transaction_mode": "IMMEDIATE"},
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

# Cookies know no ports: everything on localhost gets them. A name of its own keeps this project
# from signing you out of the next one. The proxy keeps it from the services behind it.
SESSION_COOKIE_NAME = "workbench_session"
SESSION_COOKIE_SECURE = os.environ.get("WORKBENCH_HTTPS") == "1"
# The CSRF token lives in the session: one cookie less that a service could read or set.
CSRF_USE_SESSIONS = True

USE_TZ = True
TIME_ZONE = "UTC"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}

# What `?port=` may open at all. Who may open it is projects.permissions.
PORT_RANGE = range(10000, 20001)
# What gives each service a root of its own, see UrlForms.host_template.
PORT_FORM = os.environ.get("WORKBENCH_PORTS", "")
