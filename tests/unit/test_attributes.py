"""URLs in the attributes of a page: which are corrected, and that all else stays byte for byte."""

from __future__ import annotations

import pytest

from wsgi_portproxy.locate.address import address_of
from wsgi_portproxy.rewrite.pages.attributes import ATTRIBUTES, urls_in_attributes
from wsgi_portproxy.rewrite.urls import UrlMapper

from .given import a_target, a_view, costs_little, table

A = "http://app.test"
P = "/alice/vision/proxy/16006"
OTHER = f"{A}/alice/vision/proxy/15000"
PATH = a_view("/a/b")._replace(others=lambda port: OTHER if port == 15000 else None)
HOST = PATH._replace(
    target=a_target("/a/b", prefix="", form="host"), visited=address_of("https://16006.p.test")
)
LOCAL = "http://localhost:16006"

FOLLOWED = [
    *("a href", "area href", "form action", "button formaction", "input formaction", "base href"),
]
LOADED = [
    *("img src", "script src", "link href", "iframe src", "frame src", "embed src", "video src"),
    *("video poster", "audio src", "source src", "track src", "object data", "input src"),
    *("blockquote cite", "q cite", "ins cite", "del cite", "html manifest"),
]
SETS = ["img srcset", "source srcset", "link imagesrcset", "a ping", "area ping"]


def corrected(document: str, view: UrlMapper = PATH) -> str:
    """The document as the visitor gets it; corrected once more it is the same."""
    data = urls_in_attributes(document.encode(), view)
    assert urls_in_attributes(data, view) == data
    return data.decode()


def test_the_table_is_what_is_tried() -> None:
    of_table = {f"{tag.decode()} {one.decode()}" for tag in ATTRIBUTES for one in ATTRIBUTES[tag]}
    assert of_table == {*FOLLOWED, *LOADED, *SETS}


@pytest.mark.case("own addresses in attributes of pages")
@pytest.mark.parametrize("quote", ['"', "'", ""])
@pytest.mark.parametrize("where", [*FOLLOWED, *LOADED])
def test_an_absolute_url_is_the_visitors(where: str, quote: str) -> None:
    tag, name = where.split()
    page = f"<p>{LOCAL}/x<{tag} id=i {name}={quote}{LOCAL}/x?y=1{quote} class=c>{LOCAL}"
    made = corrected(page)
    shown = quote or '"'  # what is put in could end a value without quotes
    expected = f"{name}={shown}{A}{P}/x?y=1{shown} class=c>"
    assert made == f"<p>{LOCAL}/x<{tag} id=i {expected}{LOCAL}"


@pytest.mark.parametrize("where", FOLLOWED)
def test_what_is_followed_is_corrected_from_the_root_too(where: str) -> None:
    tag, name = where.split()
    page = f'<{tag} {name}="/x?a=1&amp;b=2#c">'
    assert corrected(page) == f'<{tag} {name}="{P}/x?a=1&amp;b=2#c">'
    assert corrected(page, HOST) == page
    assert corrected(f"<{tag} {name}=/>") == f'<{tag} {name}="{P}/">'


@pytest.mark.parametrize(
    ("base", "is_own"),
    [
        ("https://example.org/dir/", False),
        ("//example.org/", False),
        (" HTTPS://example.org", False),
        ("https&colon;//example.org", False),
        ("/app/", True),
        ("app/", True),
        (f"{LOCAL}/app/", True),
        (f"{A}{P}/app/", True),
    ],
)
def test_what_begins_at_another_sites_root_is_that_sites(base: str, is_own: bool) -> None:
    page = '<base href="{}"><a href="{}/x"><form action="{}/f">'
    own = f"{A}{P}/app/" if base.startswith(LOCAL) else f"{P}/app/" if base == "/app/" else base
    prefix = P if is_own else ""
    assert corrected(page.format(base, "", "")) == page.format(own, prefix, prefix)
    assert corrected(f'<base href="{base}"><a href="{LOCAL}/x">').endswith(f'"{A}{P}/x">')


@pytest.mark.parametrize("where", [*LOADED, *SETS])
def test_what_is_loaded_is_not(where: str) -> None:
    tag, name = where.split()
    page = f'<{tag} {name}="/x"><{tag} {name}=/x>'
    assert corrected(page) == page


MODULE = [
    '<script type="module" crossorigin src="{}/assets/index.js"></script>',
    "<script src='{}/x.js' TYPE=Module crossorigin=''></script>",
    '<link rel="modulepreload" as="script" crossorigin href="{}/_nuxt/x.js">',
]


