"""When the request target that a server shows is believed, and what is made of it when it is not.

The facts per server stand in the table of servers; each row here is one of their ways.
"""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.middleware.proxy_fix import ProxyFix

from wsgi_portproxy.locate import Locator
from wsgi_portproxy.mount import Mount
from wsgi_portproxy.rawtarget import RawTarget, raw_target

from .given import environ

LOCATOR = Locator(Mount("/{username}/{project}"))


def raw(raw_uri: str | None, info: str, query: str = "", **fields: Any) -> RawTarget:
    made = environ("/", **fields)
    made.update(PATH_INFO=info, QUERY_STRING=query)
    del made["RAW_URI"]
    if raw_uri is not None:
        made["REQUEST_URI"] = raw_uri
    return raw_target(made)


@pytest.mark.parametrize(
    ("raw_uri", "info", "query", "expected"),
    [
        pytest.param("/a%2Fb?x=%2f", "/a/b", "x=%2f", ("/a%2Fb", "x=%2f"), id="escapes"),
        pytest.param("/%61", "/a", "", ("/%61", None), id="needless-escapes"),
        pytest.param("/a?", "/a", "", ("/a", ""), id="bare-question-mark"),
        pytest.param("/a", "/a", "", ("/a", None), id="no-question-mark"),
        pytest.param("/a?b?c", "/a", "b?c", ("/a", "b?c"), id="question-mark-in-query"),
        pytest.param("//a//b/", "//a//b/", "", ("//a//b/", None), id="double-slashes"),
        pytest.param("/%zz%", "/%zz%", "", ("/%zz%", None), id="bad-escapes"),
        pytest.param("/%C3%A4%ff", "/\xc3\xa4\xff", "", ("/%C3%A4%ff", None), id="bytes"),
        pytest.param("/a|b\\c", "/a|b\\c", "", ("/a|b\\c", None), id="visible-ascii"),
        pytest.param(
            "/a%2Fb%20c", "/a%2Fb c", "", ("/a%2Fb%20c", None), id="slash-left-by-cheroot"
        ),
    ],
)
def test_the_target_is_believed_where_it_is_plainly_the_path(
    raw_uri: str, info: str, query: str, expected: tuple[str, str | None]
) -> None:
    assert raw(raw_uri, info, query) == RawTarget("", *expected)


@pytest.mark.parametrize(
    ("raw_uri", "info", "query", "expected"),
    [
        pytest.param(None, "/a b/\xc3\xa4", "x", ("/a%20b/%C3%A4", "x"), id="gevent-shows-none"),
        pytest.param("", "/a", "", ("/a", None), id="empty"),
        # Both say the same, and cannot both be right: the server decodes, and cuts the query off.
        pytest.param("/a?b", "/a?b", "", ("/a%3Fb", None), id="question-mark-in-both"),
        pytest.param("/a?b?c", "/a?b", "c", ("/a%3Fb", "c"), id="another-question-mark-in-both"),
        pytest.param("/a%41", "/a%41", "", ("/a%2541", None), id="escape-in-both"),
        pytest.param("http://h/a?x", "/a", "x", ("/a", "x"), id="absolute-form"),
        pytest.param("//evil/a", "/a", "", ("/a", None), id="collapsed-slashes-and-more"),
        pytest.param("//a/b", "/a/b", "", ("/a/b", None), id="werkzeug-collapses-slashes"),
        pytest.param("/a/../b", "/b", "", ("/b", None), id="uwsgi-resolves-dots"),
        pytest.param("/a#b", "/a", "", ("/a", None), id="hash-cut-by-the-server"),
        pytest.param("/a#b", "/a#b", "", ("/a%23b", None), id="hash-kept-by-the-server"),
        pytest.param("/a?x#y", "/a", "x", ("/a", "x"), id="hash-cut-from-the-query"),
        pytest.param("/a?x#y", "/a", "x#y", ("/a", "x%23y"), id="hash-kept-in-the-query"),
        pytest.param("/a?x=1", "/a", "x=2", ("/a", "x=2"), id="another-query"),
        pytest.param("/a", "/b", "", ("/b", None), id="another-path"),
        pytest.param("/A", "/a", "", ("/a", None), id="another-case"),
        pytest.param("/a b", "/a b", "", ("/a%20b", None), id="space"),
        pytest.param("/a\x01", "/a\x01", "", ("/a%01", None), id="control-character"),
        pytest.param("/\xc3\xa4", "/\xc3\xa4", "", ("/%C3%A4", None), id="not-ascii"),
        pytest.param("/a\r\nX: 1", "/a\r\nX: 1", "", ("/a%0D%0AX:%201", None), id="line-end"),
        pytest.param("a/b", "a/b", "", ("a/b", None), id="no-leading-slash"),
        pytest.param("*", "*", "", ("*", None), id="asterisk"),
        pytest.param(None, "/a%b", "", ("/a%25b", None), id="decoded-percent"),
        pytest.param(None, "/a?b;c", "", ("/a%3Fb;c", None), id="decoded-question-mark"),
        pytest.param(None, "/a", "x=\xe4 y", ("/a", "x=%E4%20y"), id="raw-bytes-in-the-query"),
        pytest.param(None, "", "", ("", None), id="no-path"),
    ],
)
def test_else_the_decoded_path_is_quoted(
    raw_uri: str | None, info: str, query: str, expected: tuple[str, str | None]
) -> None:
    assert raw(raw_uri, info, query) == RawTarget("", *expected)


