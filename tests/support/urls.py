"""The two forms in which a URL names a service of alice's, for tests that run in both."""

from __future__ import annotations

from collections.abc import Callable

import pytest

MOUNT = "/alice/vision"  # what the test app's mount matches

Form = Callable[[int, str], str]


def query_form(port: int, path: str) -> str:
    """`/x?a=1` as `/alice/vision/x?a=1&port=N`."""
    resource, mark, query = path.partition("?")
    return f"{MOUNT}{resource}?{query}{'&' if mark else ''}port={port}"


def path_form(port: int, path: str) -> str:
    """`/x?a=1` as `/alice/vision/proxy/N/x?a=1`."""
    return f"{MOUNT}/proxy/{port}{path}"


both_forms = pytest.mark.parametrize(
    "form", [pytest.param(query_form, id="query-form"), pytest.param(path_form, id="path-form")]
)
