"""The bakery on Starlette."""

from __future__ import annotations

from urllib.parse import parse_qs

from bakery import ORDERS, PAGE, SCRIPT, SOCKET, echo, loaves
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket


def page(_: Request) -> Response:
    return HTMLResponse(PAGE)


def orders(_: Request) -> Response:
    return HTMLResponse(ORDERS)


def script(_: Request) -> Response:
    return Response(SCRIPT, media_type="text/javascript")


def api(_: Request) -> Response:
    return JSONResponse(loaves)


def live(_: Request) -> Response:
    return PlainTextResponse(SOCKET)


async def bake(request: Request) -> Response:
    loaves.append(parse_qs((await request.body()).decode())["name"][0])
    return RedirectResponse(request.url_for("page"), 303)  # an absolute address, from Host


async def chat(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(echo(text))


app = Starlette(
    routes=[
        Route("/", page),
        Route("/orders", orders),
        Route("/bakery.js", script),
        Route("/api/loaves", api),
        Route("/api/live", live),
        Route("/loaves", bake, methods=["POST"]),
        WebSocketRoute("/chat", chat),
    ]
)
