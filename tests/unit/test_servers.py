"""What a server is found to be by what it shows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from wsgi_portproxy import servers
from wsgi_portproxy.servers import server_processes


@pytest.fixture(autouse=True)
def uncounted() -> None:
    servers._siblings.cache_clear()


def test_a_server_that_has_one_process_is_asked_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getppid", lambda: pytest.fail("it was asked"))
    for environ in ({}, {"wsgi.multiprocess": False}):
        assert server_processes(environ) == 1


@pytest.mark.parametrize(("children", "count"), [("", 1), ("17", 1), ("17 18 23 ", 3)])
def test_several_are_the_children_of_one_parent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, children: str, count: int
) -> None:
    opened: list[object] = []

    def fake_open(path: str) -> Any:
        opened.append(path)
        (tmp_path / "children").write_text(children)
        return (tmp_path / "children").open()

    monkeypatch.setattr(os, "getppid", lambda: 16)
    monkeypatch.setattr(servers, "open", fake_open, raising=False)
    for _ in range(3):
        assert server_processes({"wsgi.multiprocess": True}) == count
    assert opened == ["/proc/16/task/16/children"], "they are not counted each time"


def test_where_they_cannot_be_seen_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getppid", lambda: 1 << 30)
    assert server_processes({"wsgi.multiprocess": True}) == 1
