"""What the bakeries of all frameworks have in common: their pages, and the loaves."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
PAGE = (HERE / "page.html").read_text("utf-8")
ORDERS = (HERE / "orders.html").read_text("utf-8")
SCRIPT = (HERE / "bakery.js").read_text("utf-8")
SOCKET, EVENTS = "socket", "events"  # how the page is told something
EVENT = b"data: the oven is hot\n\n"
PORT = 15020

loaves = ["rye"]


def echo(text: str) -> str:
    return f"echo of {text}"
