"""Which tests stay together in one worker of pytest-xdist: those that share servers."""

from __future__ import annotations

import re

from xdist.scheduler import LoadScopeScheduling

# What is more than one group in one file: by the parameter that names the server or service.
_SPLIT = {
    "tests/tunnels/test_matrix.py": re.compile(r"\[(.+)\]"),
    "tests/browser/services/test_services.py": re.compile(r"\[(.+)-\w+-\w+\]"),
    "tests/browser/services/test_tabs.py": re.compile(r"::(\w+)"),
}
# What is one group in several files: by how their paths begin. One demo is enough for a browser.
_TOGETHER = ("tests/faults/", "tests/browser/test_")


def group_of(nodeid: str) -> str:
    """The group of a test; by default its file."""
    path = nodeid.partition("::")[0]
    for folder in _TOGETHER:
        if path.startswith(folder):
            return folder
    parameter = _SPLIT[path].search(nodeid) if path in _SPLIT else None
    return f"{path}[{parameter[1]}]" if parameter else path


class ByGroup(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a free worker the next group. `--dist loadgroup` does the same with marks, but not with
    pytest 9.2: it changes an attribute of the tests that is no longer read."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
