"""Finds the start tags of an HTML document, and the positions of their attributes.

Follows the tokenizer of the HTML standard (section 13.2.5) over bytes, as far as start tags need
it, and leaves out tags that it cannot be sure of. The standard library's html.parser divides a
document differently in each release, and some releases take minutes for a hostile document.

Skips tags in comments, scripts, styles, text fields and titles, where they are text. Also skips
tags in templates, which scripts fill in, and in SVG and MathML, which have other rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_SPACE = rb"[\t\n\f\r ]"
_NAME_END = rb"(?=[\t\n\f\r />])"
# Markup that begins with `<`: a start tag, an end tag, a comment, CDATA, or other markup to skip up
# to the next `>`.
_MARKUP = re.compile(
    rb"<(?:([A-Za-z][^\t\n\f\r />]*)|/([A-Za-z][^\t\n\f\r />]*)|(!--)|(!\[CDATA\[)|[!?/])"
)
# An attribute, and its value in double quotes, in single quotes or unquoted. After a quoted value
# a group matches the closing quote, if any. No part matches the first character of the next one, so
# matching is linear.
_ATTRIBUTE = re.compile(
    rb"[\t\n\f\r /]*([^\t\n\f\r />][^\t\n\f\r />=]*)"
    rb"(?:%b*=%b*(?:\"([^\"]*)(\"?)|'([^']*)('?)|([^\t\n\f\r >\"'][^\t\n\f\r >]*))?)?"
    % (_SPACE, _SPACE)
)
_VALUES = ((2, b'"'), (4, b"'"), (6, b""))  # groups of the values, and their quotes
_TAG_END = re.compile(rb"[\t\n\f\r /]*>")
_COMMENT_END = re.compile(rb"--!?>")
_SCRIPT_PART = re.compile(rb"<!--(?!-*>)|-->|<(/?)script" + _NAME_END, re.IGNORECASE)
# Elements whose content is text up to their own end tag; `noscript` if scripts run.
_OF_TEXT = {
    name: re.compile(rb"</%b%b" % (name, _NAME_END), re.IGNORECASE)
    for name in (
        b"iframe", b"noembed", b"noframes", b"noscript", b"style", b"textarea", b"title", b"xmp"
    )
}  # fmt: skip
_LEFT_ALONE = frozenset({b"math", b"svg", b"template"})
_FOREIGN = frozenset({b"math", b"svg"})
# Switches to another character set (ISO 2022), in which a `<` may be half of a character.
_SWITCHES_CHARACTERS = re.compile(rb"\x1b[$(]")


class Attribute(NamedTuple):
    """An attribute's name in lower case, and the position of its value, which may be empty.

    quote: the quote around the value; b"" for none.
    """

    name: bytes
    start: int
    end: int
    quote: bytes


class StartTag(NamedTuple):
    """A start tag: the element's name in lower case, and its attributes."""

    name: bytes
    attributes: list[Attribute]


def start_tags(document: bytes) -> Iterator[StartTag]:
    """The start tags of a document, in order; linear in its size."""
    if _SWITCHES_CHARACTERS.search(document):
        return
    position, left_alone, depth = 0, b"", 0
    while (markup := _MARKUP.search(document, position)) is not None:
        position = markup.end()
        if markup[1] is None and markup[2] is None:
            position = _end_of_text(document, markup)
            continue
        name = (markup[1] or markup[2]).lower()
        attributes: list[Attribute] = []
        position = _read_attributes(document, position, attributes)
        if position < 0:
            return  # the document ends within a tag, which then does not count
        if name in _LEFT_ALONE and name == (left_alone or name):
            closes_itself = name in _FOREIGN and document[position - 2 : position] == b"/>"
            if markup[2] is not None:
                depth = max(0, depth - 1)
            elif not closes_itself:
                depth += 1
            left_alone = name if depth else b""
        if markup[2] is None and left_alone not in _FOREIGN:
            if not left_alone:
                yield StartTag(name, attributes)
            position = _end_of_content(document, name, position)


def _read_attributes(document: bytes, position: int, found: list[Attribute]) -> int:
    """Add a tag's attributes to `found`; return the position after the tag, -1 if it has no end."""
    while (end := _TAG_END.match(document, position)) is None:
        match = _ATTRIBUTE.match(document, position)
        if match is None:
            return -1
        position = match.end()
        value, quote = next(
            ((group, mark) for group, mark in _VALUES if match[group] is not None), (0, b"")
        )
        if quote and not match[value + 1]:
            return -1
        start, end_of_value = match.span(value) if value else (position, position)
        found.append(Attribute(match[1].lower(), start, end_of_value, quote))
    return end.end()


def _end_of_text(document: bytes, markup: re.Match[bytes]) -> int:
    """The position after a comment, CDATA, a declaration, or markup that counts as a comment."""
    start = markup.end()
    if markup[3]:
        if document[start : start + 1] == b">" or document[start : start + 2] == b"->":
            return start  # `<!-->` is a whole comment
        end = _COMMENT_END.search(document, start)
        return end.end() if end is not None else len(document)
    mark = b"]]>" if markup[4] else b">"
    found = document.find(mark, start)
    return found + len(mark) if found >= 0 else len(document)


def _end_of_content(document: bytes, name: bytes, position: int) -> int:
    """The end of an element's content if the content is text, else `position`."""
    if name == b"script":
        return _end_of_script(document, position)
    if name == b"plaintext":
        return len(document)
    pattern = _OF_TEXT.get(name)
    if pattern is None:
        return position
    end = pattern.search(document, position)
    return end.start() if end is not None else len(document)


def _end_of_script(document: bytes, position: int) -> int:
    """The end of a script.

    Within `<!-- ... -->` a script may contain a `<script>` and its end tag (HTML standard, "script
    data double escaped state").
    """
    is_escaped = is_double = False
    for part in _SCRIPT_PART.finditer(document, position):
        text = part[0]
        if text == b"<!--":
            is_escaped = True
        elif text == b"-->":
            is_escaped = is_double = False
        elif part[1]:
            if not is_double:
                return part.start()
            is_double = False
        elif is_escaped:
            is_double = True
    return len(document)
