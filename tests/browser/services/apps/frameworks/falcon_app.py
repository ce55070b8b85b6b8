"""The bakery on Falcon, over ASGI."""

from __future__ import annotations

import falcon
from bakery import ORDERS, PAGE, SCRIPT, SOCKET, echo, loaves
from falcon.asgi import App, Request, Response, WebSocket


class Text:
    def __init__(self, text: str, kind: str = falcon.MEDIA_HTML) -> None:
        self.text, self.kind = text, kind

    async def on_get(self, _: Request, answer: Response) -> None:
        answer.text, answer.content_type = self.text, self.kind


class Loaves:
    async def on_get(self, _: Request, answer: Response) -> None:
        answer.media = loaves

    async def on_post(self, request: Request, answer: Response) -> None:
        loaves.append((await request.get_media())["name"])
        raise falcon.HTTPSeeOther("/")


class Chat:
    async def on_websocket(self, _: Request, socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_text(echo(await socket.receive_text()))
        except falcon.WebSocketDisconnected:
            return


app = App()
app.add_route("/", Text(PAGE))
app.add_route("/orders", Text(ORDERS))
app.add_route("/bakery.js", Text(SCRIPT, "text/javascript"))
app.add_route("/api/live", Text(SOCKET, falcon.MEDIA_TEXT))
app.add_route("/api/loaves", Loaves())
app.add_route("/loaves", Loaves())
app.add_route("/chat", Chat())
