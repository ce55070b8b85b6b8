"""Every promise of SECURITY.md and every case has tests, which say so by their marks."""

from __future__ import annotations

from tests.support import claims


def test_each_claim_is_held_by_a_test_and_no_mark_names_another() -> None:
    keys = [key for group in claims.claims().values() for key in group]
    assert len(set(keys)) == len(keys) > 70
    assert set(claims.holders()) == set(keys)


def test_the_document_is_up_to_date() -> None:
    assert claims.FILE.read_text("utf-8") == claims.document(), "write it anew: make claims"
