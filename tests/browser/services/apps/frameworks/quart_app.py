"""The bakery on Quart."""

from __future__ import annotations

from bakery import ORDERS, PAGE, SCRIPT, SOCKET, echo, loaves
from quart import Quart, Response, jsonify, redirect, request, url_for, websocket
from werkzeug import Response as Redirect

app = Quart(__name__)


@app.get("/")
async def page() -> str:
    return PAGE


@app.get("/orders")
async def orders() -> str:
    return ORDERS


@app.get("/bakery.js")
async def script() -> Response:
    return Response(SCRIPT, mimetype="text/javascript")


@app.get("/api/loaves")
async def api() -> Response:
    return jsonify(loaves)


@app.get("/api/live")
async def live() -> str:
    return SOCKET


@app.post("/loaves")
async def bake() -> Redirect:
    loaves.append((await request.form)["name"])
    return redirect(url_for("page"), 303)


@app.websocket("/chat")
async def chat() -> None:
    while True:
        await websocket.send(echo(await websocket.receive()))
