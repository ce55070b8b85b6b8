"""A plain WSGI app with users, projects and a signed session cookie; ports open under its projects.

    cd examples/plain
    export SECRET_KEY=$(python3 -c 'import secrets; print(secrets.token_urlsafe(64))')
    gunicorn --config ../gunicorn/gunicorn.conf.py app:application

Then start a service (python3 -m http.server 15000), open
http://localhost:8000/alice/vision/?port=15000 and sign in as alice, password alice-demo.
"""

from __future__ import annotations

import os
import sys
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from webob import Request, Response, exc
from webob.cookies import SignedCookieProfile
from webob.dec import wsgify
from werkzeug.security import check_password_hash, generate_password_hash

from wsgi_portproxy import PortProxy, Target

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PASSWORDS = {name: generate_password_hash(f"{name}-demo") for name in ("alice", "bob", "carol")}
VIEWERS = {("alice", "vision"): {"alice", "carol"}, ("bob", "audio"): {"bob"}}

# All workers need the same key. The proxy keeps cookies of this name from the services.
SESSION = SignedCookieProfile(
    os.environ.get("SECRET_KEY") or sys.exit("Set SECRET_KEY; app.py says how."),
    "plain example",
    cookie_name="session",
    max_age=8 * 60 * 60,
    httponly=True,
    samesite="Lax",
)

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="color-scheme" content="light dark">
<body style="font: 16px/1.6 system-ui, sans-serif; max-width: 36rem; margin: 3rem auto">
<h1>{title}</h1>{body}"""
LOGIN = """<form method="post"><p><label>User name <input name="username" required></label>
<p><label>Password <input name="password" type="password" required></label>
<p><button>Sign in</button></form>"""
PROJECT = """<form><label>Port, 10000 to 20000 <input name="port" type="number" required></label>
<button>Open</button></form>"""


def refusal(request: Request, owner: str, project: str) -> Response | None:
    """What to answer if the visitor may not view the project. Its page and its ports ask here."""
    user = SESSION.bind(request).get_value()
    if user is None:
        return exc.HTTPSeeOther(location=f"/login?next={quote(request.path_qs, safe='')}")
    if user not in VIEWERS.get((owner, project), ()):
        return exc.HTTPNotFound("This project does not exist, or is not shared with you.")
    return None


def may_open_port(request: Request, target: Target) -> bool | WSGIApplication:
    return refusal(request, target.params["username"], target.params["project"]) or True


@wsgify
def app(request: Request) -> Response:
    if request.path_info == "/login":
        return login(request)
    owner, _, project = request.path_info.strip("/").partition("/")
    return refusal(request, owner, project) or page(f"{owner}/{project}", PROJECT)


def login(request: Request) -> Response:
    if request.method != "POST":
        return page("Sign in", LOGIN)
    user, password = str(request.POST.get("username")), str(request.POST.get("password"))
    if not check_password_hash(PASSWORDS.get(user, ""), password):
        return page("That user name or password is not right", LOGIN, status=403)
    following = request.GET.get("next", "/")
    if not following.startswith("/") or following[1:2] in ("/", "\\"):
        following = "/"  # only pages of this site: browsers read //host and /\host as another one
    return exc.HTTPSeeOther(location=following, headers=SESSION.bind(request).get_headers(user))


def page(title: str, body: str, status: int = 200) -> Response:
    return Response(PAGE.format(title=escape(title), body=body), status=status)


# `authorizer=AskApp()` would do as well: it asks `app` for the project's page.
application = PortProxy(app, authorizer=may_open_port, mount="/{username}/{project}")
