"""A small FastAPI app."""

from __future__ import annotations

from fastapi import FastAPI, WebSocket

app = FastAPI(title="Bakery")


@app.get("/")
def read_root() -> dict[str, str]:
    return {"Hello": "World"}


@app.get("/loaves/{number}")
def read_loaf(number: int, sliced: bool = False) -> dict[str, object]:
    return {"number": number, "sliced": sliced}


@app.websocket("/ws")
async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text((await websocket.receive_text()).upper())
    await websocket.close()