@pytest.mark.parametrize(
    ("raw_uri", "script", "info", "expected"),
    [
        pytest.param("/app/a%2Fb", "/app", "/a/b", ("/app", "/a%2Fb"), id="below-a-mount"),
        pytest.param("/%61pp/x", "/app", "/x", ("/app", "/x"), id="escaped-mount"),
        pytest.param("/a/b/c%2f", "/a/b", "/c/", ("/a/b", "/c%2f"), id="two-segments"),
        pytest.param("/m%20x/y", "/m x", "/y", ("/m%20x", "/y"), id="mount-with-a-space"),
        pytest.param("/app", "/app", "", ("/app", ""), id="the-mount-itself"),
        pytest.param("/app/", "/app", "/", ("/app", "/"), id="the-mount-with-slash"),
        pytest.param("/app%2Fx/y", "/app", "/x/y", ("/app", "/x/y"), id="slash-escaped-at-the-cut"),
        pytest.param("/x%2fy", "/app", "/x/y", ("/app", "/x%2fy"), id="prefix-cut-in-front"),
        pytest.param(
            "/app/x", "/app", "/app/x", ("/app", "/app/x"), id="prefix-cut-in-front-twice"
        ),
        pytest.param("/other/x", "/app", "/x", ("/app", "/x"), id="another-mount"),
        pytest.param(None, "/a b", "/x", ("/a%20b", "/x"), id="no-raw-target"),
        pytest.param("/app/x", "/app/", "x", ("/app", "x"), id="mount-with-final-slash"),
        pytest.param("/x", "//evil.com", "/x", ("/evil.com", "/x"), id="never-two-slashes-first"),
        pytest.param("/x", "/", "/x", ("", "/x"), id="only-a-slash"),
    ],
)
def test_below_a_script_name(
    raw_uri: str | None, script: str, info: str, expected: tuple[str, str]
) -> None:
    assert raw(raw_uri, info, SCRIPT_NAME=script) == RawTarget(*expected, None)


def test_raw_uri_goes_before_request_uri() -> None:
    """werkzeug shows both, gunicorn the first only."""
    made = environ("/a%2Fb", REQUEST_URI="/a/b")
    assert raw_target(made).path == "/a%2Fb"


def test_environs_without_the_optional_keys() -> None:
    assert raw_target({}) == RawTarget("", "", None)


# --- And what the forms make of it ---------------------------------------------------------------


@pytest.mark.parametrize("server", ["gunicorn", "waitress", "gevent"])
def test_the_prefix_holds_the_script_name(server: str) -> None:
    for url, prefix in [
        ("/apps/one/alice/vision/x?port=16006", "/apps/one/alice/vision"),
        ("/apps/one/alice/vision/proxy/16006/x", "/apps/one/alice/vision/proxy/16006"),
    ]:
        target = LOCATOR.locate(environ(url, server=server, script_name="/apps/one"))
        assert target is not None
        assert (target.prefix, target.path) == (prefix, "/x")


def test_what_a_hash_hides_from_some_servers_is_in_no_port() -> None:
    """gunicorn cuts the fragment off QUERY_STRING, others keep it; the raw target has it."""
    made = environ("/alice/vision/?port=16006")
    made["RAW_URI"] = "/alice/vision/?port=16006#&port=1"
    target = LOCATOR.locate(made)
    assert target is not None
    assert (target.port, target.path) == (16006, "/")


def test_absolute_form_is_read_by_the_servers_path() -> None:
    made = environ("/alice/vision/a?x&port=16006")
    made["RAW_URI"] = "http://evil.com/bob/secret?port=1"
    target = LOCATOR.locate(made)
    assert target is not None
    assert (target.params["username"], target.port, target.path) == ("alice", 16006, "/a?x")


def test_what_the_server_resolved_is_what_is_judged() -> None:
    made = environ("/bob/x?port=16006")
    made["RAW_URI"] = "/alice/vision/../../bob/x?port=16006"
    target = LOCATOR.locate(made)
    assert target is not None
    assert target.params == {"username": "bob", "project": "x"}


def test_the_prefix_that_a_front_end_removed_is_the_visitors() -> None:
    seen = []

    def app(made: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(LOCATOR.locate(made))
        return []

    front = ProxyFix(app, x_prefix=1)
    made = environ("/alice/vision/a%2Fb?port=16006", HTTP_X_FORWARDED_PREFIX="/apps/one")
    front(made, lambda *args: lambda data: None)
    assert seen[0] is not None
    assert (seen[0].prefix, seen[0].path) == ("/apps/one/alice/vision", "/a%2Fb")
