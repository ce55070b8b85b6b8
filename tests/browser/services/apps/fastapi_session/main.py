"""A FastAPI app with a session, templates and static files, as its documentation has them."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import FastAPI, Form, Request, UploadFile, WebSocket
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from starlette.middleware.sessions import SessionMiddleware

PASSWORDS = {"carol": "carol-demo"}

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key="anything will do here")
app.mount("/static", StaticFiles(directory="static"), name="static")
templates = Jinja2Templates(directory="templates")


@app.get("/login", response_class=HTMLResponse)
def login(request: Request) -> Response:
    return templates.TemplateResponse(request, "login.html")


@app.post("/login")
def log_in(
    request: Request, user: Annotated[str, Form()], password: Annotated[str, Form()]
) -> Response:
    if PASSWORDS.get(user) != password:
        return RedirectResponse(request.url_for("login"), 303)
    request.session["user"] = user
    return RedirectResponse(request.url_for("orders"), 303)


@app.get("/")
def start(request: Request) -> Response:
    return RedirectResponse(request.url_for("orders"))


@app.get("/orders", response_class=HTMLResponse)
def orders(request: Request) -> Response:
    if "user" not in request.session:
        return RedirectResponse(request.url_for("login"), 303)
    return templates.TemplateResponse(request, "orders.html", {"session": request.session})


@app.post("/orders")
def order(request: Request, item: Annotated[str, Form()]) -> Response:
    request.session["orders"] = [*request.session.get("orders", []), item]
    return RedirectResponse(request.url_for("orders"), 303)


@app.post("/upload", response_class=HTMLResponse)
async def upload(request: Request, photo: UploadFile) -> Response:
    content = await photo.read()
    digest = hashlib.sha256(content).hexdigest()
    context = {"name": photo.filename, "size": len(content), "digest": digest}
    return templates.TemplateResponse(request, "uploaded.html", context)


@app.get("/loaves/{number}", response_class=HTMLResponse)
def loaf(request: Request, number: int) -> Response:
    return templates.TemplateResponse(request, "loaf.html", {"number": number})


@app.websocket("/ws")
async def greet(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(f"{text} {websocket.session['user']}")
