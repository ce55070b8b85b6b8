"""The URL forms: which port a request is for, and what of its URL is the service's."""

from __future__ import annotations

from typing import Any

import pytest

from wsgi_portproxy.errors import BadRequest, InvalidPort, NotFound
from wsgi_portproxy.locate import Locator, Target, cut_port, is_websocket, parse_port
from wsgi_portproxy.mount import Mount

from .given import costs_little, environ

LOCATOR = Locator(Mount("/{username}/{project}"))
WHOLE_APP = Locator(Mount(""))


def locate(target: str, locator: Locator = LOCATOR, **fields: Any) -> Target | None:
    return locator.locate(environ(target, **fields))


QUERY_FORM = [
    ("alone", "/alice/vision/?port=16006", "/"),
    ("without-final-slash", "/alice/vision?port=16006", "/"),
    ("below", "/alice/vision/api/runs?port=16006", "/api/runs"),
    ("folder", "/alice/vision/a/?port=16006", "/a/"),
    ("first-of-several", "/alice/vision/?port=16006&a=1&b=2", "/?a=1&b=2"),
    ("in-between", "/alice/vision/?a=1&port=16006&b=%2B+&c", "/?a=1&b=%2B+&c"),
    ("last", "/alice/vision/x?a=1&port=16006", "/x?a=1"),
    ("empty-pairs-stay", "/alice/vision/?a&&port=16006&&b", "/?a&&&b"),
    ("escaped-key", "/alice/vision/?%70ort=16006", "/"),
    ("wholly-escaped-key", "/alice/vision/?a=1&%70%6f%72%74=16006", "/?a=1"),
    ("other-case-is-another-key", "/alice/vision/?port=16006&PORT=1", "/?PORT=1"),
    ("similar-keys-stay", "/alice/vision/?ports=1&port=16006&port[]=2", "/?ports=1&port[]=2"),
    ("question-marks-in-the-query", "/alice/vision/x?a?&port=16006&?", "/x?a?&?"),
    ("bad-escapes-stay", "/alice/vision/%zz?x=%&port=16006&%70", "/%zz?x=%&%70"),
    ("escaped-slash", "/alice/vision/a%2Fb%2fc?port=16006", "/a%2Fb%2fc"),
    ("escaped-percent", "/alice/vision/a%25b?port=16006", "/a%25b"),
    ("double-slashes", "/alice/vision//a//b//?port=16006", "//a//b//"),
    ("odd-characters", "/alice/vision/;a~@:+|^`{}'\"<>\\b?port=16006", "/;a~@:+|^`{}'\"<>\\b"),
    ("utf-8-escapes", "/alice/vision/%C3%A4%e2%82%ac?port=16006", "/%C3%A4%e2%82%ac"),
    ("invalid-utf-8-escapes", "/alice/vision/%ff%C3?port=16006", "/%ff%C3"),
    ("escaped-line-end", "/alice/vision/%0d%0aGET%20/x?port=16006", "/%0d%0aGET%20/x"),
    ("escaped-hash", "/alice/vision/a%23b?port=16006", "/a%23b"),
    ("escaped-question-mark", "/alice/vision/a%3Fport=1?port=16006", "/a%3Fport=1"),
    ("dots-that-stay-inside", "/alice/vision/a/../b/./c?port=16006", "/a/../b/./c"),
    ("absolute-url-in-the-query", "/alice/vision/?u=http://x/?y&port=16006", "/?u=http://x/?y"),
]


@pytest.mark.parametrize(
    ("url", "path"), [row[1:] for row in QUERY_FORM], ids=[row[0] for row in QUERY_FORM]
)
def test_query_form(url: str, path: str) -> None:
    params = {"username": "alice", "project": "vision"}
    assert locate(url) == Target(16006, path, "/alice/vision", params, "query", False)


