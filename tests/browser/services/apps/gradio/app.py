"""A Gradio app with two pages: what the service makes of a name, and of a file."""

from __future__ import annotations

from pathlib import Path

import gradio as gr


def greet(name: str) -> str:
    return f"Hello {name}"


def tell(path: str) -> str:
    return f"Got {Path(path).name}"


with gr.Blocks(title="Bakery") as demo:
    gr.Markdown("# Greetings")
    who = gr.Textbox(label="Name")
    greeting = gr.Textbox(label="Greeting")
    gr.Button("Greet").click(greet, who, greeting)
with demo.route("Orders", "/orders"):
    gr.Markdown("# All orders")
    file = gr.File(label="File")
    told = gr.Textbox(label="Told")
    file.upload(tell, file, told)
demo.launch(server_port=15041)
