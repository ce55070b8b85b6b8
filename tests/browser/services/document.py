"""docs/services, rendered from the services' descriptions."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.servers import ROOT

from .service import FORMS, HOST, HTTP, OFFSETS, PORT, QUERY, REQUIREMENTS, Service

FOLDER = ROOT / "docs" / "services"
YES = "✓"  # the tests fail for a service that does not work in each form

WRITTEN = (
    "<!-- Written by tests/browser/services/test_services.py, which fails if this is not what it"
    " measures. Write it anew with: WRITE_SERVICE_DOCS=1 .venv/bin/python -m pytest"
    " tests/browser/services/test_services.py -k document -->"
)
SITE = "http://localhost:8000"
NAMES = {QUERY: "`?port=` and `/proxy/`", HOST: "host name per port", PORT: "port of the site"}


def documents(services: tuple[Service, ...]) -> dict[Path, str]:
    """Every file of the folder, with its text."""
    pages = {FOLDER / f"{one.name}.md": page(one) for one in services}
    return {FOLDER / "README.md": overview(services), **pages}


def overview(services: tuple[Service, ...]) -> str:
    rows = [
        [f"[{one.title}]({one.name}.md)", f"`{shown_command(one)}`", *(YES for _ in FORMS)]
        for one in services
    ]
    header = ["Service", "Started by", *(NAMES[form] for form in FORMS)]
    table = [header, ["---"] * len(header), *rows]
    return paragraphs(
        WRITTEN,
        "# Services",
        "What the tests do in Chromium with each service, every time they run: it is started by the"
        " command below, with no option more, behind an app on gunicorn (gthread, 32 threads) that"
        " is signed in by a cookie and has pages of its own at `/`, `/login`, `/logout`, `/api/me`"
        " and `/static/app.js`. All of it is done on plain http, and again on https with nginx in"
        " front, which ends TLS and speaks HTTP/2.",
        f"{YES}: every step on the service's page works, and meanwhile no error is on the"
        " browser's console, no answer is a 4xx or 5xx and no request fails, but for those that the"
        " service causes without a proxy too; no request goes past the proxy to the port itself;"
        " links lead back to the app's own pages, and those get their own script, API and cookies.",
        "\n".join(f"| {' | '.join(row)} |" for row in table),
        f"The forms are those of [the README](../../README.md#url-forms): `{typed(QUERY)}`,"
        f" which a browser is sent on from to `/alice/vision/proxy/16006/`, `{typed(HOST)}`, and"
        f" `{typed(PORT)}`, to which `?port=` leads where it is configured.",
        "Also tried: TensorBoard and JupyterLab in two tabs of one project, and two Streamlit apps,"
        " used and reloaded in turns. Each stays itself.",
    )


def page(service: Service) -> str:
    guide, app = service.guide, shown_app(service)
    tried = "\n".join(f"- {item};" for item in guide.tried)
    limits = "\n".join(f"- {item}" for item in guide.limits)
    return paragraphs(
        WRITTEN,
        f"# {service.title}",
        "## Start it",
        guide.start,
        fenced(shown_command(service)),
        "## Open it",
        "\n".join(f"- <{typed(form, service)}>" for form in FORMS),
        guide.opened,
        "## What was tried",
        f"With {service.title} {series(service)}, in Chromium:"
        if service.package
        else "In Chromium:",
        tried[:-1] + ".",
        f"The app that was tried: [{app}](../../{app})." if app else "",
        "## Keep it to yourself",
        guide.loopback,
        "## Known limits" if limits else "",
        limits,
    )


def paragraphs(*texts: str) -> str:
    return "\n\n".join(text for text in texts if text) + "\n"


def fenced(code: str) -> str:
    return f"```sh\n{code}\n```"


def shown_command(service: Service) -> str:
    return service.command.replace("{port}", str(service.port))


def shown_app(service: Service) -> str:
    """The file of the app that was served, if there is one of ours."""
    [*programs] = sorted(service.folder.glob("*.py"))
    return str(programs[0].relative_to(ROOT)) if programs else ""


def typed(form: str, service: Service | None = None) -> str:
    """The address to open, in the words of the README."""
    port, query = (service.port, service.guide.query) if service else (16006, "")
    if form == HOST:
        return f"http://{port}.localhost:8000/{'?' if query else ''}{query}"
    if form == PORT:
        return f"http://localhost:{port + OFFSETS[HTTP]}/{'?' if query else ''}{query}"
    return f"{SITE}/alice/vision/?port={port}{'&' if query else ''}{query}"


def series(service: Service) -> str:
    """Of the releases that requirements.txt allows, such as 4.6."""
    found = re.search(rf"^{service.package}~=(\d+\.\d+)", REQUIREMENTS.read_text("utf-8"), re.M)
    assert found is not None, service.package
    return found[1]
