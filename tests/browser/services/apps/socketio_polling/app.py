"""A chat of Flask-SocketIO with its defaults: what anybody says, everybody hears."""

from __future__ import annotations

from flask import Flask, render_template
from flask_socketio import SocketIO, emit  # type: ignore[import-untyped]

app = Flask(__name__)
app.secret_key = "anything will do here"
socketio = SocketIO(app)


@app.get("/")
def start() -> str:
    return render_template("chat.html")


@socketio.on("say")
def say(text: str) -> None:
    emit("said", text, broadcast=True)


if __name__ == "__main__":
    socketio.run(app, port=15000)
