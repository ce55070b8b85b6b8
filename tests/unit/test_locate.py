"""The URL forms: which port a request is for, and what of its URL is the service's."""

from __future__ import annotations

from typing import Any

import pytest

from wsgi_portproxy.errors import BadRequest, InvalidPort, NotFound
from wsgi_portproxy.locate.browser import is_websocket
from wsgi_portproxy.locate.locator import Locator
from wsgi_portproxy.locate.mount import Mount
from wsgi_portproxy.locate.target import Form, Target, cut_port, parse_port
from wsgi_portproxy.locate.visit import Visit

from .given import costs_little, environ, table, target_of, words

LOCATOR = Locator(Mount("/{username}/{project}"))
WHOLE_APP = Locator(Mount(""))
M = "/alice/vision"
PARAMS = {"username": "alice", "project": "vision"}


def locate(target: str, locator: Locator = LOCATOR, **fields: Any) -> Target | None:
    return target_of(locator, Visit(environ(target, **fields)))


@table(
    "url, path",
    {
        "alone": ("/?port=16006", "/"),
        "without-final-slash": ("?port=16006", "/"),
        "below": ("/api/runs/?port=16006", "/api/runs/"),
        "first-of-several": ("/?port=16006&a=1&b=2", "/?a=1&b=2"),
        "in-between": ("/?a=1&port=16006&b=%2B+&c", "/?a=1&b=%2B+&c"),
        "last": ("/x?a=1&port=16006", "/x?a=1"),
        "empty-pairs-stay": ("/?a&&port=16006&&b", "/?a&&&b"),
        "escaped-key": ("/?a=1&%70or%74=16006", "/?a=1"),
        "similar-keys-stay": ("/?ports=1&port=16006&port[]=2&PORT", "/?ports=1&port[]=2&PORT"),
        "question-marks": ("/x?a?&port=16006&?", "/x?a?&?"),
        "bad-escapes-stay": ("/%zz?x=%&port=16006&%70", "/%zz?x=%&%70"),
        "escapes-stay": ("/a%2Fb%2fc%25%23%0d%0a%C3?port=16006", "/a%2Fb%2fc%25%23%0d%0a%C3"),
        "escaped-question-mark": ("/a%3Fport=1?port=16006", "/a%3Fport=1"),
        "double-slashes": ("//a//b//?port=16006", "//a//b//"),
        "odd-characters": ("/;a~@:+|^`{}'\"<>\\b?port=16006", "/;a~@:+|^`{}'\"<>\\b"),
        "dots-that-stay-inside": ("/a/../b/./c?port=16006", "/a/../b/./c"),
    },
)
def test_query_form(url: str, path: str) -> None:
    assert locate(M + url) == Target(16006, path, M, PARAMS, Form.QUERY, False)


@table(
    "rest, path",
    {
        "root": ("/", "/"),
        "below": ("/api/runs?x=1", "/api/runs?x=1"),
        "port-in-the-query-is-the-services": ("/x?port=abc&port", "/x?port=abc&port"),
        "bare-question-mark": ("/x?", "/x?"),
        "bytes": ("//a%2Fb%zz%ff//", "//a%2Fb%zz%ff//"),
        "a-proxy-within": ("/proxy/15000/", "/proxy/15000/"),
        "dots-that-stay-inside": ("/a/../b", "/a/../b"),
        "to-be-redirected": ("", ""),
        "to-be-redirected-with-query": ("?x=1", "?x=1"),
    },
)
@pytest.mark.parametrize("word", ["proxy", "%70roxy"])
def test_path_form(word: str, rest: str, path: str) -> None:
    expected = Target(16006, path, f"{M}/proxy/16006", PARAMS, Form.PATH, False)
    assert locate(f"{M}/{word}/16006{rest}") == expected


OF_THE_APP = words("""
    /alice/vision/ /alice/vision/? /alice/vision/?PORT=16006 /alice/vision/?;port=16006
    /alice/vision/?a=1;port=16006 /alice/vision/?port[]=16006 /alice/vision/?ports=16006
    /alice/vision/?xport=16006 /alice/vision/?%20port=16006 /alice/vision/?port%00=16006
    /alice/vision/?%2570ort=16006 /alice/vision/?a=port&b=%3Fport=16006
    /alice/?port=16006 /?port=16006 /login?port=abc&port= //alice/vision?port=16006
    /alice/proxy/16006/ /proxy/16006/ /static/proxy/16006.js
    /alice/vision/proxy /alice/vision/proxy/ /alice/vision/proxy/README.md
    /alice/vision/proxy/16006a/ /alice/vision/proxy/16006:80/ /alice/vision/proxy/-16006/
    /alice/vision/proxy//16006/ /alice/vision/proxy/%EF%BC%91/ /alice/vision/proxy/%C2%B2/
    /alice/vision/proxy/%B2/ /alice/vision/Proxy/16006/ /alice/vision/x/proxy/16006/
    /alice/vision/16006/proxy/ /alice/vision/x/16006/proxy/
""")