@pytest.mark.case("modules that import one another run once")
@pytest.mark.parametrize("page", MODULE)
def test_a_module_is_corrected_from_the_root_too(page: str) -> None:
    assert corrected(page.format("")) == page.format(P)
    assert corrected(page.format(LOCAL)) == page.format(f"{A}{P}")
    assert corrected(page.format(""), HOST) == page.format("")
    assert corrected(page.format("https://example.com")) == page.format("https://example.com")


@pytest.mark.parametrize("imported", ["/@vite/client", "/_nuxt/@vite/client", "/@fs/x", "/@id/x"])
def test_but_not_of_a_server_whose_modules_are_imported_from_the_root(imported: str) -> None:
    modules = "".join(MODULE)
    page = f'<script type="module">import "{imported}"</script>' + modules.replace("{}", "")
    assert corrected(page) == page
    absolute = modules.replace("{}", LOCAL)
    assert corrected(page + absolute) == page + absolute.replace(LOCAL, f"{A}{P}")


@pytest.mark.parametrize(
    "page",
    [
        '<script type="text/javascript" src="/x.js"></script>',
        '<script type="importmap" src="/x.js"></script>',
        '<script nomodule src="/x.js"></script>',
        '<script type="module" src="/x.js"></script>',
        '<link rel="preload" href="/x.js">',
        '<link rel="stylesheet" href="/x.css">',
    ],
)
def test_other_scripts_and_links_are_not(page: str) -> None:
    assert corrected(page) == page


@table(
    "before, after",
    {
        "the-prefix-is-there": (f"{LOCAL}{P}/x", f"{A}{P}/x"),
        "the-prefix-alone": (f"{P}/x", f"{P}/x"),
        "without-a-path": (LOCAL, f"{A}{P}/"),
        "a-query": (f"{LOCAL}?x", f"{A}{P}/?x"),
        "a-fragment": (f"{LOCAL}#x", f"{A}{P}/#x"),
        "another-name": ("https://127.0.0.1:16006/", f"{A}{P}/"),
        "without-a-scheme": ("//localhost:16006/x", f"//app.test{P}/x"),
        "of-a-published-port": ("http://localhost:8080/x", f"{A}{P}/x"),
        "another-service": ("http://localhost:15000/x", f"{OTHER}/x"),
        "space-around": (f"\n {LOCAL}/x ", f"\n {A}{P}/x "),
        "references": ("&#x2F;login&#x2F;?a&amp;b", f"{P}/login/?a&amp;b"),
        "references-in-an-address": ("http:&#x2f;&#x2f;localhost:16006&sol;x", f"{A}{P}/x"),
        "an-ampersand-as-it-is": ("/x?a=1&copy=2", f"{P}/x?a=1&copy=2"),
        "bytes": ("/x/\u00e4?\u00e4", f"{P}/x/\u00e4?\u00e4"),
        "foreign": ("https://example.com/x", None),
        "foreign-without-a-scheme": ("//example.com/x", None),
        "backslashes": ("/\\example.com/x", None),
        "user": ("http://user@localhost:16006/", None),
        "relative": ("x/y", None),
        "a-fragment-alone": ("#x", None),
        "a-script": ("javascript:go('/x')", None),
        "data": ("data:text/html,/x", None),
        "of-the-app": ("http://app.test/login", None),
        "empty": ("", None),
    },
)
def test_a_link(before: str, after: str | None) -> None:
    page = f'<a href="{before}">'
    assert corrected(page) == (page if after is None else f'<a href="{after}">')


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"{LOCAL}/a.png", f"{A}{P}/a.png"),
        (f"{LOCAL}/a.png 1x, {LOCAL}/b.png 2x", f"{A}{P}/a.png 1x, {A}{P}/b.png 2x"),
        (f"{LOCAL}/a.png, {LOCAL}/b,c.png", f"{A}{P}/a.png, {A}{P}/b,c.png"),
        (f" ,{LOCAL}/a 1x (,) ,{LOCAL}/b", f" ,{A}{P}/a 1x (,) ,{A}{P}/b"),
        (f"/a.png 1x,\n{LOCAL}/b 100w", f"/a.png 1x,\n{A}{P}/b 100w"),
        ("data:image/png;base64,xx 2x", None),
        (" , ", None),
    ],
)
def test_a_srcset(before: str, after: str | None) -> None:
    page = f'<img srcset="{before}">'
    assert corrected(page) == (page if after is None else f'<img srcset="{after}">')