PATH_FORM = [
    ("root", "/alice/vision/proxy/16006/", "/"),
    ("below", "/alice/vision/proxy/16006/api/runs?x=1", "/api/runs?x=1"),
    ("port-in-the-query-is-the-services", "/alice/vision/proxy/16006/?port=1", "/?port=1"),
    ("even-if-no-port", "/alice/vision/proxy/16006/x?port=abc&port", "/x?port=abc&port"),
    ("bare-question-mark", "/alice/vision/proxy/16006/x?", "/x?"),
    ("double-slashes", "/alice/vision/proxy/16006//x//", "//x//"),
    ("escapes", "/alice/vision/proxy/16006/a%2Fb%zz%ff", "/a%2Fb%zz%ff"),
    ("a-proxy-within", "/alice/vision/proxy/16006/proxy/15000/", "/proxy/15000/"),
    ("escaped-word", "/alice/vision/%70roxy/16006/x", "/x"),
    ("dots-that-stay-inside", "/alice/vision/proxy/16006/a/../b", "/a/../b"),
    ("to-be-redirected", "/alice/vision/proxy/16006", ""),
    ("to-be-redirected-with-query", "/alice/vision/proxy/16006?x=1", "?x=1"),
]


@pytest.mark.parametrize(
    ("url", "path"), [row[1:] for row in PATH_FORM], ids=[row[0] for row in PATH_FORM]
)
def test_path_form(url: str, path: str) -> None:
    params = {"username": "alice", "project": "vision"}
    prefix = "/alice/vision/proxy/16006"
    assert locate(url) == Target(16006, path, prefix, params, "path", False)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("/alice/vision/", id="no-port"),
        pytest.param("/alice/vision/?", id="empty-query"),
        pytest.param("/alice/vision/?PORT=16006", id="upper-case"),
        pytest.param("/alice/vision/?;port=16006", id="semicolon"),
        pytest.param("/alice/vision/?a=1;port=16006", id="semicolon-as-separator"),
        pytest.param("/alice/vision/?port[]=16006", id="brackets"),
        pytest.param("/alice/vision/?ports=16006", id="longer-key"),
        pytest.param("/alice/vision/?xport=16006", id="other-key"),
        pytest.param("/alice/vision/?%20port=16006", id="space-before"),
        pytest.param("/alice/vision/?port%00=16006", id="nul-behind"),
        pytest.param("/alice/vision/?%2570ort=16006", id="escaped-twice"),
        pytest.param("/alice/vision/?a=port&b=%3Fport=16006", id="in-a-value"),
        pytest.param("/alice/?port=16006", id="outside-the-mount"),
        pytest.param("/?port=16006", id="root-of-the-app"),
        pytest.param("/login?port=abc&port=", id="outside-and-no-port"),
        pytest.param("//alice/vision?port=16006", id="empty-first-segment"),
        pytest.param("/alice/proxy/16006/", id="mount-named-proxy"),
        pytest.param("/alice/vision/proxy/", id="no-number"),
        pytest.param("/alice/vision/proxy", id="no-number-no-slash"),
        pytest.param("/alice/vision/proxy/README.md", id="a-page-of-the-app"),
        pytest.param("/alice/vision/proxy/16006a/", id="digits-and-more"),
        pytest.param("/alice/vision/proxy/16006:80/", id="colon"),
        pytest.param("/alice/vision/proxy/-16006/", id="minus"),
        pytest.param("/alice/vision/proxy//16006/", id="empty-segment"),
        pytest.param("/alice/vision/proxy/%EF%BC%91/", id="fullwidth-digit"),
        pytest.param("/alice/vision/proxy/%D9%A1/", id="arabic-indic-digit"),
        pytest.param("/alice/vision/proxy/%C2%B2/", id="superscript-two"),
        pytest.param("/alice/vision/Proxy/16006/", id="word-in-another-case"),
        pytest.param("/alice/vision/x/proxy/16006/", id="deeper"),
        pytest.param("/alice/vision/16006/proxy/", id="another-order"),
        pytest.param("/alice/vision/x/16006/proxy/", id="another-order-deeper"),
        pytest.param("/proxy/16006/", id="proxy-outside-the-mount"),
        pytest.param("/static/proxy/16006.js", id="static-file"),
    ],
)
@pytest.mark.parametrize("server", ["gunicorn", "waitress", "gevent"])
def test_everything_else_is_the_apps_own(url: str, server: str) -> None:
    assert locate(url, server=server) is None


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "application/json"])
def test_a_port_in_the_body_is_the_apps_own(content_type: str) -> None:
    body = b"port=16006"
    assert locate("/alice/vision/", method="POST", body=body, CONTENT_TYPE=content_type) is None


