"""Frameworks on Node: their development servers, and what they build for production."""

from __future__ import annotations

from dataclasses import replace

from playwright.sync_api import Page

from ..service import Service
from ..tour import Tour
from .edits import bakery
from .steps import Steps

HMR = "?token="  # of Vite's WebSocket
OF_NODE = {"PORT": "{port}", "HOST": "127.0.0.1"}

# --- Angular

ANGULAR = Service(
    name="angular",
    title="Angular, `ng serve`",
    command="ng serve --port {port}",
    port=14200,
    environment_of="angular",
    use=bakery("src/main.ts", socket=HMR),
)

ANGULAR_BUILT = Service(
    name="angular_built",
    title="Angular, built, on http-server",
    before="ng build",
    # It sends what it has no file for to itself, by which each such path gets the start page.
    command="http-server dist/bakery/browser -p {port} -P http://127.0.0.1:{port}?",
    port=18080,
    app="angular",
    environment_of="angular",
    use=bakery(),
)

# --- Nuxt

NO_TELEMETRY = {"NUXT_TELEMETRY_DISABLED": "1", "NEXT_TELEMETRY_DISABLED": "1"}

NUXT = Service(
    name="nuxt",
    title="Nuxt, `nuxt dev`",
    command="nuxt dev --port {port}",
    port=13000,
    environment_of="nuxt",
    environment=NO_TELEMETRY,
    use=bakery("app/pages/index.vue", socket=HMR),
)

# --- React Router, framework mode

REACT_ROUTER = Service(
    name="react_router",
    title="React Router, framework mode, `react-router dev`",
    command="react-router dev --port {port}",
    port=15173,
    environment_of="react_router",
    use=bakery("app/routes/loaves.jsx", socket=HMR),
)

REACT_ROUTER_BUILT = Service(
    name="react_router_built",
    title="React Router, framework mode, built",
    before="react-router build",
    command="react-router-serve build/server/index.js",
    port=13000,
    app="react_router",
    environment_of="react_router",
    environment=OF_NODE,
    use=bakery(),
)

# --- Next.js

NEXT = Service(
    name="next",
    title="Next.js, `next dev`",
    command="next dev -p {port}",
    port=13000,
    environment_of="next",
    environment=NO_TELEMETRY,
    use=bakery("app/page.jsx", socket="/_next/"),
)

NEXT_BUILT = Service(
    name="next_built",
    title="Next.js, built",
    before="next build",
    command="next start -p {port}",
    port=13000,
    app="next",
    environment_of="next",
    environment=NO_TELEMETRY,
    use=bakery(),
)

# --- SvelteKit

SVELTEKIT = Service(
    name="sveltekit",
    title="SvelteKit, `vite dev`",
    command="vite dev --port {port}",
    port=15173,
    environment_of="sveltekit",
    use=bakery("src/routes/+page.svelte", socket=HMR),
)

SVELTEKIT_BUILT = replace(
    SVELTEKIT,
    name="sveltekit_built",
    title="SvelteKit, built",
    app="sveltekit",
    before="vite build",
    command="node build",
    environment=OF_NODE,
    use=bakery(),
)

# --- Astro

ASTRO = Service(
    name="astro",
    title="Astro, `astro dev`",
    command="astro dev --port {port}",
    port=14321,
    environment_of="astro",
    environment={"ASTRO_TELEMETRY_DISABLED": "1"},
    use=bakery("src/pages/index.astro", socket=HMR),
)

# --- Storybook


def change_a_control(tour: Tour, page: Page) -> None:
    """It is told to the page within the page by a message."""
    page.locator("#control-name").fill("barley")
    page.frame_locator("#storybook-preview-iframe").locator("text=A loaf of barley").wait_for()


STORYBOOK = Service(
    name="storybook",
    title="Storybook",
    command="storybook dev -p {port} --ci --disable-telemetry --no-version-updates",
    port=16006,
    environment_of="storybook",
    # The Vite in it tries the service's own port first, which it has compiled in.
    expected=(
        r"localhost:\d+/\?token=",
        r"\[vite\] failed to connect to websocket",
        r"WebSocket closed without opened",
    ),
    use=Steps(
        first="#loaf--rye",
        use=(change_a_control,),
        socket="/storybook-server-channel",
        click="#loaf--spelt",
        then="#control-name",
        at="?path=/story/loaf--spelt",
    ),
)

NODE_FRAMEWORKS = (
    ANGULAR,
    ANGULAR_BUILT,
    NUXT,
    REACT_ROUTER,
    REACT_ROUTER_BUILT,
    NEXT,
    NEXT_BUILT,
    SVELTEKIT,
    SVELTEKIT_BUILT,
    ASTRO,
    STORYBOOK,
)
