"""Apps on Vite's development server: with the routers of React and of Vue, and without one."""

from __future__ import annotations

from ..service import ROOTS, Service, UnderPath
from .edits import BAKERY, NO_SUCH_PAGE, bakery, edits, load
from .steps import Steps

COMMAND = "vite --port {port}"
BASE = "vite --port {port} --base={prefix}/"
HMR = "/?token="  # of Vite's WebSocket
ITS_ROUTER = "its router compares the browser's path with its own base, which is /"

REACT = Service(
    name="vite_react",
    title="React with BrowserRouter (Vite)",
    command=COMMAND,
    port=15173,
    environment_of="vite",
    forms=ROOTS,
    why=ITS_ROUTER,
    sign=NO_SUCH_PAGE,
    use=bakery("Loaves.jsx", socket=HMR),
)

VUE = Service(
    name="vite_vue",
    title="Vue with vue-router (Vite)",
    command=COMMAND,
    port=15173,
    environment_of="vite",
    forms=ROOTS,
    why=ITS_ROUTER,
    sign=NO_SUCH_PAGE,
    under_path=UnderPath(command=BASE, strip=False),
    use=bakery("Loaves.vue", socket=HMR),
)

PLAIN = Service(
    name="vite_plain",
    title="Vite without a router",
    command=COMMAND,
    port=15173,
    environment_of="vite",
    use=Steps(
        first=BAKERY,
        socket=HMR,
        use=(load, edits("baked.js")),
        click="text=Orders",
        then="h1:text-is('All orders')",
        at="orders.html",
        deep="orders.html",
        found="h1:text-is('All orders')",
    ),
)

VITE = (REACT, VUE, PLAIN)
