"""The audit: a finding fails, and what was not looked up is never taken for harmless."""

from __future__ import annotations

import pytest

from scripts import audit

KNOWN = {"name": "WebOb", "version": "1.8.7", "vulns": []}
FOUND = {**KNOWN, "vulns": [{"id": "PYSEC-2024-188", "fix_versions": ["1.8.8"]}]}
# As a mirror that has no advisories makes pip-audit say, with "No known vulnerabilities found".
SKIPPED = {"name": "webob", "skip_reason": "Dependency not found on PyPI"}


def test_what_was_looked_up_and_what_was_found() -> None:
    assert audit.read({"dependencies": [KNOWN]}) == ({"webob"}, [])
    checked, found = audit.read({"dependencies": [FOUND]})
    assert checked == {"webob"}
    assert found == ["  WebOb 1.8.7: PYSEC-2024-188, fixed in ['1.8.8']"]
    assert audit.read({"dependencies": [SKIPPED]}) == (set(), [])


def test_a_finding_fails_and_silence_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert not audit.pip_audit(lambda service, packages: ({"webob"}, ["  found"]))
    assert audit.pip_audit(lambda service, packages: (set(packages) - {"webob"}, []))
    assert "NOT CHECKED" in capsys.readouterr().out
    assert audit.pip_audit(lambda service, packages: (set(packages), []))
    assert "NOT CHECKED" not in capsys.readouterr().out


def test_all_that_the_package_needs_is_looked_up() -> None:
    names = set(audit.needed("wsgi_portproxy", {"django", "flask"}))
    assert {"urllib3", "webob", "werkzeug", "markupsafe", "django", "flask"} <= names
    assert "pytest" not in names
