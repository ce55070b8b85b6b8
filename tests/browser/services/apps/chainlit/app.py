"""A Chainlit app, which says again what it is told."""

from __future__ import annotations

import chainlit as cl


@cl.on_chat_start
async def begin() -> None:
    await cl.Message("The bakery is open").send()


@cl.on_message
async def answer(message: cl.Message) -> None:
    names = ", ".join(str(file.name) for file in message.elements)
    await cl.Message(f"You said {message.content} {names}").send()
