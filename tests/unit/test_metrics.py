"""What a line of the log may look like, whatever is put into it."""

from __future__ import annotations

import pytest

from wsgi_portproxy.metrics import loggable, shown_method


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("no head in time", "no head in time"),
        ("", ""),
        ("a\r\nforged: line", "a\\r\\nforged: line"),
        ("\x1b[31mred\x07\0", "\\x1b[31mred\\x07\\x00"),
        ("\x85\u2028\u202e", "\\x85\\u2028\\u202e"),
        ("grün €", "gr\\xfcn \\u20ac"),
        ("\udc80", "\\udc80"),
        ("x" * 201, "x" * 200),
        ("\n" * 10_000, "\\n" * 100),
    ],
)
def test_a_text_becomes_one_line_of_visible_ascii(text: str, line: str) -> None:
    assert loggable(text) == line
    assert line.isascii()
    assert line.isprintable()


@pytest.mark.parametrize(
    ("method", "shown"),
    [("GET", "GET"), ("UPDATEREDIRECTREF", "UPDATEREDIRECTREF"), ("X" * 999, "X" * 20)],
)
def test_a_method_is_shown_as_sent_but_cut(method: str, shown: str) -> None:
    assert shown_method(method) == shown
