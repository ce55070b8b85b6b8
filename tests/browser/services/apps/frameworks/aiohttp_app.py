"""The bakery on aiohttp."""

from __future__ import annotations

from aiohttp import web
from bakery import ORDERS, PAGE, PORT, SCRIPT, SOCKET, echo, loaves

routes = web.RouteTableDef()


@routes.get("/")
async def page(_: web.Request) -> web.Response:
    return web.Response(text=PAGE, content_type="text/html")


@routes.get("/orders")
async def orders(_: web.Request) -> web.Response:
    return web.Response(text=ORDERS, content_type="text/html")


@routes.get("/bakery.js")
async def script(_: web.Request) -> web.Response:
    return web.Response(text=SCRIPT, content_type="text/javascript")


@routes.get("/api/loaves")
async def api(_: web.Request) -> web.Response:
    return web.json_response(loaves)


@routes.get("/api/live")
async def live(_: web.Request) -> web.Response:
    return web.Response(text=SOCKET)


@routes.post("/loaves")
async def bake(request: web.Request) -> web.Response:
    loaves.append(str((await request.post())["name"]))
    raise web.HTTPSeeOther("/")


@routes.get("/chat")
async def chat(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(echo(message.data))
    return socket


app = web.Application()
app.add_routes(routes)
web.run_app(app, host="127.0.0.1", port=PORT)
