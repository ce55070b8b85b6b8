"""Builds the source archive and, from it, the wheel; installs the wheel into an empty environment.

Checks what a user gets from the package index: nothing but the package in the wheel, tests and
examples in the source archive, no dependency beyond the declared ones, and a package that imports
and answers with no framework and no server installed.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What is in the environment afterwards: our dependencies and theirs, ...
_EXPECTED = {"wsgi_portproxy", "urllib3", "webob", "werkzeug", "markupsafe"}
# ... and what depends on the Python version (webob needs legacy_cgi from 3.13 on).
_INCIDENTAL = {"legacy_cgi", "pip", "setuptools"}

_SMOKE_TEST = """
import importlib.metadata, pkgutil
import wsgi_portproxy
from webob import Request

for module in pkgutil.iter_modules(wsgi_portproxy.__path__, "wsgi_portproxy."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the app itself"]

proxied = wsgi_portproxy.PortProxy(app, authorizer=lambda request, target: False)
assert Request.blank("/").get_response(proxied).body == b"the app itself"
assert Request.blank("/?port=16006").get_response(proxied).status_int == 403
print("wsgi_portproxy", importlib.metadata.version("wsgi_portproxy"), "works on its own")
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="wsgi_portproxy-wheel-") as name:
        work = Path(name)
        subprocess.run([sys.executable, "-m", "build", "--outdir", work, ROOT], check=True)
        (source,), (wheel,) = work.glob("*.tar.gz"), work.glob("*.whl")
        check_source_archive(source)
        check_contents(wheel)
        python = install_alone(wheel, work / "empty")
        # -I: neither the current folder nor PYTHONPATH can stand in for what was installed.
        subprocess.run([python, "-I", "-c", _SMOKE_TEST], cwd=work, check=True)


def check_source_archive(path: Path) -> None:
    with tarfile.open(path) as archive:
        top_level = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    wanted = {"wsgi_portproxy", "tests", "examples", "README.md", "LICENSE", "pyproject.toml"}
    require_none("The source archive lacks", wanted - top_level)


def check_contents(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    ours = ("wsgi_portproxy/", "wsgi_portproxy-")  # the package, and its metadata folder
    require_none(
        "The wheel holds more than the package:", {n for n in names if not n.startswith(ours)}
    )
    require_none("The wheel lacks", {"wsgi_portproxy/py.typed"} - names)


def install_alone(wheel: Path, folder: Path) -> str:
    """The path of the python of a new environment with the wheel and what it depends on."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip"]
    subprocess.run([*pip, "install", "--quiet", str(wheel)], check=True)
    listing = subprocess.run(
        [*pip, "list", "--format=freeze"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    installed = {line.split("==")[0].lower().replace("-", "_") for line in listing.splitlines()}
    require_none("Not installed with the wheel:", _EXPECTED - installed)
    require_none("Installed without being asked for:", installed - _EXPECTED - _INCIDENTAL)
    return python


def require_none(problem: str, names: Iterable[str]) -> None:
    if found := sorted(names):
        sys.exit(f"{problem} {', '.join(found)}")


if __name__ == "__main__":
    main()
