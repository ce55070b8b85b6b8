"""Known vulnerabilities in what the package needs (pip-audit), and risky code in it (bandit).

Fails for a finding of either, and if either does not work. An advisory service that cannot be
reached, or does not know a package (a mirror of PyPI has files and no advisories), is no finding
and no proof either: then this says loudly what was not checked, and goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distribution, requires, version
from pathlib import Path
from typing import Any, TypeAlias

from packaging.requirements import Requirement

Answer: TypeAlias = tuple[set[str], list[str]]
Ask: TypeAlias = Callable[[str, dict[str, str]], Answer]

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("pypi", "osv")  # the second where the first has no advisories
TIMEOUT = 20  # seconds for an answer of a service
# In what pip-audit says if it, or `requests`, gets no answer.
_UNREACHABLE = ("ConnectionError", "Timeout", "HTTPError", "ProxyError", "SSLError", "ServiceError")


def main() -> int:
    failed = [name for name, check in (("bandit", bandit), ("pip-audit", pip_audit)) if not check()]
    return 1 if failed else 0


def bandit() -> bool:
    """Whether bandit has nothing to say of the package. Its settings are in pyproject.toml."""
    command = [sys.executable, "-m", "bandit", "--quiet", "--recursive", "wsgi_portproxy"]
    command += ["--configfile", "pyproject.toml"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def pip_audit(ask: Ask | None = None) -> bool:
    """Whether no advisory names a version that is installed here."""
    ask = ask or asked
    unchecked = needed("wsgi_portproxy", {"django", "flask"})
    for service in SERVICES:
        checked, vulnerable = ask(service, unchecked)
        if vulnerable:
            print("\n".join(["", f"pip-audit ({service}) FOUND:", *vulnerable]))
            return False
        if checked:
            print(f"pip-audit ({service}): no known vulnerability in {', '.join(sorted(checked))}")
        unchecked = {name: number for name, number in unchecked.items() if name not in checked}
        if not unchecked:
            return True
    names = ", ".join(f"{name} {number}" for name, number in sorted(unchecked.items()))
    print("*" * 80)
    print("NOT CHECKED for known vulnerabilities, since no advisory service could be reached that")
    print(f"knows them: {names}")
    print("*" * 80)
    return True


def needed(name: str, extras: set[str]) -> dict[str, str]:
    """The packages that one needs to run, itself not included, with their installed versions."""
    found: dict[str, str] = {}
    todo = [(name, extras)]
    while todo:
        package, wanted = todo.pop()
        for line in requires(package) or []:
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": one}) for one in ["", *wanted]):
                key = distribution(requirement.name).metadata["Name"].lower()
                if key not in found:
                    found[key] = version(requirement.name)
                    todo.append((requirement.name, requirement.extras))
    return found


def asked(service: str, packages: dict[str, str]) -> Answer:
    """The packages that the service knows, and its findings; none of both if it does not answer."""
    lines = "\n".join(f"{name}=={number}" for name, number in packages.items())
    command = [sys.executable, "-m", "pip_audit", "--requirement", "/dev/stdin", "--no-deps"]
    command += ["--disable-pip", "--format", "json", "--progress-spinner", "off"]
    command += ["--vulnerability-service", service, "--timeout", str(TIMEOUT)]
    done = subprocess.run(
        command, cwd=ROOT, input=lines, capture_output=True, text=True, check=False
    )
    if done.stdout.startswith("{"):
        return read(json.loads(done.stdout))
    reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    print(f"pip-audit ({service}): no answer: {reason[:300]}")
    if not any(sign in done.stderr for sign in _UNREACHABLE):
        return set(), [f"  pip-audit itself failed:\n{done.stderr}"]
    return set(), []


def read(answer: dict[str, Any]) -> Answer:
    """The packages that were looked up, and the findings, of a report in JSON.

    A package that the service does not know is skipped there, which alone counts as "No known
    vulnerabilities found".
    """
    known = [one for one in answer["dependencies"] if "skip_reason" not in one]
    vulnerable = [
        f"  {one['name']} {one['version']}: {found['id']}, fixed in {found['fix_versions']}"
        for one in known
        for found in one["vulns"]
    ]
    return {one["name"].lower() for one in known}, vulnerable


if __name__ == "__main__":
    sys.exit(main())
