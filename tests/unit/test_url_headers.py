"""Header fields that hold URLs, in both directions."""

from __future__ import annotations

import json

import pytest

from wsgi_portproxy.errors import BadRequest
from wsgi_portproxy.locate.address import Address, address_of
from wsgi_portproxy.rewrite.url_headers import URLS_TO_SERVICE, URLS_TO_VISITOR
from wsgi_portproxy.rewrite.urls import UrlMapper

from .given import a_query_view, a_target, a_view, costs_little

A = "https://app.test"
P = "/alice/vision/proxy/16006"
LOCAL = "http://localhost:16006"
OTHER = f"{A}/alice/vision/proxy/15000"

PATH = a_view("/a/b")._replace(
    visited=address_of(A), others=lambda port: OTHER if port == 15000 else None
)
HOST = PATH._replace(
    target=a_target("/a/b", prefix="", form="host"),
    visited=address_of("https://16006.p.test"),
    others=lambda port: f"https://{port}.p.test" if port == 15000 else None,
)
QUERY = PATH._replace(target=a_query_view("/a/b").target)
FULL = PATH._replace(base=P)
EXTERNAL = PATH._replace(told=PATH.visited)

# --- To the visitor ------------------------------------------------------------------------------

LIKE_LOCATION = [
    *("location", "content-location", "sourcemap", "x-sourcemap", "hx-redirect", "hx-location"),
    *("hx-push-url", "hx-replace-url", "x-inertia-location", "turbo-location", "x-pingback"),
    *("turbolinks-location", "x-pjax-url", "x-up-location"),
]
OF_THEIR_OWN = {
    *("refresh", "link", "content-security-policy", "content-security-policy-report-only"),
    *("access-control-allow-origin", "timing-allow-origin", "referrer-policy"),
}
URLS = [
    ("/x", f"{P}/x"),
    (f"{LOCAL}/x", f"{A}{P}/x"),
    ("x", "x"),
    ("https://example.com/x", "https://example.com/x"),
    # Behind a published port a service knows another port of itself, or none.
    ("http://localhost/docs/", f"{A}{P}/docs/"),
    ("http://localhost:80/docs/", f"{A}{P}/docs/"),
    ("http://127.0.0.1:8080/docs/", f"{A}{P}/docs/"),
    ("http://127.0.1.1:8080/docs/", f"{A}{P}/docs/"),
    ("https://[::1]:99999/docs/", f"{A}{P}/docs/"),
    ("http://0.0.0.0:123456/", f"{A}{P}/"),
    ("http://localhost:/docs/", f"{A}{P}/docs/"),
    # A port that is opened is another service.
    ("http://localhost:15000/x?y#z", f"{OTHER}/x?y#z"),
    ("//localhost:15000/x", f"{OTHER}/x".removeprefix("https:")),
    ("http://localhost:15000", f"{OTHER}/"),
    # No local address.
    ("http://127.0.0.1.example.com/", "http://127.0.0.1.example.com/"),
    ("http://16006.localhost/", "http://16006.localhost/"),
    ("http://10.0.0.1:16006/", "http://10.0.0.1:16006/"),
]


def to_visitor(name: str, value: str, urls: UrlMapper = PATH) -> str:
    mapped = URLS_TO_VISITOR[name](urls, value)
    assert URLS_TO_VISITOR[name](urls, mapped) == mapped
    return mapped


def test_the_table_is_what_is_tried() -> None:
    assert URLS_TO_VISITOR.keys() == {*LIKE_LOCATION, *OF_THEIR_OWN}


@pytest.mark.case("Location")
@pytest.mark.parametrize("name", LIKE_LOCATION)
@pytest.mark.parametrize(("url", "mapped"), URLS)
def test_a_url(name: str, url: str, mapped: str) -> None:
    assert to_visitor(name, url) == mapped


@pytest.mark.parametrize(("url", "mapped"), URLS)
def test_a_url_in_link_and_refresh(url: str, mapped: str) -> None:
    assert to_visitor("link", f"<{url}>; rel=next, <a>; x") == f"<{mapped}>; rel=next, <a>; x"
    assert to_visitor("refresh", f"5; url={url}") == f"5; url={mapped}"