def test_a_ping() -> None:
    page = f'<a ping=" {LOCAL}/a  /b {LOCAL}/c">'
    assert corrected(page) == f'<a ping=" {A}{P}/a  /b {A}{P}/c">'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('http-equiv="refresh" content="5; url=/x?a&amp;b"', f"5; url={P}/x?a&amp;b"),
        (f"content='0;URL={LOCAL}/' HTTP-EQUIV=Refresh", f"0;URL={A}{P}/"),
        (f'http-equiv="Content-Security-Policy" content="img-src {LOCAL}"', f"img-src {A}"),
        (f'name="og:url" content="{LOCAL}/x"', None),
        ('http-equiv="refresh" content="5"', None),
        (f'http-equiv="x-ua" content="{LOCAL}"', None),
    ],
)
def test_a_pragma(before: str, after: str | None) -> None:
    page = f"<meta {before}>"
    made = corrected(page)
    if after is None:
        assert made == page
    else:
        assert f"content={before.partition('content=')[2][0]}{after}" in made


UNTOUCHED = [
    f'<input value="{LOCAL}/hook" name="{LOCAL}">',
    f"<textarea>{LOCAL}/x <a href='{LOCAL}/'></textarea>",
    f"<pre>{LOCAL}/x</pre>",
    f'<button value="{LOCAL}" data-href="{LOCAL}">{LOCAL}</button>',
    f"""<script>let a = '<a href="{LOCAL}/x">', b = "{LOCAL}/"</script>""",
    f'<script type="application/json">{{"href": "{LOCAL}/"}}</script>',
    f"<style>a {{ background: url({LOCAL}/x) }}</style>",
    f'<!-- <a href="{LOCAL}/x"> <a href="/x"> -->',
    f'<template><a href="{LOCAL}/x"></template>',
    f'<svg><a href="{LOCAL}/x"></a></svg>',
    f'<p title="{LOCAL}/" href="/x" src="{LOCAL}/">',
    f'<my-link href="/x" src="{LOCAL}/x"></my-link>',
    f"<img alt='<a href=\"{LOCAL}/x\">' src=x>",
    '<input type="hidden" value=\'<a href="/x">\'>',
    '<form method="post" target="/x" id="action=/x">',
    f'<option value="{LOCAL}/x">{LOCAL}/x</option>',
    f"<iframe srcdoc='<a href=\"{LOCAL}/x\">'></iframe>",
    f'<a href="{LOCAL}/x" ',
]


@pytest.mark.case("text, values, scripts and comments of pages stay byte for byte")
@pytest.mark.parametrize("page", UNTOUCHED)
def test_all_else_stays_byte_for_byte(page: str) -> None:
    for view in (PATH, HOST):
        assert corrected(page, view) == page


def test_a_document_is_as_it_was_between_what_is_corrected() -> None:
    page = "".join(UNTOUCHED[:-1])
    assert corrected(f'<a href="/">{page}<a href="/">') == f'<a href="{P}/">{page}<a href="{P}/">'


def test_what_the_prefix_holds_cannot_leave_the_attribute() -> None:
    prefix = "/it's&copy/proxy/16006"
    view = a_view(prefix=prefix)
    assert corrected("<a href='/x'>", view) == "<a href='/it&#39;s&amp;copy/proxy/16006/x'>"
    assert corrected("<a href=/x>", view) == '<a href="/it\'s&amp;copy/proxy/16006/x">'


def test_with_the_visitors_own_address_absolute_urls_lead_below_the_prefix() -> None:
    view = PATH._replace(told=PATH.visited)
    assert corrected('<a href="http://app.test/x">', view) == f'<a href="{A}{P}/x">'


@pytest.mark.parametrize(
    "document",
    [
        *(b'<a href="' + b" " * 2**18, b"<img srcset='" + b" ," * 2**17 + b"'>"),
        *(b"<img srcset='" + b"(" * 2**18 + b"'>", b"<a ping='" + b" a" * 2**17 + b"'>"),
        b"<meta http-equiv=refresh content='" + b"; " * 2**17 + b"'>",
        b"<meta http-equiv=content-security-policy content='" + b"a, " * 2**16 + b"'>",
        b'<a href="http://localhost:16006/">' * (2**18 // 34),
        b"<a href='" + b"&#47;" * 2**16 + b"'>",
    ],
)
def test_a_hostile_document_costs_as_much_as_its_size(document: bytes) -> None:
    with costs_little(4.0):
        urls_in_attributes(document, PATH)
