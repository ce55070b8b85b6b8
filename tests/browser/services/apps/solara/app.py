"""A Solara app with two pages: a button that counts, and a link."""

import solara

clicks = solara.reactive(0)


@solara.component
def Home() -> None:
    solara.Markdown("# Counting")
    solara.Button(f"{clicks.value} clicks", on_click=lambda: clicks.set(clicks.value + 1))
    with solara.Link("/orders"):
        solara.Text("To the orders")


@solara.component
def Orders() -> None:
    name, set_name = solara.use_state("")
    solara.Markdown("# All orders")
    solara.FileDrop("Drop a file", on_file=lambda file: set_name(file["name"]))
    solara.Text(f"Got {name}")


routes = [
    solara.Route("/", component=Home, label="Home"),
    solara.Route("orders", component=Orders, label="Orders"),
]