@pytest.mark.parametrize("url", OF_THE_APP)
def test_everything_else_is_the_apps_own(url: str) -> None:
    for server in ("gunicorn", "waitress", "gevent"):
        assert locate(url, server=server) is None


def test_a_port_in_the_body_is_the_apps_own_and_the_body_not_touched() -> None:
    form = "application/x-www-form-urlencoded"
    for url in ("/alice/vision/", "/alice/vision/?port=16006"):
        made = environ(url, method="POST", body=b"port=1", CONTENT_TYPE=form)
        found = target_of(LOCATOR, Visit(made))
        assert (found and found.port) == (16006 if "port" in url else None)
        assert made["wsgi.input"].tell() == 0


# --- Ports ---------------------------------------------------------------------------------------

NOT_A_PORT = words("""
    abc 16006%23 16006@evil 16006/ 16006:80 16006%00 16006%0d%0aX:1 +16006 %2B16006 -1 1_6006
    %2016006 16006+ 16006%09 016006 00 0x3e86 1e4 16006.0 16006,16007 [16006] %31%36%30%30%36
    1600%36 %D9%A1%D9%A6%D9%A0%D9%A0%D9%A6 %C2%B2 160066 =16006 None 16006?x
""")


@pytest.mark.parametrize("value", ["", *NOT_A_PORT])
def test_what_is_no_port(value: str) -> None:
    with pytest.raises(InvalidPort) as caught:
        locate(f"/alice/vision/?port={value}")
    assert caught.value.status == 400
    assert caught.value.message == f"Invalid port parameter: {value[:32]}"
    with pytest.raises(InvalidPort):
        parse_port(value)


@pytest.mark.parametrize("query", ["port", "x=1&port", "port&x=1"])
def test_the_key_without_a_value_is_no_port(query: str) -> None:
    with pytest.raises(InvalidPort) as caught:
        locate(f"/alice/vision/?{query}")
    assert caught.value.message == "Invalid port parameter: "


@pytest.mark.parametrize(
    "query",
    words("port=1&port=2 %70ort=16006&port=16006 port=16006&x=1&por%74= port=16006&port"),
)
def test_two_ports_are_none(query: str) -> None:
    with pytest.raises(InvalidPort, match=r"^Invalid port parameter: ") as caught:
        locate(f"/alice/vision/?{query}")
    assert "more than once" in caught.value.hint


@pytest.mark.parametrize(
    "segment",
    [*words("016006 00000 160060 %31%36006 1600%36"), pytest.param("9" * 4000, id="endless")],
)
def test_digits_in_the_path_form_that_are_no_port(segment: str) -> None:
    with pytest.raises(InvalidPort):
        locate(f"/alice/vision/proxy/{segment}/x")


@pytest.mark.parametrize("raw", words("0 1 9999 16006 65535 65536 99999"))
def test_well_formed_numbers_are_left_to_the_range(raw: str) -> None:
    for url in (f"/alice/vision/?port={raw}", f"/alice/vision/proxy/{raw}/"):
        target = locate(url)
        assert target is not None
        assert target.port == int(raw)


def test_an_endless_number_costs_linear_time_and_is_cut_in_the_text() -> None:
    with costs_little(), pytest.raises(InvalidPort) as caught:
        locate("/alice/vision/?port=" + "1" * 1_000_000)
    assert caught.value.message == "Invalid port parameter: " + "1" * 32


def test_a_million_pairs_cost_linear_time() -> None:
    with costs_little():
        values, rest = cut_port("port=1&" + "a&" * 500_000 + "%70=1&" * 200_000)
        assert (len(values), len(rest)) == (1, 2 * 500_000 + 6 * 200_000)


# --- Paths that others read otherwise ------------------------------------------------------------

# An empty segment and a dot are no step down; nor is an escaped slash.
CLIMBING = words(r"""
    /.. /../../bob/x /../../alice/vision/ /%2e%2e/x /%2E./x /..%2f..%2fbob/x /..\..\bob
    /..%5c..%5cbob /a/../../bob /./../bob //../bob /a//../../bob /%2f../bob
""")


@pytest.mark.parametrize("path", CLIMBING)
@pytest.mark.parametrize("form", ["/alice/vision{}?port=16006", "/alice/vision/proxy/16006{}"])
def test_dot_segments_that_leave_the_service_are_not_found(path: str, form: str) -> None:
    for server in ("gunicorn", "gevent"):
        with pytest.raises(NotFound):
            locate(form.format(path), server=server)


