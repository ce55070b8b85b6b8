"""The bakery on Litestar."""

from typing import Annotated, Any

from bakery import ORDERS, PAGE, SCRIPT, SOCKET, echo, loaves
from litestar import Litestar, MediaType, get, post, websocket_listener
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import Redirect

Form = Annotated[dict[str, Any], Body(media_type=RequestEncodingType.URL_ENCODED)]


@get("/", media_type=MediaType.HTML)
async def page() -> str:
    return PAGE


@get("/orders", media_type=MediaType.HTML)
async def orders() -> str:
    return ORDERS


@get("/bakery.js", media_type="text/javascript")
async def script() -> str:
    return SCRIPT


@get("/api/loaves")
async def api() -> list[str]:
    return loaves


@get("/api/live", media_type=MediaType.TEXT)
async def live() -> str:
    return SOCKET


@post("/loaves", status_code=303)
async def bake(data: Form) -> Redirect:
    loaves.append(data["name"])
    return Redirect("/", status_code=303)


@websocket_listener("/chat")
async def chat(data: str) -> str:
    return echo(data)


app = Litestar([page, orders, script, api, live, bake, chat])
