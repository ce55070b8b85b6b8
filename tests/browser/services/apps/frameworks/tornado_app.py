"""The bakery on Tornado."""

from __future__ import annotations

import asyncio
import json

from bakery import ORDERS, PAGE, PORT, SCRIPT, SOCKET, echo, loaves
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler


class Text(RequestHandler):
    def initialize(self, text: str, kind: str = "text/html") -> None:
        self.text, self.kind = text, kind

    def get(self) -> None:
        self.set_header("Content-Type", self.kind)
        self.write(self.text)


class Loaves(RequestHandler):
    def get(self) -> None:
        self.write(json.dumps(loaves))

    def post(self) -> None:
        loaves.append(self.get_argument("name"))
        self.redirect("/", status=303)


class Chat(WebSocketHandler):  # which compares Origin with Host
    async def on_message(self, message: str | bytes) -> None:
        await self.write_message(echo(str(message)))


async def main() -> None:
    Application(
        [
            ("/", Text, {"text": PAGE}),
            ("/orders", Text, {"text": ORDERS}),
            ("/bakery.js", Text, {"text": SCRIPT, "kind": "text/javascript"}),
            ("/api/live", Text, {"text": SOCKET, "kind": "text/plain"}),
            ("/api/loaves", Loaves),
            ("/loaves", Loaves),
            ("/chat", Chat),
        ]
    ).listen(PORT, "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