def test_the_body_is_not_touched() -> None:
    given = environ("/alice/vision/?port=16006", method="POST", body=b"port=1")
    assert LOCATOR.locate(given) is not None
    assert given["wsgi.input"].tell() == 0


# --- Ports ---------------------------------------------------------------------------------------

NOT_A_PORT = [
    ("word", "abc"),
    ("empty", ""),
    ("escaped-hash", "16006%23"),
    ("userinfo", "16006@evil"),
    ("slash", "16006/"),
    ("colon", "16006:80"),
    ("nul", "16006%00"),
    ("line-end", "16006%0d%0aX:1"),
    ("plus", "+16006"),
    ("escaped-plus", "%2B16006"),
    ("minus", "-1"),
    ("underscore", "1_6006"),
    ("space-before", "%2016006"),
    ("plus-for-a-space-behind", "16006+"),
    ("tab-behind", "16006%09"),
    ("leading-zero", "016006"),
    ("only-zeros", "00"),
    ("hexadecimal", "0x3e86"),
    ("octal", "0o16006"),
    ("exponent", "1e4"),
    ("fraction", "16006.0"),
    ("comma", "16006,16007"),
    ("semicolon", "16006;16007"),
    ("brackets", "[16006]"),
    ("escaped-digits", "%31%36%30%30%36"),
    ("one-escaped-digit", "1600%36"),
    ("arabic-indic-digits", "%D9%A1%D9%A6%D9%A0%D9%A0%D9%A6"),
    ("fullwidth-digits", "%EF%BC%91%EF%BC%96%EF%BC%90%EF%BC%90%EF%BC%96"),
    ("superscript-two", "%C2%B2"),
    ("six-digits", "160066"),
    ("second-equals-sign", "=16006"),
    ("none", "None"),
    ("infinity", "inf"),
    ("question-mark", "16006?x"),
]


@pytest.mark.parametrize(
    "value", [row[1] for row in NOT_A_PORT], ids=[row[0] for row in NOT_A_PORT]
)
def test_what_is_no_port(value: str) -> None:
    with pytest.raises(InvalidPort) as caught:
        locate(f"/alice/vision/?port={value}")
    assert caught.value.status == 400
    assert caught.value.message == f"Invalid port parameter: {value[:32]}"


def test_the_key_without_a_value_is_no_port() -> None:
    for url in ("/alice/vision/?port", "/alice/vision/?x=1&port", "/alice/vision/?port&x=1"):
        with pytest.raises(InvalidPort) as caught:
            locate(url)
        assert caught.value.message == "Invalid port parameter: "


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("port=1&port=2", id="two"),
        pytest.param("port=16006&port=16006", id="twice-the-same"),
        pytest.param("%70ort=16006&port=16006", id="one-escaped"),
        pytest.param("port=16006&x=1&por%74=", id="second-escaped-and-empty"),
        pytest.param("port=16006&port", id="second-without-value"),
        pytest.param("port=16006&port=abc", id="second-no-port"),
    ],
)
def test_two_ports_are_none(query: str) -> None:
    with pytest.raises(InvalidPort) as caught:
        locate(f"/alice/vision/?{query}")
    assert caught.value.message.startswith("Invalid port parameter: ")
    assert "more than once" in caught.value.hint


