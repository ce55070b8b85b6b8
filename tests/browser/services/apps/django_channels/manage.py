"""A chat on Django with Channels, in one file: a room for all, over a WebSocket."""

from __future__ import annotations

import json
import sys
from typing import Any

import django
from channels.generic.websocket import WebsocketConsumer  # type: ignore[import-untyped]
from channels.routing import ProtocolTypeRouter, URLRouter  # type: ignore[import-untyped]
from channels.security.websocket import (  # type: ignore[import-untyped]
    AllowedHostsOriginValidator,
)
from channels.sessions import SessionMiddlewareStack  # type: ignore[import-untyped]
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template import engines
from django.urls import path

settings.configure(
    DEBUG=True,
    SECRET_KEY="anything will do here",
    ROOT_URLCONF=__name__,
    ASGI_APPLICATION=f"{__name__}.application",
    ALLOWED_HOSTS=["localhost", ".localhost", "127.0.0.1"],
    INSTALLED_APPS=["daphne", "django.contrib.sessions"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)

PAGE = """<!doctype html>
<title>Chat</title>
<link rel="icon" href="data:,">
<h1>Chat of {{ name }}</h1>
<form method="post" action="/name/">{% csrf_token %}
<input name="name" aria-label="Name"><button>Be called so</button></form>
<input id="text" aria-label="Text"><button id="say">Say</button>
<a href="/rooms/bakery/">The bakery</a>
<ol id="said"></ol>
<script>
const socket = new WebSocket(location.origin.replace("http", "ws") + "/ws/chat/");
socket.onmessage = event => {
  const item = document.getElementById("said").appendChild(document.createElement("li"));
  item.textContent = JSON.parse(event.data).text;
};
document.getElementById("say").onclick = () =>
  socket.send(JSON.stringify({ text: document.getElementById("text").value }));
</script>
"""


def page(request: HttpRequest) -> HttpResponse:
    name = request.session.get("name", "nobody")
    return HttpResponse(engines["django"].from_string(PAGE).render({"name": name}, request))


def rename(request: HttpRequest) -> HttpResponse:
    request.session["name"] = request.POST["name"]
    return redirect("/")


def room(_: HttpRequest, name: str) -> JsonResponse:
    return JsonResponse({"room": name})


class Chat(WebsocketConsumer):
    """Says what it is told, with the name from the visitor's session."""

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        name = self.scope["session"].get("name", "nobody")
        text = json.loads(text_data or "{}")["text"]
        self.send(text_data=json.dumps({"text": f"{name} says {text}"}))


urlpatterns: list[Any] = [
    path("", page),
    path("name/", rename),
    path("rooms/<str:name>/", room),
]
django.setup()
sockets = SessionMiddlewareStack(URLRouter([path("ws/chat/", Chat.as_asgi())]))
application = ProtocolTypeRouter(
    {"http": get_asgi_application(), "websocket": AllowedHostsOriginValidator(sockets)}
)

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
