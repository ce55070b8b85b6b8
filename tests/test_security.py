"""The promises of SECURITY.md: each names tests that hold it, and they are there."""

from __future__ import annotations

import re

import pytest

from tests.support.servers import ROOT
from tests.support.testids import has_test

TEST_ID = re.compile(r"`tests/([\w/]+\.py::\w+)`")


def promises() -> dict[str, str]:
    """The text of each promise, by the words in bold that it begins with."""
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    section = text.partition("## What is promised today")[2].partition("\n## ")[0]
    items = re.split(r"^- ", section, flags=re.MULTILINE)[1:]
    return {item.split("**")[1].replace("\n ", ""): item for item in items}


@pytest.mark.parametrize("promise", promises())
def test_a_promise_names_the_tests_that_hold_it(promise: str) -> None:
    held_by = TEST_ID.findall(promises()[promise].partition("→")[2])
    assert held_by
    assert [one for one in held_by if not has_test(one)] == []


def test_the_promises_are_found() -> None:
    assert len(promises()) > 12
