"""The bakery on CherryPy, by its own server, with a session."""

from __future__ import annotations

from collections.abc import Iterator

import cherrypy
from bakery import EVENT, EVENTS, ORDERS, PAGE, PORT, SCRIPT, loaves


class Api:
    @cherrypy.expose
    @cherrypy.tools.json_out()
    def loaves(self) -> list[str]:
        return loaves

    @cherrypy.expose
    def live(self) -> str:
        return EVENTS


class Bakery:
    api = Api()

    @cherrypy.expose
    def index(self) -> str:
        return PAGE

    @cherrypy.expose
    def orders(self) -> str:
        return ORDERS

    @cherrypy.expose(["bakery.js"])
    def script(self) -> str:
        cherrypy.response.headers["Content-Type"] = "text/javascript"
        return SCRIPT

    @cherrypy.expose
    def events(self) -> Iterator[bytes]:
        cherrypy.response.headers["Content-Type"] = "text/event-stream"
        return iter([EVENT])

    @cherrypy.expose
    @cherrypy.tools.allow(methods=["POST"])
    def loaves(self, name: str) -> None:
        loaves.append(name)
        raise cherrypy.HTTPRedirect("/")  # made absolute from Host


cherrypy.config.update({"server.socket_port": PORT, "engine.autoreload.on": False})
cherrypy.quickstart(Bakery(), "/", {"/": {"tools.sessions.on": True}})
