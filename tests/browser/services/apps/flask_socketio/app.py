"""A Flask app with the extensions that most have: Flask-Login, Flask-WTF and Flask-SocketIO."""

from __future__ import annotations

import hashlib

from flask import Flask, redirect, render_template, session, url_for
from flask_login import (  # type: ignore[import-untyped]
    LoginManager,
    UserMixin,
    current_user,
    login_required,
    login_user,
    logout_user,
)
from flask_socketio import SocketIO, emit  # type: ignore[import-untyped]
from flask_wtf import CSRFProtect, FlaskForm  # type: ignore[import-untyped]
from flask_wtf.file import FileField, FileRequired  # type: ignore[import-untyped]
from werkzeug.wrappers import Response
from wtforms import PasswordField, StringField  # type: ignore[import-untyped]
from wtforms.validators import DataRequired  # type: ignore[import-untyped]

PASSWORDS = {"carol": "carol-demo"}

app = Flask(__name__)
app.secret_key = "anything will do here"
CSRFProtect(app)
socketio = SocketIO(app, async_mode="threading")
login_manager = LoginManager(app)
login_manager.login_view = "login"


class User(UserMixin):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.id = name


class LoginForm(FlaskForm):  # type: ignore[misc]
    user = StringField("User", validators=[DataRequired()])
    password = PasswordField("Password", validators=[DataRequired()])


class OrderForm(FlaskForm):  # type: ignore[misc]
    item = StringField("Item", validators=[DataRequired()])


class UploadForm(FlaskForm):  # type: ignore[misc]
    photo = FileField("Photo", validators=[FileRequired()])


@login_manager.user_loader
def load_user(name: str) -> User | None:
    return User(name) if name in PASSWORDS else None


@app.route("/login", methods=["GET", "POST"])
def login() -> str | Response:
    form = LoginForm()
    if form.validate_on_submit() and PASSWORDS.get(form.user.data) == form.password.data:
        login_user(User(form.user.data))
        return redirect(url_for("orders"))
    return render_template("login.html", form=form)


@app.post("/log-out")
@login_required
def log_out() -> Response:
    logout_user()
    return redirect(url_for("login"))


@app.get("/")
def start() -> Response:
    return redirect(url_for("orders"))


@app.route("/orders", methods=["GET", "POST"])
@login_required
def orders() -> str | Response:
    form = OrderForm()
    if form.validate_on_submit():
        session["orders"] = [*session.get("orders", []), form.item.data]
        return redirect(url_for("orders"))
    return render_template(
        "orders.html", form=form, upload_form=UploadForm(), orders=session.get("orders", [])
    )


@app.post("/upload")
@login_required
def upload() -> str:
    form = UploadForm()
    if not form.validate_on_submit():
        return "no file"
    content = form.photo.data.read()
    digest = hashlib.sha256(content).hexdigest()
    name = form.photo.data.filename
    return render_template("uploaded.html", name=name, size=len(content), digest=digest)


@socketio.on("say")
def say(text: str) -> None:
    emit("said", f"{current_user.id}: {text}")
