"""The bakery on Bottle, by its own server."""

from __future__ import annotations

import json

from bakery import EVENT, EVENTS, ORDERS, PAGE, PORT, SCRIPT, loaves
from bottle import get, post, redirect, request, response, run


@get("/")
def page() -> str:
    return PAGE


@get("/orders")
def orders() -> str:
    return ORDERS


@get("/bakery.js")
def script() -> str:
    response.content_type = "text/javascript"
    return SCRIPT


@get("/api/loaves")
def api() -> str:
    return json.dumps(loaves)


@get("/api/live")
def live() -> str:
    return EVENTS


@get("/events")
def events() -> bytes:
    response.content_type = "text/event-stream"
    return EVENT  # the browser comes back for more: the server has one thread


@post("/loaves")
def bake() -> None:
    loaves.append(request.forms.getunicode("name"))
    redirect("/")  # by an absolute address, made from Host


run(host="127.0.0.1", port=PORT)
