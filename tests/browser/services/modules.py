"""A project of 300 ES modules that import one another, and how to see that a page ran all of them.

The entry imports the views, each view its parts, and each part the next one: so a browser learns of
nearly all modules at the same moment, and asks for as many at a time as it may.
"""

from __future__ import annotations

from playwright.sync_api import Page, expect

VIEWS, PARTS = 13, 22
NAMES = (
    "main",
    *(f"view{view}" for view in range(VIEWS)),
    *(f"part{part}" for part in range(VIEWS * PARTS)),
)
# Before this many are compiled, no browser knows of a part.
BEFORE_PARTS = 1 + VIEWS

# By default a page keeps the timing of 250 resources.
INDEX = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Modules</title>
<link rel="icon" href="data:,">
<p id="state">loading</p>
<script>
const ran = [];
performance.setResourceTimingBufferSize(2000);
</script>
<script type="module" src="/src/main.js"></script>
"""
SHOW = """document.getElementById("state").textContent = `${ran.length} modules`;\n"""
PROTOCOLS = """() => performance.getEntries()
    .filter(entry => entry.entryType === "navigation" || entry.name.includes("/src/"))
    .map(entry => entry.nextHopProtocol)
"""


def sources() -> dict[str, str]:
    """The modules, by their paths in the project, as somebody writes them."""
    return {path_of(name): _source(name) for name in NAMES}


def path_of(name: str) -> str:
    return f"src/{name}.js"


def _source(name: str) -> str:
    imports = "".join(f'import {{ name as {other} }} from "./{other}";\n' for other in _of(name))
    more = SHOW if name == "main" else ""
    return f'{imports}export const name = "{name}";\nran.push(name);\n{more}'


def _of(name: str) -> list[str]:
    """What a module imports."""
    if name == "main":
        return [f"view{view}" for view in range(VIEWS)]
    number = int(name[len("view") :])
    if name.startswith("view"):
        return [f"part{part}" for part in range(number * PARTS, (number + 1) * PARTS)]
    return [f"part{(number + 1) % (VIEWS * PARTS)}"]


def see_that_all_ran(page: Page) -> None:
    """Each module once, all of them asked for over HTTP/2, and the page too."""
    expect(page.locator("#state")).to_have_text(f"{len(NAMES)} modules")
    assert sorted(page.evaluate("ran")) == sorted(NAMES)
    assert page.evaluate(PROTOCOLS) == ["h2"] * (1 + len(NAMES))
