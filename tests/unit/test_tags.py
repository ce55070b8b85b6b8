"""Start tags of HTML documents: what is one, and where its attributes stand."""

from __future__ import annotations

import pytest

from wsgi_portproxy.rewrite.pages.tags import start_tags

from .given import costs_little, table


def read(document: bytes) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Each start tag, and the values of its attributes as they stand in the document."""
    return [
        (name, {one.name: document[one.start : one.end] for one in attributes})
        for name, attributes in start_tags(document)
    ]


@table(
    "tag, attributes",
    {
        "double": (b'<a href="/x">', {b"href": b"/x"}),
        "single": (b"<a href='/x'>", {b"href": b"/x"}),
        "none": (b"<a href=/x>", {b"href": b"/x"}),
        "none-with-a-slash-at-the-end": (b"<a href=/x/>", {b"href": b"/x/"}),
        "upper-case": (b'<A HREF="/X">', {b"href": b"/X"}),
        "spaces": (b'<a\n href\t=\r\n "/x" >', {b"href": b"/x"}),
        "a-bracket-in-quotes": (b'<a title="a>b" href="/x">', {b"title": b"a>b", b"href": b"/x"}),
        "the-other-quote": (b"""<a title="it's" href='"'>""", {b"title": b"it's", b"href": b'"'}),
        "a-quote-in-an-unquoted-value": (
            b"<a title=it's href=/x>",
            {b"title": b"it's", b"href": b"/x"},
        ),
        "without-a-value": (b"<a download href=/x>", {b"download": b"", b"href": b"/x"}),
        "an-empty-one": (b'<a href="">', {b"href": b""}),
        "nothing-behind-the-mark": (b"<a href= >", {b"href": b""}),
        "no-space-between": (b'<a title="t"href="/x">', {b"title": b"t", b"href": b"/x"}),
        "slashes-between": (b"<a/title=t/href=/x>", {b"title": b"t/href=/x"}),
        "a-name-that-begins-with-the-mark": (b"<a =b href=/x>", {b"=b": b"", b"href": b"/x"}),
        "closes-itself": (b'<a href="/x"/>', {b"href": b"/x"}),
    },
)
def test_a_tag(tag: bytes, attributes: dict[bytes, bytes]) -> None:
    assert read(b"text " + tag + b"x<b>") == [(b"a", attributes), (b"b", {})]


@pytest.mark.parametrize(
    "text",
    [
        *(b"<!-- <a> -->", b"<!-- <a> --!>", b"<!--<!-- <a>-->", b"<!-->", b"<!--->"),
        *(b"<!doctype html>", b"<!a <a>", b"<?xml <a?>", b"</ <a>", b"<![CDATA[ <a> ]]>"),
        *(b"<script><a></script>", b"<SCRIPT><a></Script >", b"<style><a></style>"),
        *(b"<title><a></title>", b"<textarea><a></textarea>", b"<noscript><a></noscript>"),
        *(b"<xmp><a></xmp>", b"<iframe><a></iframe>", b"<noembed><a></noembed>"),
        *(b"<script></scripts><a></script>", b"<style></style-x><a></style>"),
        b"<script><!-- <script> </script> <a> --></script>",
        b"<script><!-- <script> </script> </script>",
        b"<script><!-- </script>",
        b"<script><!--><script></script>",
        *(b"<svg><a></svg>", b"<svg><style></svg>", b"<svg><svg></svg><a></svg>"),
        *(b"<svg><svg/><a></svg>", b"<math><a></math>", b"<svg/>"),
        *(b"<template><a></template>", b"<template><template></template><a></template>"),
        b'<template><script>"</template>"</script><a></template>',
        *(b"</a title='<a>'>", b"</a>", b"< a>", b"<1>", b"<>", b"a < b", b"&lt;a>"),
    ],
)
def test_what_is_no_start_tag_or_left_alone(text: bytes) -> None:
    tags = read(text + b"<b>")
    assert b"a" not in dict(tags)
    assert tags[-1] == (b"b", {})


@pytest.mark.parametrize(
    "text",
    [
        *(b"<a href='/x", b'<a href="/x', b"<a href=/x", b"<a ", b"<a"),
        *(b"<!-- ", b"<!--", b"<script>", b"<textarea>", b"<svg>", b"<template>", b"<plaintext>"),
        *(b'<a b="> ', b"\x1b$B<a>"),
    ],
)
def test_what_has_no_end_hides_all_that_follows(text: bytes) -> None:
    assert b"b" not in dict(start_tags(text + b"<b href=/x>'"))


HOSTILE = [
    *(b"<a b", b'<a b="', b"<a b='\"", b"<!--", b"<script>", b"<script><!--<script>", b"<svg>"),
    *(
        b"<a b c d",
        b"<",
        b"</",
        b"<a ",
        b" ",
        b"<textarea>",
        b"<![CDATA[",
        b"<a>",
        b"<a =",
        b"</a b",
    ),
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_document_costs_as_much_as_its_size(piece: bytes) -> None:
    with costs_little():
        for _ in start_tags(piece * (2**18 // len(piece))):
            pass
