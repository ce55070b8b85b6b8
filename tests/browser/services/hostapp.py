"""The wrapped app of these tests: it has pages of its own where services like to have theirs.

Its session cookie has Flask's name and its other two Django's, so that services that use the same
names meet them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from webob import Request, Response
from webob.exc import HTTPNotFound, HTTPUnauthorized

from wsgi_portproxy import Listen, PortProxy, Service, Target, UrlForms

from .service import HTTP, HTTPS, OFFSETS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MOUNT = "/{username}/{project}"
SESSION = "alice-is-signed-in"
COOKIES = {"session": SESSION, "sessionid": "of-the-app", "csrftoken": "of-the-app-too"}
TOKEN = "alices-token"  # for programs, as a bearer token

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title} - the app</title>
<link rel="icon" href="data:,">
<h1>{title}</h1>
<p id="who">loading</p>
<script src="/static/app.js"></script>
"""
SCRIPT = """
fetch("/api/me").then(answer => answer.json()).then(me => {
  document.getElementById("who").textContent = `signed in as ${me.name}`;
});
"""
PAGES = {
    "/": "Start page",
    "/login": "Login of the app",
    "/logout": "Logout of the app",
    "/alice/vision/": "Project page",
}


def is_alice(request: Request) -> bool:
    return bool(
        request.cookies.get("session") == SESSION
        or request.headers.get("Authorization") == f"Bearer {TOKEN}"
    )


def may_open(request: Request, target: Target) -> bool | WSGIApplication:
    """Alice may, and only in her own projects; a host name carries no project."""
    if not is_alice(request):
        refusal: WSGIApplication = HTTPUnauthorized()
        return refusal
    return target.params.get("username", "alice") == "alice"


def answer(request: Request) -> WSGIApplication:
    path = request.path_info
    if path in PAGES:
        page: WSGIApplication = Response(PAGE.format(title=PAGES[path]))
        return page
    if path == "/static/app.js":
        script: WSGIApplication = Response(SCRIPT, content_type="text/javascript", charset="utf-8")
        return script
    if path == "/api/me" and is_alice(request):
        me: WSGIApplication = Response(json={"name": "alice"}, content_type="application/json")
        return me
    missing: WSGIApplication = HTTPNotFound("The app has no such page.")
    return missing


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return answer(Request(environ))(environ, start_response)


STRIPPED, UNSTRIPPED = Service(), Service(strip_prefix=False)


def services(target: Target) -> Service:
    """Services of the project `whole` are asked for the visitor's full path."""
    return UNSTRIPPED if target.params.get("project") == "whole" else STRIPPED


def _proxied(urls: UrlForms) -> PortProxy:
    return PortProxy(app, authorizer=may_open, mount=MOUNT, urls=urls, services=services)


#: With the path form, in which `?port=` opens, and the host form.
application = _proxied(UrlForms(host_template="{port}.localhost", redirect_browsers="path"))
#: With the port form: on http this app listens, on https its front end.
listening = _proxied(UrlForms(host_template=f":{{port+{OFFSETS[HTTP]}}}", listen=Listen()))
behind_front = _proxied(UrlForms(host_template=f":{{port+{OFFSETS[HTTPS]}}}"))