@pytest.mark.parametrize(
    ("urls", "url", "mapped"),
    [
        (HOST, "/x", "/x"),
        (HOST, f"{LOCAL}/x", "https://16006.p.test/x"),
        (HOST, "http://localhost/x", "https://16006.p.test/x"),
        (HOST, "http://localhost:15000/x", "https://15000.p.test/x"),
        (QUERY, f"{LOCAL}/x", f"{A}/alice/vision/x?port=16006"),
        (QUERY, "http://localhost/x", f"{A}/alice/vision/x?port=16006"),
        (QUERY, "http://localhost:15000/x", f"{OTHER}/x"),
        (EXTERNAL, f"{A}/x", f"{A}{P}/x"),
        (EXTERNAL, "https://app.test:443/x", f"{A}{P}/x"),
        (EXTERNAL, f"{A}:8443/x", f"{A}:8443/x"),
    ],
)
def test_a_url_in_other_views(urls: UrlMapper, url: str, mapped: str) -> None:
    assert to_visitor("location", url, urls) == mapped


def test_where_the_site_is_local_its_own_address_is_no_services() -> None:
    urls = PATH._replace(visited=address_of("http://localhost:8000"))
    assert to_visitor("location", "http://localhost:8000/login", urls) == (
        "http://localhost:8000/login"
    )
    without_port = PATH._replace(visited=address_of("http://localhost"))
    assert to_visitor("location", "http://localhost/docs/", without_port) == (
        f"http://localhost{P}/docs/"
    )


@pytest.mark.parametrize("word", ["false", "true", "False"])
def test_words_of_htmx_are_no_urls(word: str) -> None:
    for name in ("hx-push-url", "hx-replace-url", "hx-redirect"):
        assert to_visitor(name, word, QUERY) == word


def test_hx_location_may_be_an_object() -> None:
    told = {"path": "/items?page=2", "target": "#list", "values": {"path": "/x"}}
    assert json.loads(to_visitor("hx-location", json.dumps(told))) == {
        **told,
        "path": f"{P}/items?page=2",
    }
    for text in (
        *('{"path": "/x", "values": {"n": 1e999}}', '{"path": "/x", "values": {"n": NaN}}'),
        *('{"path": "x"}', '{"target": "/x"}', '{"path": 1}', "{", '{"a": ' * 5000),
    ):
        assert to_visitor("hx-location", text) == text


@pytest.mark.parametrize(
    ("value", "mapped"),
    [
        (LOCAL, A),
        ("*", "*"),
        ("null", "null"),
        ("https://example.com", "https://example.com"),
        (f"https://example.com, {LOCAL}", f"https://example.com, {A}"),
    ],
)
def test_an_origin(value: str, mapped: str) -> None:
    assert to_visitor("access-control-allow-origin", value) == mapped
    assert to_visitor("timing-allow-origin", value) == mapped


# --- To the service ------------------------------------------------------------------------------


def to_service(name: str, value: str, urls: UrlMapper = PATH) -> str:
    (mapping,) = [one for field, one in URLS_TO_SERVICE.values() if field == name]
    return mapping(urls, value)


def test_the_keys_are_the_names() -> None:
    for key, (name, _) in URLS_TO_SERVICE.items():
        assert key == "HTTP_" + name.upper().replace("-", "_")


@pytest.mark.case("request fields with URLs")
@pytest.mark.parametrize(
    ("urls", "url", "told"),
    [
        (PATH, f"{A}{P}/new", f"{LOCAL}/new"),
        (PATH, f"{A}:443{P}/a%2Fb?x#y", f"{LOCAL}/a%2Fb?x#y"),
        (PATH, f"HTTPS://APP.TEST{P}/new", f"{LOCAL}/new"),
        (PATH, f"{A}/alice/%76ision/proxy/16006/new", f"{LOCAL}/new"),
        (PATH, f"{A}{P}", f"{LOCAL}/"),
        (PATH, f"{P}/new", "/new"),
        (PATH, f"{A}/alice/vision/proxy/16007/new", f"{A}/alice/vision/proxy/16007/new"),
        (PATH, f"{A}/alice%2Fvision/proxy/16006/new", f"{A}/alice%2Fvision/proxy/16006/new"),
        (PATH, f"{A}/new", f"{A}/new"),
        (PATH, f"http://app.test{P}/new", f"http://app.test{P}/new"),
        (PATH, f"https://app.test.evil{P}/new", f"https://app.test.evil{P}/new"),
        (PATH, f"https://user@app.test{P}/new", f"https://user@app.test{P}/new"),
        (PATH, "new", "new"),
        (PATH, "", ""),
        (HOST, "https://16006.p.test/new", f"{LOCAL}/new"),
        (HOST, "/new", "/new"),
        (HOST, "https://15000.p.test/new", "https://15000.p.test/new"),
        (QUERY, f"{A}/alice/vision/new?port=16006&x=1", f"{LOCAL}/new?x=1"),
        (QUERY, f"{A}/alice/vision/new?port=15000", f"{A}/alice/vision/new?port=15000"),
        (QUERY, f"{A}/alice/vision/new", f"{A}/alice/vision/new"),
        (FULL, f"{A}{P}/new", f"{LOCAL}{P}/new"),
        (EXTERNAL, f"{A}{P}/new", f"{A}/new"),
    ],
)
def test_a_destination(urls: UrlMapper, url: str, told: str) -> None:
    assert to_service("Destination", url, urls) == told
    assert to_service("Ping-To", url, urls) == told


