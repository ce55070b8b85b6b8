"""URLs in header fields: mapped once they stay, what is the service's goes below its prefix, and
what is not stays another site's. Pages: only the values that an adapter names change."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.given import a_query_view, a_view
from wsgi_portproxy.locate.address import address_of
from wsgi_portproxy.locate.target import cut_port
from wsgi_portproxy.rewrite.pages import Page, PageAdapter
from wsgi_portproxy.rewrite.pages.adapters import DEFAULT_PAGE_ADAPTERS
from wsgi_portproxy.rewrite.url_headers import link_to_visitor, refresh_to_visitor
from wsgi_portproxy.rewrite.urls import UrlMapper

from . import made

OWN = "http://app.test"
VIEWS = {
    "path": a_view("/a/b?c"),
    "query": a_query_view("/a/b?c"),
    "host": a_view("/a/b?c", prefix="", form="host")._replace(
        visited=address_of("http://16006.ports.test")
    ),
    "whole-app": a_query_view("/a/b?c", prefix=""),
    "external": a_view("/a/b?c")._replace(told=address_of(OWN)),
}
of_views = settings(max_examples=3 * settings().max_examples)  # there are five
views = st.sampled_from([*VIEWS.values()])

_SITES = [
    *("http://localhost:16006", "http://127.0.0.1:16006", "//[::1]:16006", "http://app.test"),
    *("https://evil.test", "//evil.test", "/\\evil.test", "javascript:x", "http:", "///"),
]
_PATHS = [
    *("/alice/vision/proxy/16006", "/alice/vision", "?port=16006", "?port=16007", "&port=1"),
    *("/x", "x", "?y=z", "#f", "\t", " ", "%2F", "/./", "/.", "@evil.test", ":80"),
]
url = st.one_of(made.latin1, made.mixed([*_SITES, *_PATHS], "/\\?#:@. a", 5))


def seen_by_a_browser(urls: UrlMapper, location: str) -> tuple[str, str]:
    """Origin and path of a Location for a browser that shows the view's page (WHATWG URL)."""
    page = f"{urls.origin}{urls.target.prefix}{urls.target.path_qs}"
    text = re.sub(r"[\t\r\n]", "", location.strip("".join(map(chr, range(0x21)))))
    before, mark, after = re.match(r"([^?#]*)([?#]?)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    before = before.replace("\\", "/")
    special = re.match(r"(https?:)?/{2,}", before, re.IGNORECASE)
    if special is not None:  # any number of slashes is two
        before = (special[1] or "") + "//" + before[special.end() :]
    parts = urlsplit(urljoin(page, before + mark + after))
    return f"{parts.scheme}://{parts.netloc}", parts.path


@pytest.mark.case("Location")
@of_views
@given(views, url)
def test_what_was_mapped_once_stays(urls: UrlMapper, location: str) -> None:
    once = urls.to_visitor(location)
    assert urls.to_visitor(once) == once


@of_views
@given(views, url.filter(lambda text: ".." not in text))
def test_what_is_mapped_is_below_the_prefix_on_this_site(urls: UrlMapper, location: str) -> None:
    mapped = urls.to_visitor(location)
    if mapped != location:
        origin, path = seen_by_a_browser(urls, mapped)
        assert origin == urls.origin
        assert path == urls.target.prefix or path.startswith(urls.target.prefix + "/")


@of_views
@given(views, made.rest, made.any_query)
def test_a_path_of_the_service_keeps_its_bytes_behind_the_prefix(
    urls: UrlMapper, rest: str, query: str
) -> None:
    location = f"{rest}?{query}"
    mapped = urls.to_visitor("http://localhost:16006" + location)
    if urls.target.form != "query":
        assert mapped == f"{urls.origin}{urls.target.prefix}{location}"
    else:
        ports, others = cut_port(mapped.partition("?")[2])
        assert ports == ["16006"]
        assert others == cut_port(query)[1]


@of_views
@given(views, url)
def test_another_sites_url_stays(urls: UrlMapper, location: str) -> None:
    if urls.service_path(location) is None:
        assert urls.to_visitor(location) == location


@of_views
@given(views, url)
def test_a_referer_tells_a_service_nothing_of_the_apps_pages(urls: UrlMapper, rest: str) -> None:
    for referer in (urls.origin + rest, urls.origin + urls.target.prefix + rest):
        told = urls.page_to_service(referer)
        own_page = referer.startswith((urls.origin + "/",)) or referer == urls.origin
        if told == referer:
            below = urls.target.prefix and referer.startswith(urls.origin + urls.target.prefix)
            assert not own_page or urls.preserves_host or below or urls.target.form == "host"
        else:
            assert told.startswith(urls.told.origin + "/")
            assert urls.target.prefix not in told.split("?")[0] or not urls.target.prefix or rest


@of_views
@given(views, st.one_of(url, st.builds("{}{}{}".format, st.integers(0, 9), st.just("; url="), url)))
def test_refresh_and_link_are_mapped_once(urls: UrlMapper, value: str) -> None:
    refresh = refresh_to_visitor(urls, value)
    assert refresh_to_visitor(urls, refresh) == refresh
    link = link_to_visitor(urls, f"<{value}>; rel=next")
    assert link_to_visitor(urls, link) == link


# --- Pages ---------------------------------------------------------------------------------------

ADAPTERS = {adapter.name: adapter for adapter in DEFAULT_PAGE_ADAPTERS}
_KEYS = ['"baseUrl"', '"fullAppUrl"', '"root"', '"requests_pathname_prefix"', "data-base-url"]
_MARKUP = ["</script>", "<", "\\u003c", "\\", "&amp;", "http://localhost:16006", "/a"]
_MARKERS = [adapter.marker.decode() for adapter in DEFAULT_PAGE_ADAPTERS]
page = made.mixed([*_MARKERS, *_KEYS, *_MARKUP, ": ", ":", '"/', '"'], '"\\/<&\x00\xff a', 14).map(
    lambda text: text.encode("latin-1")
)


@of_views
@given(views, st.sampled_from(DEFAULT_PAGE_ADAPTERS), st.one_of(page, st.binary(max_size=60)))
def test_an_adapter_takes_any_bytes_and_corrects_them_once(
    urls: UrlMapper, adapter: PageAdapter, document: bytes
) -> None:
    adapted = adapter.adapt(document, Page(urls))
    assert adapter.adapt(adapted, Page(urls)) == adapted


json_value = st.recursive(
    st.one_of(st.none(), st.integers(), made.any_text, st.sampled_from(["/", "/x", "//y"])),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(made.any_text, inner),
    max_leaves=4,
)
CASES = {
    "Jupyter": ('<script id="jupyter-config-data">', ["baseUrl", "fullLabUrl", "fullStaticUrl"]),
    "Dash": ('<script id="_dash-config">', ["requests_pathname_prefix", "url_base_pathname"]),
    "Gradio": ("<script>window.gradio_config = ", ["root"]),
}


@given(
    name=st.sampled_from([*CASES]),
    others=st.dictionaries(made.any_text, json_value, max_size=4),
    texts=st.lists(st.sampled_from(["/", "/a/b", "/a?b=<c>", "http://localhost:16006/x", "y", ""])),
    around=st.tuples(made.latin1, made.latin1),
)
def test_only_the_values_that_an_adapter_names_change(
    name: str, others: dict[str, Any], texts: list[str], around: tuple[str, str]
) -> None:
    begin, keys = CASES[name]
    urls = VIEWS["path"]
    config = {**others, **dict(zip(keys, texts, strict=False))}
    before = (around[0].replace("<", "") + begin).encode("latin-1")
    after = ("</script>" + around[1]).encode("latin-1")
    data = json.dumps(config).replace("<", "\\u003c").encode()
    adapted = ADAPTERS[name].adapt(before + data + after, Page(urls))
    assert adapted.startswith(before)
    assert adapted.endswith(after)
    changed = json.loads(adapted[len(before) : -len(after)])
    named = {key for key in config if re.fullmatch("|".join(keys), key)}
    assert list(changed) == list(config)
    for key, value in config.items():
        if key in named and isinstance(value, str):
            expected = urls.to_visitor(value) if value.startswith(("/", "http")) else value
            assert changed[key] == expected
        else:
            assert changed[key] == value
