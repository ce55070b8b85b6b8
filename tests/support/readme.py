"""The blocks of code in README.md, to be run as they stand there."""

from __future__ import annotations

import re

from .servers import ROOT

README = (ROOT / "README.md").read_text("utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    """All blocks of a language, in order."""
    return [code for found, code in FENCE.findall(README) if found == language]


def block(first_line: str, language: str = "python") -> str:
    """The one block that begins so. Raises ValueError if there is none, or another one."""
    (code,) = [code for code in blocks(language) if code.startswith(first_line + "\n")]
    return code


def substituted(code: str, replaced: dict[str, str]) -> str:
    """`code` with each key replaced by its value. Raises ValueError for a key that it does not have
    exactly once: what a test means to replace is there."""
    for old, new in replaced.items():
        if code.count(old) != 1:
            raise ValueError(f"{code.count(old)} times in the README's block: {old!r}")
        code = code.replace(old, new)
    return code