@pytest.mark.parametrize(
    "rest", ["/../x", "/a/../../x", "/%2e%2e/x", "/..", "/..%2f..", "/.\\..\\..\\x"]
)
def test_a_destination_that_climbs_out_is_refused(rest: str) -> None:
    for urls, base in ((PATH, A + P), (HOST, "https://16006.p.test"), (PATH, P)):
        with pytest.raises(BadRequest):
            to_service("Destination", base + rest, urls)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (f"<{A}{P}/a> (<urn:uuid:1>)", f"<{LOCAL}/a> (<urn:uuid:1>)"),
        (f'(<{A}{P}/lock> ["a)b"])', f'(<{A}{P}/lock> ["a)b"])'),
        (
            f'<{A}{P}/a> (Not <DAV:no-lock> ["<x>"]) (["y"]) <{P}/b> (<urn:x>)',
            f'<{LOCAL}/a> (Not <DAV:no-lock> ["<x>"]) (["y"]) </b> (<urn:x>)',
        ),
        ("<https://example.com/a> (<urn:x>)", "<https://example.com/a> (<urn:x>)"),
        ("(((", "((("),
    ],
)
def test_an_if(value: str, told: str) -> None:
    assert to_service("If", value) == told


def test_uploads_that_are_put_together() -> None:
    value = f"final;{P}/files/a {A}{P}/files/b /c"
    assert to_service("Upload-Concat", value) == f"final;/files/a {LOCAL}/files/b /c"
    assert to_service("Upload-Concat", "partial") == "partial"


@pytest.mark.parametrize("name", ["Referer", "HX-Current-URL", "Ping-From"])
def test_a_page_of_the_app_is_told_by_its_origin_only(name: str) -> None:
    assert to_service(name, f"{A}{P}/x?y") == f"{LOCAL}/x?y"
    assert to_service(name, f"{A}/bob/secret?z") == f"{LOCAL}/"
    assert to_service(name, "https://example.com/x") == "https://example.com/x"


@pytest.mark.case("one address, told the same everywhere")
@pytest.mark.parametrize("site", ["https://app.test", "http://app.test", "https://app.test:8443"])
@pytest.mark.parametrize("is_external", [False, True])
def test_one_story(site: str, *, is_external: bool) -> None:
    visited = address_of(site)
    told = visited if is_external else Address("http", "localhost", "16006")
    urls = PATH._replace(visited=visited, told=told)
    assert to_service("Origin", site, urls) == told.origin
    assert to_service("Origin", "null", urls) == "null"
    assert to_service("Origin", "https://evil.test", urls) == "https://evil.test"
    assert to_service("Referer", f"{site}{P}/x", urls).startswith(told.origin + "/")
    assert to_service("Destination", f"{site}{P}/x", urls) == f"{told.origin}/x"
    assert to_visitor("location", f"{told.origin}/x", urls) == f"{site}{P}/x"


@pytest.mark.parametrize("name", [name for name, _ in URLS_TO_SERVICE.values()])
def test_hostile_values_cost_little(name: str) -> None:
    for piece in ("<", "(", '"', "/", "../", ":", " ", "?port=16006&", "%2e"):
        value = piece * (65536 // len(piece))
        for urls in (PATH, QUERY):
            with costs_little():
                try:
                    to_service(name, value, urls)
                    to_service(name, A + P + "/" + value, urls)
                except BadRequest:
                    pass
