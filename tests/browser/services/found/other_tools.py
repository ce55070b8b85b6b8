"""Tools with a page of their own that are neither Python's nor Node's."""

from __future__ import annotations

import subprocess
from pathlib import Path

from playwright.sync_api import Page

from ..hostapp import TOKEN
from ..service import Service
from ..tour import Tour, fetched
from .steps import Steps, see

# --- git over HTTP, with cgit

CGITRC = """css=/cgit-css/cgit.css
logo=/cgit-css/cgit.png
virtual-root=/cgit/
scan-path={folder}/repositories
"""
GIT = ("git", "-c", "user.name=Carol", "-c", "user.email=carol@example.com")
LOG = "text=Bake a rye"


def make_a_repository(folder: Path) -> None:
    work = str(folder / "work")
    for command in (
        [*GIT, "init", "-q", "-b", "main", work],
        [*GIT, "-C", work, "commit", "-q", "--allow-empty", "-m", "Bake a rye"],
        [*GIT, "clone", "-q", "--bare", work, str(folder / "repositories" / "bread.git")],
    ):
        subprocess.run(command, check=True)
    (folder / "cgitrc").write_text(CGITRC.replace("{folder}", str(folder)), "utf-8")


def clone(tour: Tour, page: Page) -> None:
    """By git itself, which takes the app's token along."""
    options = ("-c", f"http.extraHeader=Authorization: Bearer {TOKEN}", "-c", "http.sslVerify=no")
    to = tour.running.folder / f"clone-{tour.address.label}"
    url = f"{tour.base}git/bread.git"
    subprocess.run(["git", *options, "clone", "-q", url, to], check=True)
    log = subprocess.run(["git", "log", "--oneline"], cwd=to, stdout=subprocess.PIPE, text=True)
    assert "Bake a rye" in log.stdout


CGIT = Service(
    name="cgit",
    title="git over HTTP, with cgit",
    command="lighttpd -D -f lighttpd.conf",
    port=18080,
    prepare=make_a_repository,
    environment_of="cgit",
    environment={"PORT": "{port}", "FOLDER": "{folder}"},
    use=Steps(
        first="role=link[name=/^bread/]",
        path="cgit/",
        use=(clone,),
        click="role=link[name=/^bread/]",
        then=LOG,
        at="cgit/bread.git/",
        deep="cgit/bread.git/log/",
        found=LOG,
    ),
)

# --- Prometheus


def calculate(tour: Tour, page: Page) -> None:
    page.locator("textarea").first.fill("vector(6 * 7)")
    page.get_by_role("button", name="Execute").click()
    see(page, "td:text-is('42')")


PROMETHEUS = Service(
    name="prometheus",
    title="Prometheus (Debian's, with the classic pages)",
    before="sed -i s/PORT/{port}/ prometheus.yml",
    command=(
        "prometheus --config.file=prometheus.yml --storage.tsdb.path=data"
        " --web.listen-address=127.0.0.1:{port}"
    ),
    port=19090,
    expected=(r"exception: Unexpected token 'export'", "require Popper"),  # by Debian's packing
    environment_of="prometheus",
    use=Steps(
        first="text=Execute",
        use=(calculate,),
        click="role=link[name='Alerts']",
        then="text=No alerting rules defined",
        deep="classic/config",
        found="text=job_name: itself",
    ),
)

# --- Syncthing


def share_a_folder(tour: Tour, page: Page) -> None:
    """By its API, which wants the token from its cookie in a header."""
    label = tour.address.label
    page.get_by_role("button", name="Add Folder").click()
    page.locator("#folderLabel").fill(label)
    page.locator("#folderPath").fill(str(tour.running.folder / label))
    page.locator("#editFolder button:has-text('Save')").click()
    see(page, f"#folders >> text={label}")


SYNCTHING = Service(
    name="syncthing",
    title="Syncthing",
    command=(
        "syncthing serve --no-browser --no-default-folder --home={folder}/home"
        " --gui-address=127.0.0.1:{port}"
    ),
    port=18384,
    environment_of="syncthing",
    expected=(r"/rest/system/upgrade\b",),  # Debian upgrades it
    use=Steps(first="text=This Device", use=(share_a_folder,)),
)

# --- Transmission

MAGNET = f"magnet:?xt=urn:btih:{'0123456789' * 4}&dn=bread"


def add_a_torrent(tour: Tour, page: Page) -> None:
    page.locator("#toolbar-open").click()
    page.locator("#torrent_upload_url").fill(MAGNET)
    page.locator("#upload_confirm_button").click()
    see(page, "text=bread")


TRANSMISSION = Service(
    name="transmission",
    title="Transmission",
    command=(
        "transmission-daemon --foreground --config-dir {folder}/config --port {port}"
        " --download-dir {folder} --no-auth --no-portmap --no-dht --no-lpd"
    ),
    port=19091,
    environment_of="transmission",
    expected=(r"\b409\b",),  # by which it gives out its token
    use=Steps(
        first="#torrent_search", path="transmission/web/", use=(add_a_torrent,), kept="text=bread"
    ),
)

# --- noVNC

NOVNC = Service(
    name="novnc",
    title="noVNC",
    command="sh start.sh {port}",
    port=16080,
    environment_of="novnc",
    expected=(r"/package\.json\b", r"/app/ui\.js\b"),  # asked for its version, and not there
    use=Steps(
        first="#noVNC_container canvas",
        path="vnc.html",
        query="autoconnect=true",
        socket="/websockify",
    ),
)

# --- A registry of images

PUSH = """
async () => {
  const started = await fetch("/v2/bakery/rye/blobs/uploads/", { method: "POST" });
  const to = new URL(started.headers.get("Location"));
  const body = new TextEncoder().encode("crumb: open");
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  const hex = Array.from(hash, byte => byte.toString(16).padStart(2, "0")).join("");
  to.searchParams.set("digest", `sha256:${hex}`);
  const stored = await fetch(to, {
    method: "PUT", body, headers: { "Content-Type": "application/octet-stream" },
  });
  return (await fetch(stored.headers.get("Location"))).text();
}
"""


def push_a_layer(tour: Tour, page: Page) -> None:
    """By the addresses that it names."""
    assert page.evaluate(PUSH) == "crumb: open"
    assert fetched(page, "/v2/_catalog") == {"repositories": ["bakery/rye"]}


DOCKER_REGISTRY = Service(
    name="docker_registry",
    title="docker-registry",
    command="docker-registry serve config.yml",
    port=15000,
    environment_of="docker_registry",
    environment={"REGISTRY_HTTP_ADDR": "127.0.0.1:{port}"},
    use=Steps(
        first="text={}",
        path="v2/",
        use=(push_a_layer,),
        deep="v2/_catalog",
        found="text=repositories",
    ),
)

OTHER_TOOLS = (CGIT, PROMETHEUS, SYNCTHING, TRANSMISSION, NOVNC, DOCKER_REGISTRY)