@pytest.mark.parametrize(
    "segment",
    ["016006", "00000", "160060", "%31%36006", "1600%36", "9" * 4000],
    ids=["leading-zero", "zeros", "six-digits", "escaped-digits", "one-escaped", "many-digits"],
)
def test_digits_in_the_path_form_that_are_no_port(segment: str) -> None:
    with pytest.raises(InvalidPort):
        locate(f"/alice/vision/proxy/{segment}/x")


@pytest.mark.parametrize(
    "raw", ["0", "1", "80", "9999", "16006", "65535", "65536", "81542", "99999"]
)
def test_well_formed_numbers_are_left_to_the_range(raw: str) -> None:
    assert parse_port(raw) == int(raw)
    target = locate(f"/alice/vision/?port={raw}")
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


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/..", id="dot-dot"),
        pytest.param("/../../bob/x", id="into-another-mount"),
        pytest.param("/../../alice/vision/", id="out-and-back"),
        pytest.param("/%2e%2e/x", id="escaped"),
        pytest.param("/%2E./x", id="half-escaped"),
        pytest.param("/..%2f..%2fbob/x", id="escaped-slashes"),
        pytest.param("/..\\..\\bob", id="backslashes"),
        pytest.param("/..%5c..%5cbob", id="escaped-backslashes"),
        pytest.param("/a/../../bob", id="down-and-further-up"),
        pytest.param("/./../bob", id="dot-is-no-step-down"),
        pytest.param("//../bob", id="nor-is-an-empty-segment"),
        pytest.param("/a//../../bob", id="nor-is-one-in-between"),
        pytest.param("/%2f../bob", id="nor-is-an-escaped-slash"),
    ],
)
@pytest.mark.parametrize("form", ["/alice/vision{}?port=16006", "/alice/vision/proxy/16006{}"])
@pytest.mark.parametrize("server", ["gunicorn", "gevent"])
def test_dot_segments_that_leave_the_service_are_not_found(
    path: str, form: str, server: str
) -> None:
    with pytest.raises(NotFound):
        locate(form.format(path), server=server)


@pytest.mark.parametrize(
    "url",
    [
        "/alice/../?port=16006",
        "/%2e%2e/vision/?port=16006",
        "/alice%2fvision/?port=16006",
        "/alice/vision%2f..?port=16006",
        "/alice/vision%00/proxy/16006/",
        "/alice%5c/vision/proxy/16006/",
    ],
)
def test_mounts_that_can_be_read_in_two_ways_are_not_found(url: str) -> None:
    with pytest.raises(NotFound):
        locate(url)


@pytest.mark.parametrize(
    ("url", "locator"),
    [
        pytest.param("*?port=16006", WHOLE_APP, id="asterisk"),
        pytest.param("x?port=16006", WHOLE_APP, id="no-slash"),
        pytest.param("x/alice/vision/?port=16006", LOCATOR, id="no-slash-before-the-mount"),
        pytest.param("x/alice/vision/proxy/16006/", LOCATOR, id="no-slash-path-form"),
        pytest.param("x/proxy/16006/", WHOLE_APP, id="no-slash-path-form-whole-app"),
    ],
)
def test_a_target_that_is_no_path_is_bad(url: str, locator: Locator) -> None:
    with pytest.raises(BadRequest):
        locate(url, locator, method="OPTIONS")


def test_without_a_port_it_is_the_apps_to_judge() -> None:
    assert locate("*", WHOLE_APP, method="OPTIONS") is None
    assert locate("x/y/z", LOCATOR) is None


# --- Mounts --------------------------------------------------------------------------------------


