"""Tools on Node with a page of their own: Node-RED, Verdaccio, webpack's development server."""

from __future__ import annotations

from dataclasses import replace

from playwright.sync_api import Page

from ..service import FORMS, Service
from ..tour import Tour
from .edits import BAKERY, edits, load
from .steps import Steps, see

# --- Node-RED


def add_a_flow_and_deploy(tour: Tour, page: Page) -> None:
    """By the editor's own actions: a tour of it lies over its buttons."""
    page.wait_for_function("window.RED?.workspaces?.active()")
    page.evaluate("RED.actions.invoke('core:add-flow')")
    page.evaluate("RED.actions.invoke('core:deploy-flows')")
    see(page, "text=Successfully deployed")


NODE_RED = Service(
    name="node_red",
    title="Node-RED",
    command="node-red -p {port} -u {folder}",
    port=11880,
    environment_of="node_red",
    elsewhere=(r"https://catalogue\.nodered\.org/",),
    use=Steps(first="#red-ui-header-button-deploy", socket="/comms", use=(add_a_flow_and_deploy,)),
)

# --- Verdaccio


def nothing_goes_past_the_proxy(tour: Tour, page: Page) -> None:
    """As it would on the same machine as the service, where the tests are."""
    past = [one for one in tour.guest.complaints if one.startswith("elsewhere")]
    assert not past, past


VERDACCIO = Service(
    name="verdaccio",
    title="Verdaccio",
    command="verdaccio --config config.yaml --listen 127.0.0.1:{port}",
    port=14873,
    environment_of="verdaccio",
    forms=(),
    why="its scripts ask its own address, http://localhost:N, which it takes from Host",
    use=Steps(first="text=No Package Published Yet", use=(nothing_goes_past_the_proxy,)),
)

# --- webpack-dev-server

WEBPACK = Service(
    name="webpack",
    title="webpack-dev-server",
    command="webpack serve --port {port}",
    port=18080,
    environment_of="webpack",
    forms=(),
    why="its pages have its own port in their scripts, and ask that for its WebSocket",
    use=Steps(
        first=BAKERY,
        socket="/ws",
        use=(load, edits("src/index.js"), nothing_goes_past_the_proxy),
    ),
)

WEBPACK_AUTO = replace(
    WEBPACK,
    name="webpack_auto",
    title="webpack-dev-server, `--client-web-socket-url auto://0.0.0.0:0/ws`",
    command="webpack serve --port {port} --client-web-socket-url auto://0.0.0.0:0/ws",
    app="webpack",
    forms=FORMS,
    why="",
)

NODE_TOOLS = (NODE_RED, VERDACCIO, WEBPACK, WEBPACK_AUTO)
