"""The bakery on Pyramid and waitress."""

from __future__ import annotations

from bakery import EVENT, EVENTS, ORDERS, PAGE, PORT, SCRIPT, loaves
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response
from waitress import serve

TEXTS = {
    "page": ("/", PAGE, "text/html"),
    "orders": ("/orders", ORDERS, "text/html"),
    "script": ("/bakery.js", SCRIPT, "text/javascript"),
    "live": ("/api/live", EVENTS, "text/plain"),
    "events": ("/events", EVENT.decode(), "text/event-stream"),
}


def text(request: Request) -> Response:
    _, body, kind = TEXTS[request.matched_route.name]
    return Response(body, content_type=kind, charset="utf-8")


def api(_: Request) -> list[str]:
    return loaves


def bake(request: Request) -> Response:
    loaves.append(request.POST["name"])
    return HTTPSeeOther(request.route_url("page"))  # an absolute address, from Host


with Configurator() as config:
    for name, (path, _, _) in TEXTS.items():
        config.add_route(name, path)
        config.add_view(text, route_name=name)
    config.add_route("api", "/api/loaves")
    config.add_view(api, route_name="api", renderer="json")
    config.add_route("bake", "/loaves")
    config.add_view(bake, route_name="bake", request_method="POST")

serve(config.make_wsgi_app(), host="127.0.0.1", port=PORT)
