"""A Django project in one file, in DEBUG mode and with the default names of its cookies."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template import engines
from django.urls import path

HERE = os.path.dirname(os.path.abspath(__file__))
APPS = ["admin", "auth", "contenttypes", "sessions", "messages", "staticfiles"]
CONTEXT = ["django.template.context_processors.request"]
CONTEXT += ["django.contrib.auth.context_processors.auth"]
CONTEXT += ["django.contrib.messages.context_processors.messages"]

settings.configure(
    DEBUG=True,
    SECRET_KEY="anything will do here",
    ROOT_URLCONF=__name__,
    STATIC_URL="/static/",
    LOGIN_URL="/admin/login/",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[f"django.contrib.{name}" for name in APPS],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{HERE}/db.sqlite3"}},
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": CONTEXT},
        }
    ],
)

PAGE = """<!doctype html>
<title>Guest book</title>
<link rel="icon" href="data:,">
<h1>Guest book of {{ user }}</h1>
<ul>{% for entry in entries %}<li>{{ entry }}</li>{% endfor %}</ul>
<form method="post" action="/book/">{% csrf_token %}
<input name="entry" aria-label="Entry"><button>Write</button></form>
<button id="script">Write by script</button>
<a href="/admin/">Administration</a>
<script>
document.getElementById("script").onclick = async () => {
  // As Django's documentation has it, see "AJAX" there.
  const cookies = document.cookie.split(";").map(cookie => cookie.trim());
  const token = cookies.find(cookie => cookie.startsWith("csrftoken=")).slice("csrftoken=".length);
  const body = new URLSearchParams({ entry: "written by a script" });
  await fetch("/book/", { method: "POST", headers: { "X-CSRFToken": token }, body });
  location.reload();
};
</script>
"""


def start(request: HttpRequest) -> HttpResponse:
    return redirect("/book/")


@login_required
def book(request: HttpRequest) -> HttpResponse:
    entries = request.session.setdefault("entries", [])
    if request.method == "POST":
        request.session["entries"] = [*entries, request.POST["entry"]]
        return redirect("/book/")
    page = engines["django"].from_string(PAGE)
    return HttpResponse(page.render({"entries": entries}, request))


urlpatterns: list[Any] = [path("", start), path("book/", book)]

if __name__ == "__main__":
    import django
    from django.core.management import call_command, execute_from_command_line

    django.setup()
    from django.contrib import admin
    from django.contrib.auth.models import User

    urlpatterns.append(path("admin/", admin.site.urls))
    if sys.argv[1:] == ["prepare"]:
        call_command("migrate", verbosity=0)
        User.objects.create_superuser("carol", password="carol-demo")
    else:
        execute_from_command_line(sys.argv)
