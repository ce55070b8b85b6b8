"""Writes docs/services-table.md from what a run of `make test-services` has reported.

    python -m tests.browser.services.found.table .bench/services.xml

A service that did not run, or did not start, says so; nothing here is written by hand.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.servers import ROOT

FILE = ROOT / "docs" / "services-table.md"
NAMES = {"query": "`?port=` and path", "host": "host name", "port": "another port"}
PREFIX = "path, started for it"
HEADER = """<!-- Written by `make services-table` from the last run of `make test-services`. -->

# Services that were found, and what they do in each form

Each is started with its default flags, and visited in Chromium on http and on https. A step that is
listed worked, with nothing on the browser's console that the service does not cause by itself.
"Path, started for it" is the service with the flags of its `under_path`. See
[tests/browser/services/found](../tests/browser/services/found).
"""


@dataclass
class Row:
    """What is known of a service in a form on a scheme."""

    service: str
    form: str
    scheme: str
    state: str
    steps: list[str] = field(default_factory=list)
    reason: str = ""


def rows(report: Path) -> Iterator[Row]:
    """Of the file that pytest wrote: our own, not a stranger's."""
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314
        found = re.search(r"\[(.+)-(\w+)-(https?)\]$", case.get("name", ""))
        if found is None or "test_found" not in case.get("classname", ""):
            continue
        told = {one.get("name", ""): one.get("value", "") for one in case.iter("property")}
        steps = {name[5:]: value for name, value in told.items() if name.startswith("step ")}
        row = Row(told.get("service", found[1]), found[2], found[3], "works")
        row.steps = [name for name, value in steps.items() if value == "ok"]
        broken = next(iter([*case.iter("failure"), *case.iter("error")]), None)
        if broken is not None:
            row.state = "**failed**" if "service" in told else "**did not start**"
            row.reason = _short(broken.get("message", ""))
            row.steps += [f"**{name} failed**" for name, value in steps.items() if value != "ok"]
        elif "why" in told:
            row.state, row.steps, row.reason = "does not work", [], told["why"]
        elif case.find("skipped") is not None:
            row.state = "not run"
        yield row


def _short(message: str) -> str:
    """The last line that says something, for a cell of a table."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return " ".join(lines[:2])[:200].replace("|", "\\|") if lines else ""


def table(report: Path) -> str:
    """One line for http and https where they are the same."""
    alike: dict[tuple[str, str, str, str, str], list[str]] = defaultdict(list)
    for row in rows(report):
        form = NAMES.get(row.form, PREFIX)
        alike[row.service, form, row.state, ", ".join(row.steps), row.reason].append(row.scheme)
    lines = ["| Service | Form | On | | Steps, or why not |", "|---|---|---|---|---|"]
    for (service, form, state, steps, reason), schemes in sorted(alike.items()):
        more = "; ".join(text for text in (steps, reason) if text)
        lines.append(f"| {service} | {form} | {', '.join(sorted(schemes))} | {state} | {more} |")
    return "\n".join([HEADER, *lines, ""])


def main() -> None:
    FILE.write_text(table(Path(sys.argv[1])), "utf-8")
    print(f"Written: {FILE}")


if __name__ == "__main__":
    main()