@pytest.mark.parametrize(
    "url",
    words(r"""
        /alice/../?port=16006 /%2e%2e/vision/?port=16006 /alice%2fvision/?port=16006
        /alice/vision%2f..?port=16006 /alice/vision%00/proxy/16006/ /alice%5c/vision/proxy/16006/
    """),
)
def test_mounts_that_can_be_read_in_two_ways_are_not_found(url: str) -> None:
    with pytest.raises(NotFound):
        locate(url)


def test_a_target_that_is_no_path_is_bad_if_it_has_a_port() -> None:
    for url, locator in [
        ("*?port=16006", WHOLE_APP),
        ("x?port=16006", WHOLE_APP),
        ("x/proxy/16006/", WHOLE_APP),
        ("x/alice/vision/?port=16006", LOCATOR),
        ("x/alice/vision/proxy/16006/", LOCATOR),
    ]:
        with pytest.raises(BadRequest):
            locate(url, locator, method="OPTIONS")
    assert locate("*", WHOLE_APP, method="OPTIONS") is None
    assert locate("x/y/z", LOCATOR) is None


# --- Mounts --------------------------------------------------------------------------------------


def test_the_whole_app_as_the_mount() -> None:
    for url, target in {
        "/?port=16006": Target(16006, "/", "", {}, Form.QUERY, False),
        "/a/b?port=16006&x": Target(16006, "/a/b?x", "", {}, Form.QUERY, False),
        "/proxy/16006/a": Target(16006, "/a", "/proxy/16006", {}, Form.PATH, False),
        "/a/proxy/16006/": None,
    }.items():
        assert locate(url, WHOLE_APP) == target


def test_another_word_for_the_path_form() -> None:
    locator = Locator(Mount("/{name}"), path_segment="ports")
    target = locate("/alice/ports/16006/x", locator)
    assert target is not None
    assert target.prefix == "/alice/ports/16006"
    assert locate("/alice/proxy/16006/x", locator) is None


@pytest.mark.parametrize("proxy", ["", "a b", *words("a/b /proxy .. . a%20b ü a;b a?")])
def test_words_that_are_no_plain_segment_are_refused(proxy: str) -> None:
    with pytest.raises(ValueError, match="path_segment takes"):
        Locator(Mount(""), path_segment=proxy)


@table(
    "mount, prefix",
    {
        "escapes-stay": ("/%61lice/vis%20ion", "/%61lice/vis%20ion"),
        "what-ends-a-cookies-path": ("/a;b/vision", "/a%3Bb/vision"),
        "unsafe-in-fields": ('/a"<b>/{c}|', "/a%22%3Cb%3E/%7Bc%7D%7C"),
        "safe-ones": ("/a,b/c~!$&'()*+=:@-._9Z", "/a,b/c~!$&'()*+=:@-._9Z"),
    },
)
def test_the_prefix_can_stand_in_a_header(mount: str, prefix: str) -> None:
    for url, below in ((f"{mount}/x?port=16006", ""), (f"{mount}/proxy/1/x", "/proxy/1")):
        target = locate(url)
        assert target is not None
        assert target.prefix == prefix + below


# --- WebSocket handshakes ------------------------------------------------------------------------

HANDSHAKE: dict[str, Any] = {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade"}


@table(
    "fields, expected",
    {
        "plain": ({}, True),
        "case-of-the-word": ({"HTTP_UPGRADE": "WebSocket"}, True),
        "one-of-two-options": ({"HTTP_CONNECTION": "keep-alive, UPGRADE"}, True),
        "without-space": ({"HTTP_CONNECTION": "keep-alive,upgrade,"}, True),
        "one-of-two-protocols": ({"HTTP_UPGRADE": "h2c, websocket"}, True),
        "other-protocol": ({"HTTP_UPGRADE": "h2c"}, False),
        "longer-word": ({"HTTP_UPGRADE": "websockets"}, False),
        "empty": ({"HTTP_UPGRADE": ""}, False),
        "not-in-connection": ({"HTTP_CONNECTION": "keep-alive"}, False),
        "other-option": ({"HTTP_CONNECTION": "x-upgrade"}, False),
        "http-1.0": ({"SERVER_PROTOCOL": "HTTP/1.0"}, False),
    },
)
def test_what_asks_for_a_websocket(fields: dict[str, str], expected: bool) -> None:
    assert is_websocket(environ(**{**HANDSHAKE, **fields})) is expected


def test_without_these_fields_it_is_none() -> None:
    for made in ({}, {"HTTP_UPGRADE": "websocket"}, {"HTTP_CONNECTION": "Upgrade"}):
        assert not is_websocket({**environ(), **made})


def test_a_handshake_gets_the_slash_that_others_are_redirected_to() -> None:
    """No WebSocket client follows a redirect."""
    for rest, path in {"/proxy/16006?x=1": "/?x=1", "?port=16006": "/"}.items():
        target = locate(f"/alice/vision{rest}", **HANDSHAKE)
        assert target is not None
        assert (target.path_qs, target.websocket) == (path, True)