def test_the_whole_app_as_the_mount() -> None:
    assert locate("/?port=16006", WHOLE_APP) == Target(16006, "/", "", {}, "query", False)
    assert locate("/a/b?port=16006&x", WHOLE_APP) == Target(16006, "/a/b?x", "", {}, "query", False)
    assert locate("/proxy/16006/a", WHOLE_APP) == Target(
        16006, "/a", "/proxy/16006", {}, "path", False
    )
    assert locate("/a/proxy/16006/", WHOLE_APP) is None


def test_another_word_for_the_path_form() -> None:
    locator = Locator(Mount("/{name}"), proxy="ports")
    target = locate("/alice/ports/16006/x", locator)
    assert target is not None
    assert target.prefix == "/alice/ports/16006"
    assert locate("/alice/proxy/16006/x", locator) is None


@pytest.mark.parametrize(
    "proxy", ["", "a/b", "/proxy", "..", ".", "a b", "a%20b", "ü", "a;b", "a?"]
)
def test_words_that_are_no_plain_segment_are_refused(proxy: str) -> None:
    with pytest.raises(ValueError, match="proxy must be"):
        Locator(Mount(""), proxy=proxy)


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        pytest.param("/%61lice/vis%20ion/x?port=16006", "/%61lice/vis%20ion", id="escapes-stay"),
        pytest.param("/a;b/vision/x?port=16006", "/a%3Bb/vision", id="ends-a-cookie-path"),
        pytest.param('/a"<b>/{c}|/x?port=16006', "/a%22%3Cb%3E/%7Bc%7D%7C", id="unsafe-in-fields"),
        pytest.param("/a,b/c~!$&'()*+=:@/x?port=16006", "/a,b/c~!$&'()*+=:@", id="safe-ones"),
    ],
)
def test_the_prefix_can_stand_in_a_header(url: str, prefix: str) -> None:
    target = locate(url)
    assert target is not None
    assert target.prefix == prefix


# --- WebSocket handshakes ------------------------------------------------------------------------

HANDSHAKE: dict[str, Any] = {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, True, id="plain"),
        pytest.param({"HTTP_UPGRADE": "WebSocket"}, True, id="case-of-the-word"),
        pytest.param({"HTTP_CONNECTION": "keep-alive, UPGRADE"}, True, id="one-of-two-options"),
        pytest.param({"HTTP_CONNECTION": "keep-alive,upgrade,"}, True, id="without-space"),
        pytest.param({"HTTP_UPGRADE": "h2c, websocket"}, True, id="one-of-two-protocols"),
        pytest.param({"HTTP_UPGRADE": "h2c"}, False, id="other-protocol"),
        pytest.param({"HTTP_UPGRADE": "websockets"}, False, id="longer-word"),
        pytest.param({"HTTP_UPGRADE": ""}, False, id="empty"),
        pytest.param({"HTTP_CONNECTION": "keep-alive"}, False, id="not-in-connection"),
        pytest.param({"HTTP_CONNECTION": "x-upgrade"}, False, id="other-option"),
        pytest.param({"SERVER_PROTOCOL": "HTTP/1.0"}, False, id="http-1.0"),
    ],
)
def test_what_asks_for_a_websocket(fields: dict[str, str], expected: bool) -> None:
    assert is_websocket(environ(**{**HANDSHAKE, **fields})) is expected


def test_without_these_fields_it_is_none() -> None:
    assert not is_websocket(environ())
    assert not is_websocket(environ(HTTP_UPGRADE="websocket"))
    assert not is_websocket(environ(HTTP_CONNECTION="Upgrade"))


def test_a_handshake_gets_the_slash_that_others_are_redirected_to() -> None:
    """No WebSocket client follows a redirect."""
    target = locate("/alice/vision/proxy/16006?x=1", **HANDSHAKE)
    assert target is not None
    assert (target.path, target.websocket) == ("/?x=1", True)
    target = locate("/alice/vision?port=16006", **HANDSHAKE)
    assert target is not None
    assert (target.path, target.websocket) == ("/", True)
