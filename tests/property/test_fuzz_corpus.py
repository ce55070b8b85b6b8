"""The inputs that fuzzing begins with, what it found among them, break no promise any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.targets import TARGETS

CORPUS = Path(__file__).resolve().parents[2] / "fuzz" / "corpus"
INPUTS = sorted(path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_breaks_no_promise(name: str) -> None:
    TARGETS[name.split("/")[0]]((CORPUS / name).read_bytes())


def test_every_target_has_inputs_and_all_are_small() -> None:
    assert {name.split("/")[0] for name in INPUTS} == set(TARGETS)
    assert sum((CORPUS / name).stat().st_size for name in INPUTS) < 16384
