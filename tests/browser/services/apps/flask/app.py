"""A Flask app written without a thought for prefixes: every URL in it begins with a slash."""

from __future__ import annotations

import time
from collections.abc import Iterator

from flask import Flask, Response, jsonify, redirect, render_template, request, session
from werkzeug.wrappers import Response as AnyResponse

app = Flask(__name__)
app.secret_key = "anything will do here"


@app.get("/notes")
def notes() -> str:
    return render_template("notes.html", notes=session.get("notes", []), user=session.get("user"))


@app.get("/")
def start() -> AnyResponse:
    return redirect("/notes")


@app.post("/notes/add")
def add() -> AnyResponse:
    session["notes"] = [*session.get("notes", []), request.form["text"]]
    return redirect("/notes")


@app.post("/api/count")
def count() -> AnyResponse:
    return jsonify(words=len(request.get_json()["text"].split()), user=session.get("user"))


@app.get("/events")
def events() -> Response:
    def numbers() -> Iterator[str]:
        for number in range(1, 4):
            yield f"data: {number}\n\n"
            time.sleep(0.05)
        yield "event: over\ndata:\n\n"

    return Response(numbers(), content_type="text/event-stream")


@app.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> str | AnyResponse:
    if request.method == "POST":
        session["user"] = request.form["user"]
        return redirect("/private")
    return render_template("sign-in.html")


@app.get("/private")
def private() -> str | AnyResponse:
    if "user" not in session:
        return redirect("/sign-in")
    return render_template("private.html", user=session["user"])


@app.post("/sign-out")
def sign_out() -> AnyResponse:
    session.clear()
    return redirect("/sign-in")


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=15000)
