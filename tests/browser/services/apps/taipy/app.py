"""A Taipy app of two pages, with a callback and an upload."""

from taipy.gui import Gui, State

clicks = 0
content = ""
name = ""
home = """
# Loaves
<|Count|button|on_action=count|>
<|{clicks}|text|format=%d clicks|>
<|Orders|button|on_action=go|>
"""
orders = """
# All orders
<|{content}|file_selector|label=Send a file|on_action=uploaded|>
<|Got {name}|text|>
"""


def count(state: State) -> None:
    state.clicks += 1


def uploaded(state: State) -> None:
    state.name = str(state.content).rpartition("/")[2]


def go(state: State) -> None:
    from taipy.gui import navigate

    navigate(state, "orders")


if __name__ == "__main__":
    Gui(pages={"/": "<|navbar|>\n<|content|>", "home": home, "orders": orders}).run(port=15051)
