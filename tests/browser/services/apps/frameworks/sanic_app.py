"""The bakery on Sanic."""

from __future__ import annotations

from bakery import ORDERS, PAGE, SCRIPT, SOCKET, echo, loaves
from sanic import HTTPResponse, Request, Sanic, Websocket, html, json, redirect, text

app = Sanic("bakery")


@app.get("/")
async def page(_: Request) -> HTTPResponse:
    return html(PAGE)


@app.get("/orders")
async def orders(_: Request) -> HTTPResponse:
    return html(ORDERS)


@app.get("/bakery.js")
async def script(_: Request) -> HTTPResponse:
    return text(SCRIPT, content_type="text/javascript")


@app.get("/api/loaves")
async def api(_: Request) -> HTTPResponse:
    return json(loaves)


@app.get("/api/live")
async def live(_: Request) -> HTTPResponse:
    return text(SOCKET)


@app.post("/loaves")
async def bake(request: Request) -> HTTPResponse:
    loaves.append(request.form["name"][0])
    return redirect(app.url_for("page"), status=303)


@app.websocket("/chat")
async def chat(_: Request, socket: Websocket) -> None:
    async for message in socket:
        await socket.send(echo(message))
