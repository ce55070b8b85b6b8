"""A Flask app with a login; ports open under its projects, for those who may view them.

    cd examples/flask_app
    export SECRET_KEY=$(python3 -c 'import secrets; print(secrets.token_urlsafe(64))')
    gunicorn --config ../gunicorn/gunicorn.conf.py app:app

Then start a service (python3 -m http.server 15000), open
http://localhost:8000/alice/vision/?port=15000 and sign in as alice, password alice-demo.
"""

from __future__ import annotations

import os
import sys

from flask import Flask, abort, redirect, render_template, request, session, url_for
from werkzeug.security import check_password_hash, generate_password_hash
from werkzeug.wrappers import Response

from wsgi_portproxy import PortProxy, Target
from wsgi_portproxy.contrib.flask import authorizer

app = Flask(__name__)
app.config.update(
    # All workers need the same key.
    SECRET_KEY=os.environ.get("SECRET_KEY") or sys.exit("Set SECRET_KEY; app.py says how."),
    SESSION_COOKIE_SAMESITE="Lax",
)

PASSWORDS = {name: generate_password_hash(f"{name}-demo") for name in ("alice", "bob", "carol")}
VIEWERS = {("alice", "vision"): {"alice", "carol"}, ("bob", "audio"): {"bob"}}


def refusal(owner: str, project: str) -> Response | None:
    """What to answer if the visitor may not view the project. Its page and its ports ask here."""
    if "user" not in session:
        return redirect(url_for("login", next=request.full_path.removesuffix("?")))
    if session["user"] not in VIEWERS.get((owner, project), ()):
        abort(404)
    return None


@app.get("/")
def home() -> str | Response:
    if "user" not in session:
        return redirect(url_for("login"))
    visible = [project for project, viewers in VIEWERS.items() if session["user"] in viewers]
    return render_template("home.html", projects=visible)


@app.get("/<owner>/<project>/")
def project_page(owner: str, project: str) -> str | Response:
    answer = refusal(owner, project)
    return answer or render_template("project.html", owner=owner, project=project)


@app.route("/login", methods=["GET", "POST"])
def login() -> str | Response | tuple[str, int]:
    if request.method == "GET":
        return render_template("login.html", wrong=False)
    user = request.form["username"]
    if not check_password_hash(PASSWORDS.get(user, ""), request.form["password"]):
        return render_template("login.html", wrong=True), 403
    session.clear()
    session["user"] = user
    return redirect(local_path(request.args.get("next", "/")))


@app.post("/logout")
def logout() -> Response:
    session.clear()
    return redirect(url_for("login"))


def local_path(path: str) -> str:
    """The path if it is one of this site; browsers read //host and /\\host as another site."""
    return path if path.startswith("/") and path[1:2] not in ("/", "\\") else "/"


def may_open_port(target: Target) -> bool | Response:
    return refusal(target.params["username"], target.params["project"]) or True


# Assigned to wsgi_app, so that `flask run` and every server that is given `app` have the ports too.
app.wsgi_app = PortProxy(  # type: ignore[method-assign]
    app.wsgi_app,
    authorizer=authorizer(app, may_open_port),
    mount="/{username}/{project}",
)
