"""A py4web app at the root: orders in a session, a form, and an API."""

from __future__ import annotations

from py4web import URL, Session, action, redirect, request

session = Session(secret="anything will do here")
PAGE = """<!doctype html>
<title>Bakery</title>
<link rel="icon" href="data:,">
<h1>Bakery</h1>
<form method="post" action="{bake}"><input name="name" aria-label="Name"><button>Bake</button></form>
<ul>{items}</ul>
<a href="{orders}">Orders</a>
"""


@action("index")
@action.uses(session)
def index() -> str:
    items = "".join(f"<li>{name}</li>" for name in session.get("loaves", ["rye"]))
    return PAGE.format(items=items, bake=URL("bake"), orders=URL("orders"))


@action("bake", method=["POST"])
@action.uses(session)
def bake() -> None:
    session["loaves"] = [*session.get("loaves", ["rye"]), request.forms["name"]]
    redirect(URL("index"))


@action("orders")
def orders() -> dict[str, str]:
    return {"title": "All orders"}
